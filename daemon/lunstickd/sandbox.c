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
    const struct passwd *own = user ? getpwnam(user) : NULL;
    const struct passwd *pw = own || !user ? own : getpwnam("nobody");
    *uid = pw ? pw->pw_uid : NOBODY;
    *gid = pw ? pw->pw_gid : NOBODY;
    return own != NULL;
}

static int set_capabilities(uint64_t mask)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &head, data) < 0)
        return -errno;
    if (mask == 0 && data[0].permitted == 0 && data[1].permitted == 0)
        return 0; /* a service manager's filter may refuse capset() */
    for (unsigned i = 0; i < 2; i++) {
        data[i].effective = data[i].permitted = (uint32_t)(mask >> 32 * i);
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

bool sandbox_has_capability(int capability)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    return syscall(SYS_capget, &head, data) == 0 &&
           (data[capability / 32].effective >> capability % 32 & 1);
}

/* No program started from here brings back more than the mask. Only root can
 * have more; needs CAP_SETPCAP while there is something to drop. */
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
    return 0;
}

/* And nothing else brings any back. */
static int no_new_rights(void)
{
    /* Kernels before 4.3 know no ambient set. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return -errno;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int sandbox_keep_capabilities(uint64_t mask)
{
    int rc = geteuid() == 0 ? limit_capabilities(mask) : 0;
    if (rc == 0)
        rc = no_new_rights();
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

static int leave_root(uid_t uid, gid_t gid, const char *dir, bool spared)
{
    if (dir && (chdir(dir) < 0 || chroot(".") < 0))
        return -errno;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0)
        return -errno;
    int rc = limit_capabilities(0);
    if (rc < 0)
        return rc;
    uid_t other = spared ? 0 : uid;
    return setresuid(other, uid, other) < 0 ? -errno : 0;
}

int sandbox_enter(uid_t uid, gid_t gid, const char *dir, bool spared)
{
    int rc = geteuid() == 0 ? leave_root(uid, gid, dir, spared) : 0;
    if (rc == 0)
        rc = no_new_rights();
    if (rc == 0)
        rc = set_capabilities(0);
    if (rc < 0)
        return rc;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

/* linux/landlock.h, as far as it is used: C libraries' headers may be older. */
#define NR_LANDLOCK_CREATE_RULESET 444
#define NR_LANDLOCK_RESTRICT_SELF  446
#define LANDLOCK_VERSION           1U
struct landlock_attr {
    uint64_t files, network, scopes;
};

int sandbox_forget_files(void)
{
    /* What each version of the interface can forbid, and no rule that permits any
     * of it. TCP is not among it, but abstract sockets and signals are. */
    static const struct {
        size_t attr_bytes;
        struct landlock_attr attr;
    } versions[] = {
        {8, {0x1fff, 0, 0}},  {8, {0x3fff, 0, 0}},  {8, {0x7fff, 0, 0}},
        {16, {0x7fff, 0, 0}}, {16, {0xffff, 0, 0}}, {24, {0xffff, 0, 3}},
    };
    enum { VERSIONS = sizeof versions / sizeof versions[0] };
    long version = syscall(NR_LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_VERSION);
    if (version < 1)
        return version < 0 ? -errno : -EOPNOTSUPP;
    size_t i = (size_t)(version < VERSIONS ? version : VERSIONS) - 1;
    long fd = syscall(NR_LANDLOCK_CREATE_RULESET, &versions[i].attr, versions[i].attr_bytes, 0);
    if (fd < 0)
        return -errno;
    int rc = syscall(NR_LANDLOCK_RESTRICT_SELF, fd, 0) < 0 ? -errno : 0;
    (void)close((int)fd);
    return rc;
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
