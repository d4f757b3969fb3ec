/* SPDX-License-Identifier: BSD-2-Clause */
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static pid_t read_pid(int fd)
{
    char text[16] = {0};

    if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
        return 0;
    return (pid_t)strtol(text, NULL, 10);
}

/* Whether the open file is still the one of that name: an owner removes it
 * before it lets go. */
static bool is_current(int fd, const char *path)
{
    struct stat open_one, named_one;

    return fstat(fd, &open_one) == 0 && stat(path, &named_one) == 0 &&
           open_one.st_dev == named_one.st_dev && open_one.st_ino == named_one.st_ino;
}

/* -ESTALE: it was removed in the meantime, try again. */
static int try_take(struct owner *owner, const char *path)
{
    char text[16];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0)
        return -errno;
    int err = 0;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        err = errno == EWOULDBLOCK ? -EBUSY : -errno;
        owner->other_owner = read_pid(fd);
    } else if (!is_current(fd, path)) {
        err = -ESTALE;
    } else {
        owner->was_left = read_pid(fd) != 0;
        int bytes = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
        if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)bytes, 0) != bytes) {
            err = errno ? -errno : -EIO;
            if (!owner->was_left) /* or it would count as left by a killed owner */
                (void)unlink(path);
        }
    }
    if (err) {
        (void)close(fd);
        return err;
    }
    owner->fd = fd;
    return 0;
}

int owner_take(struct owner *owner, const char *path)
{
    int err = -ESTALE;

    *owner = (struct owner){.fd = -1};
    for (int i = 0; i < 10 && err == -ESTALE; i++)
        err = try_take(owner, path);
    return err;
}

void owner_release(struct owner *owner, const char *path)
{
    if (owner->fd < 0)
        return;
    (void)unlink(path);
    (void)close(owner->fd);
    owner->fd = -1;
}
