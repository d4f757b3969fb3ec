/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local block device on a real kernel, without a target: nbd_device, the NBD
 * front end and the logical unit over the RAM disk of the unit tests. Two
 * processes like lunstickd: the parent has the device, the child the socket. Runs
 * in a guest; nbd.sh drives it.
 *
 *   nbd_probe serve NAME FILE [INDEX]   FILE, of 4 MiB, is the RAM disk's memory
 *   nbd_probe wrong INDEX            what has to be refused
 *   nbd_probe find PREFIX
 *   nbd_probe cleanup PREFIX
 *   nbd_probe zero DEVICE OFFSET BYTES  BLKZEROOUT
 *
 * Signals to the parent: USR1 puts a new child behind the device; USR2 has the
 * child's target hold all data, and again, let them go; TERM ends. A child that
 * died stays away until USR1. Each step is a line on stdout.
 */
#include "boot/nbd.h"
#include "boot/nbd_device.h"
#include "bridge/lun.h"
#include "tests/unit/ram_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLICES      64
#define SAME_BLOCKS 2048

static char why[NBD_WHY_BYTES];

static _Noreturn void die(const char *what, const char *text)
{
    printf("%s: %s\n", what, text);
    exit(1);
}

static int take_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigaddset(&set, SIGUSR2);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static uint32_t next_signal(int signals)
{
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof info) != (ssize_t)sizeof info)
        die("signalfd", strerror(errno));
    return info.ssi_signo;
}

/* ---- the child ---- */

struct disk {
    struct deferred_list deferred;
    struct pool pool;
    struct ram_backend ram;
    struct lun *lun;
    struct nbd *nbd;
    struct nbd_geometry geometry;
    bool ended;
};

static void log_text(enum lun_log_level level, const char *text)
{
    (void)level;
    printf("child: %s\n", text);
}

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

static void on_end(void *ctx)
{
    ((struct disk *)ctx)->ended = true;
}

static void turn(struct disk *d)
{
    ram_turn(&d->ram);
    (void)deferred_run(&d->deferred);
    if (now_us() >= lun_next_timeout_us(d->lun))
        lun_run_timeouts(d->lun);
}

static void disk_open(struct disk *d, uint8_t *memory)
{
    void *arena = NULL;
    memset(d, 0, sizeof *d);
    deferred_list_init(&d->deferred);
    if (posix_memalign(&arena, 4096, (size_t)SLICES * POOL_SLICE_BYTES) != 0)
        die("arena", "no memory");
    pool_init(&d->pool, arena, SLICES);
    ram_init_on(&d->ram, &d->deferred, memory);
    d->ram.same_blocks = SAME_BLOCKS;
    struct lun_config config = {.backend = &d->ram.backend,
                                .deferred = &d->deferred,
                                .pool = &d->pool,
                                .now_us = now_us,
                                .log = log_text,
                                .attention_off = true,
                                .whole_reads = true,
                                .segment_bytes = POOL_SLICE_BYTES};
    d->lun = lun_create(&config);
    if (!d->lun)
        die("lun", strerror(errno));
    ram_up(&d->ram);
    while (!lun_disk(d->lun))
        turn(d);
    d->geometry = nbd_describe(lun_disk(d->lun), POOL_SLICE_BYTES, false);
}

static void hold_data(struct disk *d)
{
    bool hold = d->ram.hold_from == 0;
    d->ram.hold_data = hold;
    d->ram.hold_from = hold ? 1 : 0;
    printf("child: the target %s\n", hold ? "is away" : "is back");
}

static _Noreturn void child(uint8_t *memory, int fd, int signals)
{
    static struct disk d;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    disk_open(&d, memory);
    struct nbd_config config = {.fd = fd,
                                .lun = d.lun,
                                .deferred = &d.deferred,
                                .ended = on_end,
                                .ctx = &d,
                                .log = log_text};
    d.nbd = nbd_create(&config);
    if (!d.nbd)
        die("nbd", strerror(errno));
    nbd_begin(d.nbd, &d.geometry, POOL_SLICE_BYTES);
    printf("child %ld serves\n", (long)getpid());
    while (!d.ended) {
        struct pollfd p[2] = {{.fd = fd, .events = nbd_events(d.nbd)},
                              {.fd = signals, .events = POLLIN}};
        bool more = deferred_pending(&d.deferred) || (d.ram.outstanding && !d.ram.hold_from);
        if (poll(p, 2, more ? 0 : 1000) < 0 && errno != EINTR)
            die("poll", strerror(errno));
        if (p[1].revents) {
            uint32_t got = next_signal(signals);
            if (got == SIGTERM) {
                const struct nbd_stats *s = nbd_stats(d.nbd);
                printf("child: %llu writes, %llu zeroes\n", (unsigned long long)s->writes,
                       (unsigned long long)s->zeroes);
                exit(0);
            }
            if (got == SIGUSR2)
                hold_data(&d);
        }
        if (p[0].revents)
            nbd_ready(d.nbd);
        turn(&d);
    }
    exit(0);
}

/* ---- the parent ---- */

