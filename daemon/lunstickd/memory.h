/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that a local block device waits for: memory that the kernel frees by
 * writing to that device must not be what the process itself waits for.
 */
#ifndef LUNSTICK_DAEMON_MEMORY_H
#define LUNSTICK_DAEMON_MEMORY_H

/* Not the kernel's victim, no I/O on its own account when it allocates, locked. What
 * fails is a line in the log. Children inherit all but the last. */
void memory_prepare(void);
/* The last of it: what is mapped now and later. */
void memory_lock(void);

#endif
