/* SPDX-License-Identifier: BSD-2-Clause */
#include "front.h"

#include "board.h"
#include "boot/nbd.h"
#include "log.h"
#include "outlet.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static struct {
    struct front_config config;
    struct loop_watch watch; /* its fd is -1 while nothing is waited for */
    int fd;                  /* the socket */
    struct lun *lun;
    struct outlet_nbd_disk disk;
    struct nbd *nbd;
    bool serving;
} nbd;

static int fail(const char *what, int rc)
{
    log_printf(LUN_LOG_ERROR, "%s: %s", what, strerror(-rc));
    return rc;
}

static void socket_ready(void *ctx, short revents)
{
    (void)ctx;
    (void)revents;
    nbd_ready(nbd.nbd);
}

static void kernel_ended(void *ctx)
{
    (void)ctx;
    nbd.serving = false;
    nbd.config.ended(nbd.config.ctx);
}

static void nbd_init(const struct front_config *config)
{
    nbd.config = *config;
    nbd.watch = (struct loop_watch){.fd = -1, .ready = socket_ready};
}

static uint32_t segment_bytes(void)
{
    uint32_t bytes = nbd.config.config->segment_bytes;
    return bytes ? bytes : LUN_DEFAULT_SEGMENT_BYTES;
}

/* The device is there, and its kernel may ask. */
static int nbd_open(int fd)
{
    const struct nbd_config nc = {
        .fd = fd,
        .lun = nbd.lun,
        .deferred = nbd.config.deferred,
        .ended = kernel_ended,
        .log = nbd.config.log,
    };
    if (nbd.nbd)
        return fail("network block device", -EALREADY);
    nbd.nbd = nbd_create(&nc);
    if (!nbd.nbd)
        return fail("network block device", -errno);
    nbd_begin(nbd.nbd, &nbd.disk.geometry, segment_bytes());
    nbd.fd = fd;
    nbd.serving = true;
    return 0;
}

static int nbd_serve(struct lun *const *luns, unsigned count)
{
    (void)count; /* one: daemon_config_finish() */
    nbd.lun = luns[0];
    return loop_add(nbd.config.loop, &nbd.watch);
}

static void nbd_bind_text(char text[PRIVSEP_TEXT_BYTES])
{
    const struct disk_identity *disk = lun_disk(nbd.lun);
    char name[128];
    nbd.disk.geometry = nbd_describe(disk, segment_bytes(), nbd.config.config->luns[0].read_only);
    board_hash(nbd.disk.id, 16, (const char *[]){disk_name(disk, name, sizeof name), NULL});
    outlet_nbd_print(&nbd.disk, text);
}

static uint64_t nbd_prepare(void)
{
    /* poll() tells of a closed socket even where no event is asked for. */
    nbd.watch.events = nbd.serving ? nbd_events(nbd.nbd) : 0;
    nbd.watch.fd = nbd.watch.events ? nbd.fd : -1;
    return LOOP_NEVER;
}

static void nbd_run_timeouts(void)
{
}

static bool nbd_host_present(void)
{
    return nbd.serving;
}

static unsigned nbd_state(void)
{
    return nbd.serving;
}

static void nbd_view(struct status_view *view)
{
    view->local = true;
}

const struct front_ops front_nbd = {
    .init = nbd_init,
    .open = nbd_open,
    .serve = nbd_serve,
    .bind_text = nbd_bind_text,
    .prepare = nbd_prepare,
    .run_timeouts = nbd_run_timeouts,
    .host_present = nbd_host_present,
    .state = nbd_state,
    .view = nbd_view,
};
