/* SPDX-License-Identifier: BSD-2-Clause */
#include "outlet.h"

#include "gadget/gadget.h"
#include "log.h"

_Static_assert(OUTLET_WHY_BYTES >= GADGET_WHY_BYTES, "a sentence of the gadget fits");

static struct gadget *gadget;

static int usb_create(const struct outlet_config *oc, char why[OUTLET_WHY_BYTES])
{
    const struct daemon_config *config = oc->config;
    const struct gadget_config gc = {
        .scheme_path = config->scheme_path,
        .name = config->name,
        .serial = config->serial,
        .udc = config->udc[0] ? config->udc : NULL,
        .ffs_dir = oc->ffs_dir,
        .uid = oc->uid,
        .gid = oc->gid,
    };
    enum gadget_error error =
        oc->adopt ? gadget_adopt(&gc, &gadget, why) : gadget_create(&gc, &gadget, why);
    if (error == GADGET_OK)
        return 0;
    return error == GADGET_BAD_SCHEME ? 2 : 1;
}

static bool usb_reopen(char why[OUTLET_WHY_BYTES])
{
    return gadget_reopen(gadget, why) == GADGET_OK;
}

static int usb_fd(void)
{
    return gadget_ep0_fd(gadget);
}

static void usb_close_fd(void)
{
    gadget_close_ep0(gadget);
}

static bool usb_endpoints(int *in_fd, int *out_fd, char why[OUTLET_WHY_BYTES])
{
    return gadget_open_endpoints(gadget, in_fd, out_fd, why) == GADGET_OK;
}

static bool usb_bind(const char *text, char why[OUTLET_WHY_BYTES])
{
    (void)text;
    if (gadget_bind(gadget, why) != GADGET_OK)
        return false;
    log_printf(LUN_LOG_INFO, "the disk is on the USB port (%s)", gadget_udc(gadget));
    return true;
}

static const char *usb_name(void)
{
    return gadget_udc(gadget);
}

static void usb_unbind(void)
{
    gadget_unbind(gadget);
}

static void usb_destroy(void)
{
    gadget_destroy(gadget); /* and lets go of the lock */
    gadget = NULL;
}

static int usb_leave(void)
{
    return gadget_leave(gadget);
}

const struct outlet_ops outlet_usb = {
    .create = usb_create,
    .reopen = usb_reopen,
    .fd = usb_fd,
    .close_fd = usb_close_fd,
    .endpoints = usb_endpoints,
    .bind = usb_bind,
    .name = usb_name,
    .child_died = usb_unbind,
    .unbind = usb_unbind,
    .destroy = usb_destroy,
    .leave = usb_leave,
};
