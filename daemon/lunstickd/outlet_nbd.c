/* SPDX-License-Identifier: BSD-2-Clause */
#include "outlet.h"

#include "boot/nbd_device.h"
#include "gadget/owner.h"
#include "log.h"
#include "memory.h"
#include "rundir.h"
#include "sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct outlet_nbd {
    struct owner owner;
    char lock[CONFIG_PATH_BYTES];
    const char *daemon_name;
    char backend[OUTLET_NBD_BACKEND_BYTES];
    int fd;    /* the child's end of the socket; -1: it has it */
    int index; /* of the device; -1: none yet */
    bool ours; /* connected by us; else it waits for whoever comes, and is left alone */
    char name[32];
    struct loop_watch settling; /* somebody sets the queue up and looks for partitions */
} nbd;

char *outlet_nbd_backend(char backend[OUTLET_NBD_BACKEND_BYTES], const char *name, const char *disk)
{
    (void)snprintf(backend, OUTLET_NBD_BACKEND_BYTES, "lunstick/%s/%s", name, disk);
    return backend;
}

/* ---- the disk as text ---- */

void outlet_nbd_print(const struct outlet_nbd_disk *disk, char text[PRIVSEP_TEXT_BYTES])
{
    const struct nbd_geometry *g = &disk->geometry;
    (void)snprintf(text, PRIVSEP_TEXT_BYTES,
                   "%" PRIu64 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %u %s", g->bytes,
                   g->block_bytes, g->max_bytes, g->trim_blocks, (unsigned)g->flags, disk->id);
}

/* Whatever is wrong with a number, it is another text when it is printed again. */
bool outlet_nbd_parse(const char *text, struct outlet_nbd_disk *disk)
{
    struct nbd_geometry *g = &disk->geometry;
    uint64_t number[5] = {0};
    char again[PRIVSEP_TEXT_BYTES], *end = NULL;
    const char *at = text;
    for (unsigned i = 0; i < 5; i++, at = *end ? end + 1 : end)
        number[i] = strtoull(at, &end, 10);
    *g = (struct nbd_geometry){
        .bytes = number[0],
        .block_bytes = (uint32_t)number[1],
        .max_bytes = (uint32_t)number[2],
        .trim_blocks = (uint32_t)number[3],
        .flags = (uint16_t)number[4],
    };
    (void)snprintf(disk->id, sizeof disk->id, "%.16s", at);
    outlet_nbd_print(disk, again);
    uint32_t block = g->block_bytes;
    return strcmp(text, again) == 0 && strspn(disk->id, "0123456789abcdef") == 16 && block >= 512 &&
           block <= 4096 && (block & (block - 1)) == 0 && g->bytes > 0 && g->bytes <= INT64_MAX &&
           g->bytes % block == 0 && g->max_bytes >= 4096 && g->max_bytes % block == 0;
}

/* ---- what it has ---- */

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void set_index(int index)
{
    nbd.index = index;
    (void)snprintf(nbd.name, sizeof nbd.name, "/dev/nbd%d", index);
}

/* ---- the queue, and the partitions ---- */

/* What it says are lines; its end is the end of the file. */
static void settled(void *ctx, short revents)
{
    char text[512];
    (void)ctx;
    (void)revents;
    ssize_t n = read(nbd.settling.fd, text, sizeof text - 1);
    if (n <= 0) {
        close_end(&nbd.settling.fd);
        return;
    }
    text[n] = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line)
            log_text(LUN_LOG_WARNING, line);
}

static void settle(const struct nbd_geometry *geometry)
{
    char why[OUTLET_WHY_BYTES];
    close_end(&nbd.settling.fd);
    int fd = nbd_device_settle(NBD_SYS_BLOCK, nbd.index, geometry, why);
    if (fd < 0)
        log_text(LUN_LOG_WARNING, why);
    else
        nbd.settling.fd = fd;
}

/* ---- the outlet ---- */

