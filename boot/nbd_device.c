/* SPDX-License-Identifier: BSD-2-Clause */
#include "nbd_device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nbd-netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES  256
#define VALUE_BYTES NBD_BACKEND_BYTES
#define INDEX_MAX   4095 /* the kernel goes further, but not with every max_part */
#define TRIES_MAX   16   /* others take devices, too */
#define RETRY_MS    20

__attribute__((format(printf, 2, 3))) static void say(char why[NBD_WHY_BYTES], const char *format,
                                                      ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, NBD_WHY_BYTES, format, args);
    va_end(args);
}

/* ---- sysfs ---- */

static bool path_of(char path[PATH_BYTES], const char *sys, int index, const char *file)
{
    int n = snprintf(path, PATH_BYTES, "%s/nbd%d%s%s", sys, index, *file ? "/" : "", file);
    return n > 0 && n < PATH_BYTES;
}

/* One line without its end. */
static int value_read(const char *sys, int index, const char *file, char value[VALUE_BYTES])
{
    char path[PATH_BYTES];
    value[0] = '\0';
    if (!path_of(path, sys, index, file))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, value, VALUE_BYTES - 1);
    int err = n < 0 ? -errno : 0;
    (void)close(fd);
    if (err == 0) {
        value[n] = '\0';
        value[strcspn(value, "\n")] = '\0';
    }
    return err;
}

static int value_write(const char *sys, int index, const char *file, const char *value)
{
    char path[PATH_BYTES];
    if (!path_of(path, sys, index, file))
        return -ENAMETOOLONG;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, value, strlen(value));
    int err = n < 0 ? -errno : 0;
    (void)close(fd);
    return err;
}

static bool device_exists(const char *sys, int index)
{
    char path[PATH_BYTES];
    return path_of(path, sys, index, "") && access(path, F_OK) == 0;
}

int nbd_device_read(const char *sys, int index, struct nbd_device_state *state)
{
    char value[VALUE_BYTES];
    if (value_read(sys, index, "pid", value) < 0)
        return -ENOENT;
    state->pid = (pid_t)strtol(value, NULL, 10);
    if (value_read(sys, index, "size", value) < 0)
        return -ENOENT;
    state->bytes = strtoull(value, NULL, 10) * 512;
    (void)value_read(sys, index, "backend", state->backend);
    return 0;
}

/* N of "nbdN", or -1. */
static int index_of(const char *name)
{
    char *end;
    if (strncmp(name, "nbd", 3) != 0 || name[3] < '0' || name[3] > '9')
        return -1;
    long n = strtol(name + 3, &end, 10);
    return *end == '\0' && n <= INT_MAX ? (int)n : -1;
}

int nbd_device_find(const char *sys, const char *prefix, int from)
{
    struct nbd_device_state state;
    const struct dirent *entry;
    int found = -ENOENT;
    DIR *dir = opendir(sys);
    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        int index = index_of(entry->d_name);
        if (index < from || (found >= 0 && index > found) ||
            nbd_device_read(sys, index, &state) < 0)
            continue;
        if (strncmp(state.backend, prefix, strlen(prefix)) == 0)
            found = index;
    }
    (void)closedir(dir);
    return found;
}

/* ---- the kernel ---- */

static int backend_check(const char *backend, char why[NBD_WHY_BYTES])
{
    if (backend[0] != '\0' && strlen(backend) < NBD_BACKEND_BYTES && !strchr(backend, '\n'))
        return 0;
    say(why, "the block device needs a name of 1 to %d characters", NBD_BACKEND_BYTES - 1);
    return -EINVAL;
}

/* The kernel would refuse it, but only when it has made the device. */
static int geometry_check(const struct nbd_geometry *g, char why[NBD_WHY_BYTES])
{
    bool power = (g->block_bytes & (g->block_bytes - 1)) == 0;
    if (power && g->block_bytes >= 512 && g->block_bytes <= 4096 && g->bytes > 0 &&
        g->bytes <= INT64_MAX && g->bytes % g->block_bytes == 0)
        return 0;
    say(why, "a block device cannot have %llu bytes in blocks of %u: use another disk",
        (unsigned long long)g->bytes, g->block_bytes);
    return -EINVAL;
}

