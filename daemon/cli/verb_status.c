/* SPDX-License-Identifier: BSD-2-Clause */
/* lunstick status: passes the daemon's own answer on. */
#include "verbs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_SECONDS 5

/* The names of daemons that have a control socket, for the message. */
static void list_running(char *out, size_t size)
{
    DIR *dir = opendir(CONFIG_RUN_DIR);
    struct dirent *entry;
    char path[CONFIG_PATH_BYTES];
    size_t at = 0;

    out[0] = 0;
    while (dir && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), CONFIG_RUN_DIR "/%.64s/control", entry->d_name);
        if (!config_name_valid(entry->d_name) || access(path, F_OK))
            continue;
        int length = snprintf(out + at, size - at, "%s%s", at ? ", " : "", entry->d_name);
        if (length < 0 || (size_t)length >= size - at)
            break;
        at += (size_t)length;
    }
    if (dir)
        closedir(dir);
}

static int explain(const char *program, const char *name, int error)
{
    char others[256];

    switch (error) {
    case ENOENT:
        list_running(others, sizeof(others));
        if (others[0])
            return cli_fail(program, CLI_TRANSIENT, "no daemon %s runs; running: %s", name, others);
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
static int connect_daemon(const char *name)
{
    const struct timeval timeout = {.tv_sec = ANSWER_SECONDS};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return -errno;
    snprintf(address.sun_path, sizeof(address.sun_path), CONFIG_RUN_DIR "/%s/control", name);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
        return fd;
    error = errno;
    close(fd);
    return -error;
}

/* Asks and copies the answer to stdout; 0 or an errno. */
static int ask(int fd, const char *question)
{
    char buf[4096];
    ssize_t got;
    bool any = false;

    if (send(fd, question, strlen(question), MSG_NOSIGNAL) < 0)
        return errno;
    while ((got = recv(fd, buf, sizeof(buf), 0)) > 0) {
        any = true;
        fwrite(buf, 1, (size_t)got, stdout);
    }
    if (got < 0)
        return errno;
    return any ? 0 : EAGAIN;
}

int cli_status(int argc, char **argv)
{
    const char *name = NULL;
    bool json = false;
    const struct cli_flag flags[] = {{"json", &json}, {NULL, NULL}};
    int fd, error;

    if (!cli_name_args(argc, argv, flags, &name))
        return CLI_WRONG;
    fd = connect_daemon(name);
    if (fd < 0)
        return explain(argv[0], name, -fd);
    error = ask(fd, json ? "status json\n" : "status\n");
    close(fd);
    return error ? explain(argv[0], name, error) : CLI_OK;
}
