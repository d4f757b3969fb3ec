/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that a local block device waits for: memory that the kernel frees by
 * writing to that device must not be what the process itself waits for; and what it
 * knows must not be lost with it.
 */
#ifndef LUNSTICK_DAEMON_MEMORY_H
#define LUNSTICK_DAEMON_MEMORY_H

#include <stddef.h>

/* Not the kernel's victim, no I/O on its own account when it allocates, locked. What
 * fails is a line in the log. Children inherit all but the last. */
void memory_prepare(void);
/* The last of it: what is mapped now and later. */
void memory_lock(void);

/* Enough of the machine's memory is kept free for the network (vm.min_free_kbytes, if it
 * is less), where the machine's own root depends on it. It stays so. */
void memory_reserve(void);

/* Zeroed, shared with the processes that are forked later, in no core file. NULL with
 * errno. It is never given back. */
void *memory_shared(size_t bytes);

#endif
