/* SPDX-License-Identifier: BSD-2-Clause */
#include "sandbox.h"

#ifdef LUNSTICK_SANITIZED
/* The sanitizers make system calls of their own at any time. */
int sandbox_filter(void)
{
    return 0;
}
#else
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "seccomp_filter.h" /* generated: child_filter[] of this architecture */

int sandbox_filter(void)
{
    enum { STEPS = sizeof child_filter / sizeof child_filter[0] };
    struct sock_filter steps[STEPS];
    const struct sock_fprog program = {.len = STEPS, .filter = steps};

    for (unsigned i = 0; i < STEPS; i++) {
        steps[i] = child_filter[i];
        if (BPF_CLASS(steps[i].code) == BPF_JMP && steps[i].k == FILTER_OWN_PID)
            steps[i].k = (uint32_t)getpid();
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
        return -errno;
    return 0;
}
#endif
