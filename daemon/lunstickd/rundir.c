/* SPDX-License-Identifier: BSD-2-Clause */
#include "rundir.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTROL_DIR "control"

char *rundir_path(char out[CONFIG_PATH_BYTES], const char *run_dir, const char *leaf)
{
    (void)snprintf(out, CONFIG_PATH_BYTES, "%s/%s", run_dir, leaf);
    return out;
}

static int make_dir(const char *path, mode_t mode)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return -errno;
    return chmod(path, mode) < 0 ? -errno : 0;
}

int rundir_make(const char *run_dir, uid_t uid, gid_t gid)
{
    char path[CONFIG_PATH_BYTES];
    int rc = 0;
    (void)snprintf(path, sizeof path, "%s", run_dir);
    char *slash = strrchr(path, '/');
    if (slash && slash != path) {
        *slash = 0;
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            rc = -errno;
    }
    if (rc == 0)
        rc = make_dir(run_dir, 0755);
    if (rc == 0)
        rc = make_dir(rundir_path(path, run_dir, RUNDIR_EMPTY), 0555);
    if (rc == 0)
        rc = make_dir(rundir_path(path, run_dir, CONTROL_DIR), 0755);
    if (rc == 0 && lchown(path, uid, gid) < 0)
        rc = -errno;
    return rc;
}

gid_t rundir_group(const char *name)
{
    const struct group *group = getgrnam(name);
    return group ? group->gr_gid : RUNDIR_NO_GROUP;
}

int rundir_listen(const char *run_dir, gid_t group)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    char path[CONFIG_PATH_BYTES];
    if (strlen(rundir_path(path, run_dir, RUNDIR_CONTROL)) >= sizeof sun.sun_path)
        return -ENAMETOOLONG;
    (void)memcpy(sun.sun_path, path, strlen(path) + 1);
    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    mode_t old = umask(0117);
    int rc = bind(fd, (const struct sockaddr *)&sun, sizeof sun) < 0 ? -errno : 0;
    (void)umask(old);
    if (rc == 0 && group != RUNDIR_NO_GROUP && group != getegid() &&
        lchown(path, (uid_t)-1, group) < 0)
        rc = -errno;
    if (rc == 0 && listen(fd, 8) < 0)
        rc = -errno;
    if (rc < 0)
        (void)close(fd);
    return rc < 0 ? rc : fd;
}

void rundir_clear(const char *run_dir)
{
    char path[CONFIG_PATH_BYTES];
    (void)unlink(rundir_path(path, run_dir, RUNDIR_CONTROL));
    (void)rmdir(rundir_path(path, run_dir, CONTROL_DIR));
    (void)rmdir(rundir_path(path, run_dir, RUNDIR_EMPTY));
}

void rundir_remove(const char *run_dir)
{
    (void)rmdir(run_dir);
}
