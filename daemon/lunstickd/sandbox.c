/* SPDX-License-Identifier: BSD-2-Clause */
#include "sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534

bool sandbox_user(const char *user, uid_t *uid, gid_t *gid)
{
    const struct passwd *own = getpwnam(user);
    const struct passwd *pw = own ? own : getpwnam("nobody");
    *uid = pw ? pw->pw_uid : NOBODY;
    *gid = pw ? pw->pw_gid : NOBODY;
    return own != NULL;
}

static int set_capabilities(uint64_t mask)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)mask, .permitted = (uint32_t)mask},
        {.effective = (uint32_t)(mask >> 32), .permitted = (uint32_t)(mask >> 32)},
    };
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* No program started from here, and nothing else, brings back more than the
 * mask. Needs CAP_SETPCAP while there is something to drop. */
static int limit_capabilities(uint64_t mask)
{
    /* The kernel tells its last capability by EINVAL for the next. */
    for (int cap = 0; cap < 64; cap++) {
        int present = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (present < 0)
            break;
        if (present && !(mask >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -errno;
    }
    /* Kernels before 4.3 know no ambient set. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return -errno;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int sandbox_keep_capabilities(uint64_t mask)
{
    int rc = limit_capabilities(mask);
    return rc < 0 ? rc : set_capabilities(mask);
}

int sandbox_limits(void)
{
    const struct rlimit memory = {RLIM_INFINITY, RLIM_INFINITY};
    const struct rlimit files = {64, 64};
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_MEMLOCK, &memory);
    if (setrlimit(RLIMIT_NPROC, &none) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0 ||
        setrlimit(RLIMIT_CORE, &none) < 0)
        return -errno;
    return 0;
}

int sandbox_enter(uid_t uid, gid_t gid, const char *dir)
{
    if (dir && (chdir(dir) < 0 || chroot(".") < 0))
        return -errno;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0)
        return -errno;
    int rc = limit_capabilities(0);
    if (rc < 0)
        return rc;
    if (setresuid(uid, uid, uid) < 0)
        return -errno;
    rc = set_capabilities(0);
    if (rc < 0)
        return rc;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

void sandbox_close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0U, 0) == 0)
        return;
#endif
    for (int fd = first; fd < 1024; fd++)
        (void)close(fd);
}
