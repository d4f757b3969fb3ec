/* SPDX-License-Identifier: BSD-2-Clause */
/* sd_notify(3) without libsystemd, which has no place in a static binary. */
#ifndef LUNSTICK_DAEMON_NOTIFY_H
#define LUNSTICK_DAEMON_NOTIFY_H

/* Connects to $NOTIFY_SOCKET, an absolute path or "@abstract", and takes the
 * variable out of the environment. 0 (also when there is no service manager),
 * or -errno. */
int notify_open(void);
/* "READY=1", "STATUS=...": newline-separated assignments. Never blocks. */
void notify_send(const char *assignments);
/* In a process that is not to speak for the service. */
void notify_close(void);

#endif
