/* SPDX-License-Identifier: BSD-2-Clause */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int notify_fd = -1;

int notify_open(void)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path)
        return 0;
    size_t length = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof sun.sun_path)
        return -EINVAL;
    memcpy(sun.sun_path, path, length);
    if (path[0] == '@')
        sun.sun_path[0] = 0;
    (void)unsetenv("NOTIFY_SOCKET");

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (connect(fd, (const struct sockaddr *)&sun, size) < 0) {
        int error = errno;
        (void)close(fd);
        return -error;
    }
    notify_fd = fd;
    return 0;
}

void notify_send(const char *assignments)
{
    if (notify_fd >= 0)
        (void)send(notify_fd, assignments, strlen(assignments), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void notify_close(void)
{
    if (notify_fd >= 0)
        (void)close(notify_fd);
    notify_fd = -1;
}