static pid_t start_child(uint8_t *memory, int fd, int signals)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork", strerror(errno));
    if (pid == 0)
        child(memory, fd, signals);
    (void)close(fd);
    return pid;
}

static uint8_t *disk_memory(const char *path)
{
    size_t bytes = (size_t)RAM_BLOCKS * RAM_BLOCK_BYTES;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        die(path, strerror(errno));
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        die(path, strerror(errno));
    (void)close(fd);
    return memory;
}

/* What is said of it, if anything. */
static void settle(int index, const struct nbd_geometry *g)
{
    char line[512];
    size_t bytes = 0;
    ssize_t n;
    int fd = nbd_device_settle(NBD_SYS_BLOCK, index, g, why);
    if (fd < 0)
        die("settle", why);
    while ((n = read(fd, line + bytes, sizeof line - 1 - bytes)) > 0)
        bytes += (size_t)n;
    (void)close(fd);
    line[bytes] = '\0';
    printf("settled %s\n", line);
}

static int serve(const char *name, const char *path, int index)
{
    struct nbd_geometry g;
    struct disk probe;
    pid_t pid;
    uint8_t *memory = disk_memory(path);
    int signals = take_signals();
    disk_open(&probe, memory);
    g = probe.geometry;
    int fd = nbd_device_connect(NBD_SYS_BLOCK, &index, name, &g, why);
    if (fd < 0)
        die("connect", why);
    printf("connected nbd%d\n", index);
    if (getenv("ALONE")) /* killed before anybody served */
        (void)raise(SIGKILL);
    pid = start_child(memory, fd, signals);
    settle(index, &g);
    for (;;) {
        switch (next_signal(signals)) {
        case SIGUSR1:
            fd = nbd_device_reconnect(NBD_SYS_BLOCK, index, name, &g, why);
            if (fd < 0) {
                printf("reconnect: %s\n", why);
                break;
            }
            printf("reconnected\n");
            pid = start_child(memory, fd, signals);
            break;
        case SIGUSR2:
            (void)kill(pid, SIGUSR2);
            break;
        case SIGCHLD:
            while (waitpid(-1, NULL, WNOHANG) > 0)
                printf("child died\n");
            break;
        default:
            (void)kill(pid, SIGTERM);
            (void)waitpid(pid, NULL, 0);
            if (nbd_device_disconnect(NBD_SYS_BLOCK, index, name, why) < 0)
                die("disconnect", why);
            printf("gone\n");
            return 0;
        }
    }
}

static void refused(const char *what, int got)
{
    printf("%s: %d: %s\n", what, got, why);
}

static int wrong(int index)
{
    const struct nbd_geometry g = {.bytes = 1 << 20, .block_bytes = 512, .flags = 1};
    const struct nbd_geometry odd = {.bytes = 1 << 20, .block_bytes = 513, .flags = 1};
    int any = -1, same = index;
    refused("taken", nbd_device_connect(NBD_SYS_BLOCK, &same, "other", &g, why));
    refused("stranger", nbd_device_reconnect(NBD_SYS_BLOCK, index, "other", &g, why));
    refused("smaller", nbd_device_reconnect(NBD_SYS_BLOCK, index, "lunstick probe", &g, why));
    refused("not ours", nbd_device_disconnect(NBD_SYS_BLOCK, index, "other", why));
    refused("odd", nbd_device_connect(NBD_SYS_BLOCK, &any, "other", &odd, why));
    refused("nobody", nbd_device_reconnect(NBD_SYS_BLOCK, 77, "other", &g, why));
    if (setresuid(65534, 65534, 65534) < 0)
        die("setresuid", strerror(errno));
    refused("no right", nbd_device_connect(NBD_SYS_BLOCK, &any, "other", &g, why));
    return 0;
}

static int zero(const char *device, const char *offset, const char *bytes)
{
    uint64_t range[2] = {strtoull(offset, NULL, 10), strtoull(bytes, NULL, 10)};
    int fd = open(device, O_RDWR | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, BLKZEROOUT, range) < 0)
        die(device, strerror(errno));
    return close(fd);
}

static int find(const char *prefix, bool remove)
{
    struct nbd_device_state state;
    int index = -1;
    while ((index = nbd_device_find(NBD_SYS_BLOCK, prefix, index + 1)) >= 0) {
        if (nbd_device_read(NBD_SYS_BLOCK, index, &state) == 0)
            printf("nbd%d %llu %s\n", index, (unsigned long long)state.bytes, state.backend);
        if (remove && nbd_device_disconnect(NBD_SYS_BLOCK, index, state.backend, why) < 0)
            die("disconnect", why);
    }
    return 0;
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc >= 4 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2], argv[3], argc > 4 ? atoi(argv[4]) : -1);
    if (argc == 3 && strcmp(argv[1], "wrong") == 0)
        return wrong(atoi(argv[2]));
    if (argc == 3 && strcmp(argv[1], "find") == 0)
        return find(argv[2], false);
    if (argc == 3 && strcmp(argv[1], "cleanup") == 0)
        return find(argv[2], true);
    if (argc == 5 && strcmp(argv[1], "zero") == 0)
        return zero(argv[2], argv[3], argv[4]);
    return 2;
}
