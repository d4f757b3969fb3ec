/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving up rights. Each step is final for the process and whatever it starts.
 */
#ifndef LUNSTICK_DAEMON_SANDBOX_H
#define LUNSTICK_DAEMON_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The ids of `user`; of "nobody" if there is no such user; 65534 if there is
 * not even that. False: `user` itself was not found. NULL is 65534 without a look
 * into a file. */
bool sandbox_user(const char *user, uid_t *uid, gid_t *gid);

/* Keeps the capabilities in the mask (bit n: capability n), also as an upper
 * bound for everything started from here; without root's rights only what the
 * service manager gave can be kept. 0 or -errno. */
int sandbox_keep_capabilities(uint64_t mask);

/* It is among ours, in force. */
bool sandbox_has_capability(int capability);

/* No process, no core file, few files; locked memory without limit, where that
 * may be had (mlockall() will tell). 0 or -errno. */
int sandbox_limits(void);

/* Root no more: empty root directory `dir` (NULL: as it is), the one user and
 * group, no capability, no way back to any, no ptrace, no core file. Who is not
 * root keeps directory, user and groups. 0 or -errno.
 *
 * `spared`: the real and the saved user stay root, without any right of root's,
 * because systemd-shutdown kills all processes of other users whatever they are
 * called; nor may other processes of the user `uid` kill this one. Only the system
 * call filter keeps it from having root's files again. */
int sandbox_enter(uid_t uid, gid_t gid, const char *dir, bool spared);

/* Nothing can be opened, made, renamed or removed any more, whoever we are
 * (Landlock); what is open stays so. Newer kernels also keep us from signalling
 * others. After sandbox_enter(). 0; -ENOSYS or -EOPNOTSUPP: not on this kernel. */
int sandbox_forget_files(void);

/* The child's system call filter (seccomp_gen.c); needs no right. 0 or -errno;
 * a sanitizer build has none and returns 0. */
int sandbox_filter(void);

/* Closes everything from `first` on. */
void sandbox_close_from(int first);

#endif
