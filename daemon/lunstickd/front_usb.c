/* SPDX-License-Identifier: BSD-2-Clause */
#include "front.h"

#include "gadget/bot.h"
#include "gadget/ffs_port.h"
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static struct {
    struct front_config config;
    struct loop_watch ep0, aio;
    struct ffs_port *port;
    struct bot *bot;
} usb;

static int fail(const char *what, int rc)
{
    log_printf(LUN_LOG_ERROR, "%s: %s", what, strerror(-rc));
    return rc;
}

static void ep0_ready(void *ctx, short revents)
{
    (void)ctx;
    (void)revents;
    ffs_port_ep0_ready(usb.port);
}

static void aio_ready(void *ctx, short revents)
{
    (void)ctx;
    (void)revents;
    ffs_port_aio_ready(usb.port);
}

static void usb_init(const struct front_config *config)
{
    usb.config = *config;
}

static int usb_open(int ep0)
{
    usb.port = ffs_port_create(ep0, usb.config.deferred, usb.config.log);
    return usb.port ? 0 : fail("USB port", -errno);
}

static int usb_describe(void)
{
    int rc = ffs_port_write_descriptors(usb.port);
    return rc < 0 ? fail("FunctionFS refused the USB descriptors", rc) : 0;
}

static int usb_attach(int in_fd, int out_fd)
{
    int rc = ffs_port_attach(usb.port, in_fd, out_fd);
    return rc < 0 ? fail("USB endpoints", rc) : 0;
}

static int usb_serve(struct lun *const *luns, unsigned count)
{
    const struct bot_config bc = {
        .port = ffs_port_usb(usb.port),
        .deferred = usb.config.deferred,
        .luns = luns,
        .lun_count = count,
        .short_in = usb.config.config->short_in,
        .now_us = loop_now_us,
        .log = usb.config.log,
    };
    usb.bot = bot_create(&bc);
    if (!usb.bot)
        return fail("Bulk-Only Transport", -errno);
    usb.ep0 =
        (struct loop_watch){.fd = ffs_port_ep0_fd(usb.port), .events = POLLIN, .ready = ep0_ready};
    usb.aio =
        (struct loop_watch){.fd = ffs_port_aio_fd(usb.port), .events = POLLIN, .ready = aio_ready};
    int rc = loop_add(usb.config.loop, &usb.ep0);
    return rc < 0 ? rc : loop_add(usb.config.loop, &usb.aio);
}

static void usb_bind_text(char text[PRIVSEP_TEXT_BYTES])
{
    text[0] = 0;
}

static uint64_t usb_prepare(void)
{
    return bot_next_timeout_us(usb.bot);
}

static void usb_run_timeouts(void)
{
    bot_run_timeouts(usb.bot);
}

static bool usb_host_present(void)
{
    return bot_stats(usb.bot)->speed != USB_SPEED_NONE;
}

static unsigned usb_state(void)
{
    return bot_stats(usb.bot)->speed;
}

static void usb_view(struct status_view *view)
{
    view->bot = bot_stats(usb.bot);
    view->bot_state = bot_state_name(usb.bot);
    view->port = ffs_port_stats(usb.port);
}

const struct front_ops front_usb = {
    .init = usb_init,
    .open = usb_open,
    .describe = usb_describe,
    .attach = usb_attach,
    .serve = usb_serve,
    .bind_text = usb_bind_text,
    .prepare = usb_prepare,
    .run_timeouts = usb_run_timeouts,
    .host_present = usb_host_present,
    .state = usb_state,
    .view = usb_view,
};
