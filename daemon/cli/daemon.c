/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's control socket, from the user's side. */
#include "verbs.h"

#include "daemon/lunstickd/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

bool cli_each_daemon(bool (*match)(const char *name, void *ctx), void *ctx)
{
    DIR *dir = opendir(CONFIG_RUN_DIR);
    const struct dirent *entry;
    char path[CONFIG_PATH_BYTES];
    bool matched = false;

    while (dir && !matched && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), CONFIG_RUN_DIR "/%.64s/" RUNDIR_CONTROL, entry->d_name);
        matched = config_name_valid(entry->d_name) && access(path, F_OK) == 0 &&
                  match(entry->d_name, ctx);
    }
    if (dir)
        closedir(dir);
    return matched;
}

/* Their names, for the message. */
struct names {
    char text[256];
    size_t at;
};

static bool add_name(const char *name, void *ctx)
{
    struct names *names = ctx;
    size_t room = sizeof(names->text) - names->at;
    int length = snprintf(names->text + names->at, room, "%s%s", names->at ? ", " : "", name);

    if (length < 0 || (size_t)length >= room) {
        names->text[names->at] = 0;
        return true;
    }
    names->at += (size_t)length;
    return false;
}

int cli_explain(const char *program, const char *name, int error)
{
    struct names others = {.text = ""};

    switch (error) {
    case ENOENT:
        (void)cli_each_daemon(add_name, &others);
        if (others.text[0])
            return cli_fail(program, CLI_TRANSIENT, "no daemon %s runs; running: %s", name,
                            others.text);
        return cli_fail(program, CLI_TRANSIENT,
                        "no daemon %s runs; start it: systemctl start lunstickd@%s", name, name);
    case ECONNREFUSED:
        return cli_fail(program, CLI_TRANSIENT,
                        "the daemon %s was killed; run: lunstick cleanup %s, and start it again",
                        name, name);
    case EACCES:
        return cli_fail(program, CLI_WRONG,
                        "not allowed; run it with sudo, or be a member of the group lunstick");
    case EAGAIN:
        return cli_fail(program, CLI_TRANSIENT, "the daemon %s does not answer", name);
    default:
        return cli_fail(program, CLI_TRANSIENT, "the daemon %s: %s", name, strerror(error));
    }
}

/* A connected socket, or -errno. */
static int connect_daemon(const char *name, unsigned seconds)
{
    const struct timeval timeout = {.tv_sec = (time_t)seconds};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return -errno;
    snprintf(address.sun_path, sizeof(address.sun_path), CONFIG_RUN_DIR "/%s/" RUNDIR_CONTROL,
             name);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
        return fd;
    error = errno;
    close(fd);
    return -error;
}

/* No answer at all is none in time. */
static ssize_t converse(int fd, const char *question, char *answer, size_t size)
{
    size_t at = 0;
    ssize_t got = 1;

    if (send(fd, question, strlen(question), MSG_NOSIGNAL) < 0)
        return -errno;
    while (at < size - 1 && got > 0) {
        got = recv(fd, answer + at, size - 1 - at, 0);
        if (got < 0)
            return -errno;
        at += (size_t)got;
    }
    answer[at] = 0;
    return at ? (ssize_t)at : -EAGAIN;
}

ssize_t cli_ask(const char *name, const char *question, unsigned seconds, char *answer, size_t size)
{
    int fd = connect_daemon(name, seconds);

    if (fd < 0)
        return fd;
    ssize_t got = converse(fd, question, answer, size);
    close(fd);
    return got;
}
