/* SPDX-License-Identifier: BSD-2-Clause */
#include "ffs_ep0.h"

#include "descriptors.h"

#include <errno.h>
#include <linux/usb/functionfs.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static enum ffs_event_type event_type(uint8_t type)
{
    switch (type) {
    case FUNCTIONFS_BIND:
        return FFS_EV_BIND;
    case FUNCTIONFS_UNBIND:
        return FFS_EV_UNBIND;
    case FUNCTIONFS_ENABLE:
        return FFS_EV_ENABLE;
    case FUNCTIONFS_DISABLE:
        return FFS_EV_DISABLE;
    case FUNCTIONFS_SETUP:
        return FFS_EV_SETUP;
    case FUNCTIONFS_SUSPEND:
        return FFS_EV_SUSPEND;
    case FUNCTIONFS_RESUME:
        return FFS_EV_RESUME;
    default:
        return FFS_EV_UNKNOWN;
    }
}

static uint16_t from_le16(__le16 v)
{
    uint8_t bytes[2];

    memcpy(bytes, &v, sizeof(bytes));
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* Polls before it reads: on Linux 6.12 a read() that finds nothing keeps the
 * lock that unbinding the gadget needs, and both wait for ever. The file is not
 * O_NONBLOCK instead, because its poll() then misses events under that lock. */
int ffs_ep0_read(int ep0_fd, struct ffs_event *event)
{
    struct pollfd p = {.fd = ep0_fd, .events = POLLIN};
    struct usb_functionfs_event raw;

    if (poll(&p, 1, 0) != 1 || !(p.revents & POLLIN))
        return 0;
    ssize_t n = read(ep0_fd, &raw, sizeof(raw));
    if (n < 0) /* EIDRM: a control request was given up before its answer */
        return errno == EIDRM || errno == EINTR || errno == EAGAIN ? 0 : -errno;
    if (n != (ssize_t)sizeof(raw))
        return -EPROTO;
    memset(event, 0, sizeof(*event));
    event->type = event_type(raw.type);
    if (event->type == FFS_EV_SETUP) {
        event->request_type = raw.u.setup.bRequestType;
        event->request = raw.u.setup.bRequest;
        event->value = from_le16(raw.u.setup.wValue);
        event->index = from_le16(raw.u.setup.wIndex);
        event->length = from_le16(raw.u.setup.wLength);
    }
    return 1;
}

int ffs_ep0_answer(int ep0_fd, const void *data, size_t bytes)
{
    return write(ep0_fd, data, bytes) < 0 ? -errno : 0;
}

int ffs_ep0_acknowledge(int ep0_fd)
{
    uint8_t none = 0;

    return read(ep0_fd, &none, 0) < 0 ? -errno : 0;
}

/* FunctionFS stalls when ep0 is used against the direction of the request,
 * and says so with EL2HLT. */
int ffs_ep0_stall(int ep0_fd, const struct ffs_event *setup)
{
    uint8_t none = 0;
    ssize_t n = setup->request_type & USB_DIR_IN ? read(ep0_fd, &none, 0) : write(ep0_fd, &none, 0);

    return n < 0 && errno != EL2HLT ? -errno : 0;
}

static int write_blob(int ep0_fd, const uint8_t *blob, size_t bytes)
{
    if (bytes == 0)
        return -EOVERFLOW;
    ssize_t n = write(ep0_fd, blob, bytes);
    if (n < 0)
        return -errno;
    return (size_t)n == bytes ? 0 : -EIO;
}

int ffs_ep0_write_descriptors(int ep0_fd)
{
    uint8_t descriptors[DESCRIPTORS_BYTES_MAX], strings[STRINGS_BYTES_MAX];

    int err = write_blob(ep0_fd, descriptors, descriptors_build(descriptors, sizeof(descriptors)));
    if (!err)
        err = write_blob(ep0_fd, strings, strings_build(strings, sizeof(strings)));
    return err;
}

/* The type of ioctl()'s second parameter: POSIX says int, glibc does not. */
#ifdef __GLIBC__
#define IOCTL_REQUEST(r) ((unsigned long)(r))
#else
#define IOCTL_REQUEST(r) ((int)(r))
#endif

int ffs_endpoint_max_packet(int endpoint_fd)
{
    struct usb_endpoint_descriptor descriptor;

    memset(&descriptor, 0, sizeof(descriptor));
    if (ioctl(endpoint_fd, IOCTL_REQUEST(FUNCTIONFS_ENDPOINT_DESC), &descriptor) < 0)
        return -errno;
    return from_le16(descriptor.wMaxPacketSize);
}

void ffs_endpoint_flush(int endpoint_fd)
{
    (void)ioctl(endpoint_fd, IOCTL_REQUEST(FUNCTIONFS_FIFO_FLUSH));
}

void ffs_endpoint_clear_halt(int endpoint_fd)
{
    (void)ioctl(endpoint_fd, IOCTL_REQUEST(FUNCTIONFS_CLEAR_HALT));
}
