/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The USB side on a real kernel, without a target: gadget, FunctionFS port, BOT
 * and logical unit over the RAM disk of the unit tests. Two processes like
 * lunstickd: the parent has the gadget, the child the endpoints. Runs in a
 * guest; usb.sh drives it.
 *
 *   ram_disk check [UDC]
 *   ram_disk cleanup NAME
 *   ram_disk run NAME UDC|any [halt]
 *
 * Signals to the parent: USR1 unbinds, USR2 binds again, TERM ends. When the
 * child dies, the parent opens the gadget again with a new one. Each step is a
 * line on stdout.
 */
#include "bridge/lun.h"
#include "gadget/bot.h"
#include "gadget/ffs_port.h"
#include "gadget/gadget.h"
#include "tests/unit/ram_backend.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLICES 32
#define SCHEME "/usr/share/lunstick/configfs-templates/disk.scheme"

static char why[GADGET_WHY_BYTES];

static _Noreturn void die(const char *what, const char *text)
{
    printf("%s: %s\n", what, text);
    exit(1);
}

/* ---- descriptors between parent and child ---- */

static void send_fds(int sock, const int fds[2])
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    char byte = 'e';
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};

    memset(&control, 0, sizeof(control));
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(&control.head), fds, 2 * sizeof(int));
    if (sendmsg(sock, &msg, 0) != 1)
        die("sendmsg", strerror(errno));
}

static void receive_fds(int sock, int fds[2])
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};

    if (recvmsg(sock, &msg, 0) != 1 || msg.msg_controllen == 0)
        die("recvmsg", strerror(errno));
    memcpy(fds, CMSG_DATA(&control.head), 2 * sizeof(int));
}

/* ---- the child ---- */

static void log_text(enum lun_log_level level, const char *text)
{
    if (level < LUN_LOG_DEBUG)
        printf("child: %s\n", text);
}

static uint64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

struct disk {
    struct deferred_list deferred;
    struct pool pool;
    struct ram_backend ram;
    struct lun *lun;
    struct bot *bot;
    struct ffs_port *port;
};

static void make_disk(struct disk *d, struct ffs_port *port, bool halt)
{
    void *arena = NULL;

    if (posix_memalign(&arena, 4096, (size_t)SLICES * POOL_SLICE_BYTES) != 0)
        die("arena", "no memory");
    pool_init(&d->pool, arena, SLICES);
    ram_init(&d->ram, &d->deferred);
    struct lun_config lun_config = {.backend = &d->ram.backend,
                                    .deferred = &d->deferred,
                                    .pool = &d->pool,
                                    .now_us = now_us,
                                    .log = log_text,
                                    .answer_within_ms = 4000};
    d->lun = lun_create(&lun_config);
    if (!d->lun)
        die("lun", strerror(errno));
    struct bot_config bot_config = {.port = ffs_port_usb(port),
                                    .deferred = &d->deferred,
                                    .luns = &d->lun,
                                    .lun_count = 1,
                                    .short_in = halt ? BOT_SHORT_IN_HALT : BOT_SHORT_IN_PACKET,
                                    .now_us = now_us,
                                    .log = log_text};
    d->bot = bot_create(&bot_config);
    if (!d->bot)
        die("bot", strerror(errno));
    ram_up(&d->ram);
}

static void report_speed(const struct disk *d)
{
    static const char *const names[] = {"none", "full", "high", "super"};
    static enum usb_speed last = USB_SPEED_NONE;
    enum usb_speed speed = bot_stats(d->bot)->speed;

    if (speed != last)
        printf("child: speed %s, resets %llu\n", names[speed],
               (unsigned long long)bot_stats(d->bot)->resets);
    last = speed;
}

/* Until the parent closes its end. */
static void serve(struct disk *d, int sock)
{
    for (;;) {
        struct pollfd p[3] = {{.fd = ffs_port_ep0_fd(d->port), .events = POLLIN},
                              {.fd = ffs_port_aio_fd(d->port), .events = POLLIN},
                              {.fd = sock, .events = POLLIN}};
        bool more = deferred_pending(&d->deferred) || d->ram.outstanding;
        if (poll(p, 3, more ? 0 : 20) < 0 && errno != EINTR)
            die("poll", strerror(errno));
        if (p[2].revents)
            return;
        if (p[0].revents & POLLIN)
            ffs_port_ep0_ready(d->port);
        if (p[1].revents & POLLIN)
            ffs_port_aio_ready(d->port);
        ram_turn(&d->ram);
        (void)deferred_run(&d->deferred);
        if (now_us() >= lun_next_timeout_us(d->lun))
            lun_run_timeouts(d->lun);
        bot_run_timeouts(d->bot);
        report_speed(d);
    }
}