/* `pair[0]` is the process's. */
static int pair_make(int pair[2], char why[NBD_WHY_BYTES])
{
    int err = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        err = -errno;
    else if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
        err = -errno;
        (void)close(pair[0]);
        (void)close(pair[1]);
    }
    if (err < 0)
        say(why, "no socket pair: %s", strerror(-err));
    return err;
}

static void say_refusal(const char *sys, const struct nbd_message *m, int err,
                        char why[NBD_WHY_BYTES])
{
    struct nbd_device_state state;
    switch (err) {
    case -ENOENT:
        say(why, "the kernel has no network block devices: modprobe nbd");
        break;
    case -EPERM:
    case -EACCES:
        say(why, "nbd%d: the kernel refuses without CAP_SYS_ADMIN: start it as root", m->index);
        break;
    case -EBUSY:
        if (nbd_device_read(sys, m->index, &state) < 0)
            say(why, "nbd%d is in use by another program: name another device", m->index);
        else
            say(why, "nbd%d is in use, connected by process %d%s%s: name another device", m->index,
                (int)state.pid, state.backend[0] ? " for " : "", state.backend);
        break;
    case -EINVAL:
        say(why, "nbd%d is %s: try again, or another device", m->index,
            m->geometry ? "going away" : "not connected, or going away");
        break;
    case -ETIMEDOUT:
        say(why, "nbd%d: the kernel does not answer within %d s: see its log (dmesg)", m->index,
            NBD_ANSWER_MS / 1000);
        break;
    default:
        say(why, "nbd%d: %s: see the kernel's log (dmesg)", m->index, strerror(-err));
        break;
    }
}

static int index_free(const char *sys, int from)
{
    for (int index = from; index <= INDEX_MAX; index++)
        if (!device_exists(sys, index))
            return index;
    return -1;
}

int nbd_device_connect(const char *sys, int *index, const char *backend,
                       const struct nbd_geometry *g, char why[NBD_WHY_BYTES])
{
    int pair[2];
    struct nbd_message m = {
        .command = NBD_CMD_CONNECT, .index = *index, .backend = backend, .geometry = g};
    int err = backend_check(backend, why);
    if (err == 0)
        err = geometry_check(g, why);
    if (err == 0)
        err = pair_make(pair, why);
    if (err < 0)
        return err;
    m.fd = pair[1];
    m.own = *index < 0 || !device_exists(sys, *index);
    if (*index >= 0) {
        err = nbd_message_send(&m);
    } else {
        for (int i = 0; i < TRIES_MAX && (m.index = index_free(sys, m.index + 1)) >= 0; i++) {
            err = nbd_message_send(&m);
            if (err != -EBUSY && err != -EEXIST)
                break;
        }
    }
    (void)close(pair[1]);
    if (err < 0) {
        (void)close(pair[0]);
        say_refusal(sys, &m, err, why);
        return err;
    }
    *index = m.index;
    return pair[0];
}

/* The disk behind it is what the device was made for. */
static int ours(const char *sys, int index, const char *backend, struct nbd_device_state *state,
                char why[NBD_WHY_BYTES])
{
    int err = nbd_device_read(sys, index, state);
    if (err < 0) {
        say(why, "nbd%d is not connected", index);
        return err;
    }
    if (strcmp(state->backend, backend) == 0)
        return 0;
    if (state->backend[0] != '\0')
        say(why, "nbd%d belongs to %s", index, state->backend);
    else
        say(why, "nbd%d belongs to process %d", index, (int)state->pid);
    return -EPERM;
}

static long long now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The kernel says that all is well even when it did not take the socket, because
 * the old one is open in its eyes. Then nobody has the other end of ours. */
static bool was_taken(int fd)
{
    struct pollfd p = {.fd = fd};
    return poll(&p, 1, 0) == 0;
}

static int reconnect_once(const char *sys, struct nbd_message *m, char why[NBD_WHY_BYTES])
{
    int pair[2];
    int err = pair_make(pair, why);
    if (err < 0)
        return err;
    m->fd = pair[1];
    err = nbd_message_send(m);
    (void)close(pair[1]);
    if (err < 0)
        say_refusal(sys, m, err, why);
    else if (!was_taken(pair[0]))
        err = -EAGAIN;
    if (err == 0)
        return pair[0];
    (void)close(pair[0]);
    return err;
}