static int outlet_create(const struct outlet_config *oc, char why[OUTLET_WHY_BYTES])
{
    const struct daemon_config *config = oc->config;
    nbd = (struct outlet_nbd){.owner = {.fd = -1}, .fd = -1, .index = -1, .settling = {.fd = -1}};
    if (!sandbox_has_capability(CAP_SYS_ADMIN)) {
        (void)snprintf(why, OUTLET_WHY_BYTES,
                       "must be started by root, who makes the block device (try sudo)");
        return 2;
    }
    int rc = rundir_make(config->run_dir, geteuid(), getegid());
    if (rc == 0)
        rc = owner_take(&nbd.owner, rundir_path(nbd.lock, config->run_dir, "lock"));
    if (rc < 0) {
        if (rc == -EBUSY)
            (void)snprintf(why, OUTLET_WHY_BYTES,
                           "%s is served by process %ld already; --name gives another name",
                           config->name, (long)nbd.owner.other_owner);
        else
            (void)snprintf(why, OUTLET_WHY_BYTES, "%.160s: %.80s", config->run_dir, strerror(-rc));
        return 1;
    }
    int left = nbd_device_find(NBD_SYS_BLOCK, outlet_nbd_backend(nbd.backend, config->name, ""), 0);
    if (left >= 0) {
        set_index(left);
        log_printf(LUN_LOG_INFO, "%s was left by a daemon of this name: taking it over", nbd.name);
    }
    nbd.daemon_name = config->name;
    if (config->root)
        memory_lock(); /* the rest is the supervisor's */
    else
        memory_prepare();
    nbd.settling = (struct loop_watch){.fd = -1, .events = POLLIN, .ready = settled};
    rc = loop_add(oc->loop, &nbd.settling);
    if (rc == 0)
        return 0;
    (void)snprintf(why, OUTLET_WHY_BYTES, "event loop: %s", strerror(-rc));
    owner_release(&nbd.owner, nbd.lock);
    return 1;
}

static bool outlet_reopen(char why[OUTLET_WHY_BYTES])
{
    why[0] = 0;
    return true;
}

static int outlet_fd(void)
{
    return nbd.fd;
}

static void outlet_close_fd(void)
{
    close_end(&nbd.fd);
}

static bool outlet_bind(const char *text, char why[OUTLET_WHY_BYTES])
{
    struct outlet_nbd_disk disk;
    const struct nbd_geometry *geometry = &disk.geometry;
    char backend[OUTLET_NBD_BACKEND_BYTES];
    bool again = nbd.index >= 0;
    int index = nbd.index;
    if (!outlet_nbd_parse(text, &disk)) {
        (void)snprintf(why, OUTLET_WHY_BYTES, "the child process tells of no disk");
        return false;
    }
    close_end(&nbd.fd); /* of a child that never took it */
    (void)outlet_nbd_backend(backend, nbd.daemon_name, disk.id);
    int fd = again ? nbd_device_reconnect(NBD_SYS_BLOCK, index, backend, geometry, why)
                   : nbd_device_connect(NBD_SYS_BLOCK, &index, backend, geometry, why);
    if (fd < 0)
        return false;
    nbd.fd = fd;
    nbd.ours = true;
    memcpy(nbd.backend, backend, sizeof nbd.backend);
    set_index(index);
    log_printf(LUN_LOG_INFO, "the disk is %s%s", nbd.name, again ? " again" : "");
    settle(geometry);
    return true;
}

static const char *outlet_name(void)
{
    return nbd.name;
}

/* The device waits for the next one. */
static void outlet_child_died(void)
{
    close_end(&nbd.fd);
}

/* It has no plug; and while the child lives, the kernel might wait for it. */
static void outlet_unbind(void)
{
}

static void outlet_destroy(void)
{
    char why[OUTLET_WHY_BYTES];
    close_end(&nbd.fd);
    close_end(&nbd.settling.fd);
    if (nbd.ours && nbd_device_disconnect(NBD_SYS_BLOCK, nbd.index, nbd.backend, why) < 0)
        log_text(LUN_LOG_WARNING, why);
    owner_release(&nbd.owner, nbd.lock);
}

const struct outlet_ops outlet_nbd = {
    .create = outlet_create,
    .reopen = outlet_reopen,
    .fd = outlet_fd,
    .close_fd = outlet_close_fd,
    .bind = outlet_bind,
    .name = outlet_name,
    .child_died = outlet_child_died,
    .unbind = outlet_unbind,
    .destroy = outlet_destroy,
    /* the kernel's part; the files of the queue */
    .capabilities = 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_DAC_OVERRIDE,
};