static _Noreturn void child(int ep0_fd, int sock, bool halt)
{
    static struct disk d;
    int fds[2];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    deferred_list_init(&d.deferred);
    d.port = ffs_port_create(ep0_fd, &d.deferred, log_text);
    if (!d.port)
        die("ffs_port_create", strerror(errno));
    int err = ffs_port_write_descriptors(d.port);
    if (err)
        die("descriptors", strerror(-err));
    if (write(sock, "d", 1) != 1)
        die("write", strerror(errno));
    receive_fds(sock, fds);
    err = ffs_port_attach(d.port, fds[0], fds[1]);
    if (err)
        die("ffs_port_attach", strerror(-err));
    make_disk(&d, d.port, halt);
    if (write(sock, "r", 1) != 1)
        die("write", strerror(errno));
    serve(&d, sock);
    const struct ffs_port_stats *stats = ffs_port_stats(d.port);
    printf("child: in %llu, out %llu, stale %llu\n", (unsigned long long)stats->in_bytes,
           (unsigned long long)stats->out_bytes, (unsigned long long)stats->stale);
    ffs_port_destroy(d.port);
    exit(0);
}

/* ---- the parent ---- */

struct parent {
    struct gadget *gadget;
    pid_t child;
    int sock; /* to the child */
    bool halt;
};

static void expect(int sock, char byte)
{
    char got = 0;

    if (read(sock, &got, 1) != 1 || got != byte)
        die("the child", "did not say what was expected");
}

static void bind_gadget(struct parent *p)
{
    if (gadget_bind(p->gadget, why) == GADGET_OK)
        printf("bound to %s\n", gadget_udc(p->gadget));
    else
        printf("bind: %s\n", why);
}

static void start_child(struct parent *p)
{
    int socks[2], fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) != 0)
        die("socketpair", strerror(errno));
    p->child = fork();
    if (p->child < 0)
        die("fork", strerror(errno));
    if (p->child == 0) {
        sigset_t none;
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)close(socks[0]);
        child(gadget_ep0_fd(p->gadget), socks[1], p->halt);
    }
    (void)close(socks[1]);
    p->sock = socks[0];
    gadget_close_ep0(p->gadget);
    expect(p->sock, 'd');
    if (gadget_open_endpoints(p->gadget, &fds[0], &fds[1], why) != GADGET_OK)
        die("endpoints", why);
    send_fds(p->sock, fds);
    (void)close(fds[0]);
    (void)close(fds[1]);
    expect(p->sock, 'r');
    printf("child %ld serves\n", (long)p->child);
    bind_gadget(p);
}

static void restart_child(struct parent *p)
{
    while (waitpid(p->child, NULL, WNOHANG) == p->child) {
        printf("child %ld died\n", (long)p->child);
        (void)close(p->sock);
        if (gadget_reopen(p->gadget, why) != GADGET_OK)
            die("reopen", why);
        start_child(p);
    }
}

static void stop(struct parent *p)
{
    gadget_unbind(p->gadget);
    printf("unbound\n");
    (void)close(p->sock);
    (void)waitpid(p->child, NULL, 0);
    gadget_destroy(p->gadget);
    printf("gone\n");
}

static int run(const char *name, const char *udc, bool halt)
{
    char dir[128];
    struct parent p = {.halt = halt};
    struct gadget_config config = {.scheme_path = SCHEME,
                                   .name = name,
                                   .serial = "0123456789abcdef",
                                   .udc = strcmp(udc, "any") == 0 ? NULL : udc,
                                   .ffs_dir = dir};
    sigset_t set;

    (void)snprintf(dir, sizeof(dir), "/run/lunstick/%s/ffs", name);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigaddset(&set, SIGUSR2);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    enum gadget_error error = gadget_create(&config, &p.gadget, why);
    if (error != GADGET_OK) {
        printf("error %d: %s\n", (int)error, why);
        return 1;
    }
    start_child(&p);
    for (;;) {
        struct signalfd_siginfo info;
        if (read(signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
            die("signalfd", strerror(errno));
        switch (info.ssi_signo) {
        case SIGUSR1:
            gadget_unbind(p.gadget);
            printf("unbound\n");
            break;
        case SIGUSR2:
            bind_gadget(&p);
            break;
        case SIGCHLD:
            restart_child(&p);
            break;
        default:
            stop(&p);
            return 0;
        }
    }
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc >= 2 && strcmp(argv[1], "check") == 0) {
        int error = (int)gadget_check(argc > 2 ? argv[2] : NULL, why);
        printf("%d: %s\n", error, why);
        return error;
    }
    if (argc == 3 && strcmp(argv[1], "cleanup") == 0) {
        char dir[128];
        bool busy;
        (void)snprintf(dir, sizeof(dir), "/run/lunstick/%s/ffs", argv[2]);
        int removed = gadget_cleanup(argv[2], dir, &busy, why);
        printf("removed %d%s%s%s\n", removed, busy ? ", busy" : "", why[0] ? ": " : "", why);
        return busy;
    }
    if (argc >= 4 && strcmp(argv[1], "run") == 0)
        return run(argv[2], argv[3], argc > 4);
    return 2;
}