int nbd_device_reconnect(const char *sys, int index, const char *backend,
                         const struct nbd_geometry *g, char why[NBD_WHY_BYTES])
{
    struct nbd_device_state state;
    struct nbd_message m = {.command = NBD_CMD_RECONFIGURE, .index = index, .backend = backend};
    int err = ours(sys, index, backend, &state, why);
    if (err < 0)
        return err;
    if (g->bytes < state.bytes) {
        say(why, "nbd%d has %llu bytes, the disk has %llu now: unmap it, and map it again", index,
            (unsigned long long)state.bytes, (unsigned long long)g->bytes);
        return -EINVAL;
    }
    long long give_up_ms = now_ms() + NBD_ANSWER_MS;
    int fd;
    while ((fd = reconnect_once(sys, &m, why)) == -EAGAIN && now_ms() < give_up_ms)
        (void)poll(NULL, 0, RETRY_MS);
    if (fd != -EAGAIN)
        return fd;
    say(why, "nbd%d: another process is behind it: end that first", index);
    return -EBUSY;
}

int nbd_device_disconnect(const char *sys, int index, const char *backend, char why[NBD_WHY_BYTES])
{
    struct nbd_device_state state;
    struct nbd_message m = {.command = NBD_CMD_DISCONNECT, .index = index, .fd = -1};
    int err = ours(sys, index, backend, &state, why);
    if (err < 0)
        return err == -ENOENT ? 0 : err;
    err = nbd_message_send(&m);
    if (err < 0)
        say_refusal(sys, &m, err, why);
    return err;
}

/* ---- in a process of its own ---- */

static void number_write(const char *sys, int index, const char *file, uint32_t number, int report)
{
    char value[16];
    (void)snprintf(value, sizeof value, "%u", number);
    int err = value_write(sys, index, file, value);
    if (err < 0)
        (void)dprintf(report, "nbd%d: %s cannot be %s: %s\n", index, file, value, strerror(-err));
}

static void settle(const char *sys, int index, const struct nbd_geometry *g, int report)
{
    char value[VALUE_BYTES], path[PATH_BYTES];
    uint32_t max_kb = g->max_bytes / 1024;
    if (value_read(sys, index, "queue/max_hw_sectors_kb", value) == 0 &&
        strtoul(value, NULL, 10) < max_kb)
        max_kb = (uint32_t)strtoul(value, NULL, 10);
    number_write(sys, index, "queue/nr_requests", NBD_REQUESTS, report);
    number_write(sys, index, "queue/max_sectors_kb", max_kb, report);
    number_write(sys, index, "queue/io_timeout", NBD_LOOK_MS, report);
    (void)snprintf(path, sizeof path, "/dev/nbd%d", index);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    /* Where a service may have no devices, udev opens it. */
    if (fd < 0 && errno != ENOENT && errno != EPERM && errno != EACCES)
        (void)dprintf(report, "%s cannot be opened: %s\n", path, strerror(errno));
}

/* It may have to wait for long, and holds nothing of ours for so long. */
static void drop_all_but(int fd)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)syscall(SYS_close_range, (unsigned)fd + 1, ~0U, 0);
    if (fd > 0)
        (void)syscall(SYS_close_range, 0U, (unsigned)fd - 1, 0);
}

int nbd_device_settle(const char *sys, int index, const struct nbd_geometry *g,
                      char why[NBD_WHY_BYTES])
{
    int pipe_fds[2];
    pid_t pid;
    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        say(why, "no pipe: %s", strerror(errno));
        return -errno;
    }
    pid = fork();
    if (pid == 0) {
        pid = fork();
        if (pid == 0) {
            drop_all_but(pipe_fds[1]);
            settle(sys, index, g, pipe_fds[1]);
        }
        _exit(pid < 0);
    }
    int err = pid < 0 ? -errno : 0;
    int status = 0;
    (void)close(pipe_fds[1]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (err == 0 && status != 0)
        err = -EAGAIN;
    if (err == 0)
        return pipe_fds[0];
    say(why, "no process to open nbd%d: %s", index, strerror(-err));
    (void)close(pipe_fds[0]);
    return err;
}
