/* SPDX-License-Identifier: BSD-2-Clause */
#include "usb_host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/usb/ch9.h>
#include <linux/usbdevice_fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* The type of ioctl()'s second parameter: POSIX says int, glibc does not. */
#ifdef __GLIBC__
#define IOCTL_REQUEST(r) ((unsigned long)(r))
#else
#define IOCTL_REQUEST(r) ((int)(r))
#endif

#define DEVICES    "/sys/bus/usb/devices"
#define GADGETS    "/sys/kernel/config/usb_gadget"
#define UDC        "dummy_udc.0"
#define CONTROL_MS 5000
#define PLUG_MS    10000

static int fd = -1;
static unsigned endpoint[2], packet_bytes;
static char sysfs[64]; /* the device's directory, below DEVICES */
static bool watching;  /* a kernel driver has the interface */

uint64_t usb_now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000U + (uint64_t)t.tv_nsec / 1000000U;
}

void usb_sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

unsigned usb_packet_bytes(void)
{
    return packet_bytes;
}

/* ---- sysfs ---- */

/* The first line of a file; empty if it cannot be read. */
static const char *read_line(const char *directory, const char *name)
{
    static char line[64];
    char path[192];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    line[0] = '\0';
    FILE *f = fopen(path, "re");
    if (f) {
        if (!fgets(line, sizeof(line), f))
            line[0] = '\0';
        (void)fclose(f);
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static int write_line(const char *directory, const char *name, const char *text)
{
    char path[192];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    ssize_t n = write(file, text, strlen(text));
    int err = n < 0 ? -errno : 0;
    (void)close(file);
    return err;
}

const char *usb_sysfs_dir(void)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), DEVICES "/%s", sysfs);
    return path;
}

static bool find_in_sysfs(void)
{
    DIR *dir = opendir(DEVICES);
    bool found = false;
    const struct dirent *entry;

    while (dir && !found && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || strchr(entry->d_name, ':'))
            continue;
        (void)snprintf(sysfs, sizeof(sysfs), "%.63s", entry->d_name);
        found = strcmp(read_line(usb_sysfs_dir(), "idVendor"), "1d6b") == 0 &&
                strcmp(read_line(usb_sysfs_dir(), "idProduct"), "0104") == 0 &&
                strcmp(read_line(usb_sysfs_dir(), "bConfigurationValue"), "1") == 0;
    }
    if (dir)
        (void)closedir(dir);
    return found;
}

/* ---- life ---- */

static int claim(void)
{
    struct usbdevfs_disconnect_claim request = {.interface = 0};

    if (watching)
        return 0;
    return ioctl(fd, IOCTL_REQUEST(USBDEVFS_DISCONNECT_CLAIM), &request) < 0 ? -errno : 0;
}

/* Endpoints from the descriptors of the configuration in use, which usbfs gives. */
static bool read_endpoints(void)
{
    uint8_t d[512];
    ssize_t bytes = pread(fd, d, sizeof(d), 0);

    endpoint[0] = endpoint[1] = 0;
    for (ssize_t i = 18; i + 7 <= bytes && d[i] > 0; i += d[i])
        if (d[i + 1] == USB_DT_ENDPOINT) {
            endpoint[d[i + 2] & USB_DIR_IN ? USB_FROM_DEVICE : USB_TO_DEVICE] = d[i + 2];
            packet_bytes = (unsigned)(d[i + 4] | d[i + 5] << 8);
        }
    return endpoint[0] && endpoint[1];
}

static bool try_open(void)
{
    char path[64];

    if (!find_in_sysfs())
        return false;
    unsigned bus = (unsigned)strtoul(read_line(usb_sysfs_dir(), "busnum"), NULL, 10);
    unsigned dev = (unsigned)strtoul(read_line(usb_sysfs_dir(), "devnum"), NULL, 10);
    (void)snprintf(path, sizeof(path), "/dev/bus/usb/%03u/%03u", bus, dev);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && read_endpoints() && claim() == 0)
        return true;
    if (fd >= 0)
        (void)close(fd);
    fd = -1;
    return false;
}

static int open_within(unsigned timeout_ms)
{
    uint64_t end_ms = usb_now_ms() + timeout_ms;

    while (!try_open()) {
        if (usb_now_ms() >= end_ms)
            return -ETIMEDOUT;
        usb_sleep_ms(5);
    }
    return 0;
}

int usb_open(unsigned timeout_ms)
{
    watching = false;
    return open_within(timeout_ms);
}

int usb_watch(unsigned timeout_ms)
{
    watching = true;
    return open_within(timeout_ms);
}

void usb_close(void)
{
    unsigned interface = 0;
    struct usbdevfs_ioctl connect = {.ifno = 0, .ioctl_code = (int)USBDEVFS_CONNECT};

    if (fd < 0)
        return;
    (void)ioctl(fd, IOCTL_REQUEST(USBDEVFS_RELEASEINTERFACE), &interface);
    (void)ioctl(fd, IOCTL_REQUEST(USBDEVFS_IOCTL), &connect);
    (void)close(fd);
    fd = -1;
}

/* ---- transfers ---- */

int usb_control(uint8_t type, uint8_t request, uint16_t value, uint16_t index, void *data,
                uint16_t bytes)
{
    struct usbdevfs_ctrltransfer c = {.bRequestType = type,
                                      .bRequest = request,
                                      .wValue = value,
                                      .wIndex = index,
                                      .wLength = bytes,
                                      .timeout = CONTROL_MS,
                                      .data = data};
    int n = ioctl(fd, IOCTL_REQUEST(USBDEVFS_CONTROL), &c);

    return n < 0 ? -errno : n;
}

/* Takes the one outstanding URB back; `given_up`: after a discard. */
static struct usb_result reap(struct usbdevfs_urb *urb, bool given_up)
{
    struct usbdevfs_urb *done = NULL;
    struct usb_result result = {-ENODEV, 0};

    if (given_up)
        (void)ioctl(fd, IOCTL_REQUEST(USBDEVFS_DISCARDURB), urb);
    if (ioctl(fd, IOCTL_REQUEST(USBDEVFS_REAPURB), &done) < 0 || done != urb)
        return result;
    result.status = given_up && urb->status == -ENOENT ? -ETIMEDOUT : urb->status;
    result.bytes = (unsigned)urb->actual_length;
    return result;
}

static int submit(struct usbdevfs_urb *urb, enum usb_way way, void *buf, unsigned bytes)
{
    memset(urb, 0, sizeof(*urb));
    urb->type = USBDEVFS_URB_TYPE_BULK;
    urb->endpoint = (unsigned char)endpoint[way];
    urb->buffer = buf;
    urb->buffer_length = (int)bytes;
    return ioctl(fd, IOCTL_REQUEST(USBDEVFS_SUBMITURB), urb) < 0 ? -errno : 0;
}

struct usb_result usb_bulk(enum usb_way way, void *buf, unsigned bytes, unsigned timeout_ms)
{
    struct usbdevfs_urb urb;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    struct usb_result result = {submit(&urb, way, buf, bytes), 0};

    if (result.status)
        return result;
    return reap(&urb, poll(&p, 1, (int)timeout_ms) == 0);
}

struct usb_result usb_bulk_abort(enum usb_way way, void *buf, unsigned bytes, unsigned after_us)
{
    struct usbdevfs_urb urb;
    struct timespec t = {.tv_nsec = (long)after_us * 1000};
    struct usb_result result = {submit(&urb, way, buf, bytes), 0};

    if (result.status)
        return result;
    if (after_us)
        (void)nanosleep(&t, NULL);
    return reap(&urb, true);
}

/* ---- what a host can do to a device ---- */

int usb_clear_halt(enum usb_way way)
{
    return ioctl(fd, IOCTL_REQUEST(USBDEVFS_CLEAR_HALT), &endpoint[way]) < 0 ? -errno : 0;
}

int usb_is_halted(enum usb_way way)
{
    uint8_t status[2] = {0xff, 0xff};
    int n = usb_control(USB_DIR_IN | USB_RECIP_ENDPOINT, USB_REQ_GET_STATUS, 0,
                        (uint16_t)endpoint[way], status, sizeof(status));

    return n == 2 ? status[0] & 1 : n < 0 ? n : -EPROTO;
}

int usb_bot_reset(void)
{
    return usb_control(USB_TYPE_CLASS | USB_RECIP_INTERFACE, 0xff, 0, 0, NULL, 0);
}

int usb_bot_recovery(void)
{
    int err = usb_bot_reset();

    if (err == 0)
        err = usb_clear_halt(USB_FROM_DEVICE);
    return err ? err : usb_clear_halt(USB_TO_DEVICE);
}

/* The kernel takes every interface from its driver for it, usbfs included. */
int usb_port_reset(void)
{
    int err = ioctl(fd, IOCTL_REQUEST(USBDEVFS_RESET), NULL) < 0 ? -errno : 0;

    return err ? err : claim();
}

int usb_configuration_zero(void)
{
    int err = write_line(usb_sysfs_dir(), "bConfigurationValue", "0");

    if (err == 0)
        err = write_line(usb_sysfs_dir(), "bConfigurationValue", "1");
    return err ? err : claim();
}

static int wait_power(const char *status)
{
    uint64_t end_ms = usb_now_ms() + PLUG_MS;

    while (strcmp(read_line(usb_sysfs_dir(), "power/runtime_status"), status) != 0) {
        if (usb_now_ms() >= end_ms)
            return -ETIMEDOUT;
        usb_sleep_ms(2);
    }
    return 0;
}

int usb_suspend(void)
{
    int err = write_line(usb_sysfs_dir(), "power/autosuspend_delay_ms", "0");

    if (err == 0)
        err = write_line(usb_sysfs_dir(), "power/control", "auto");
    if (err == 0 && ioctl(fd, IOCTL_REQUEST(USBDEVFS_ALLOW_SUSPEND), NULL) < 0)
        err = -errno;
    return err ? err : wait_power("suspended");
}

int usb_resume(void)
{
    if (ioctl(fd, IOCTL_REQUEST(USBDEVFS_FORBID_SUSPEND), NULL) < 0)
        return -errno;
    int err = write_line(usb_sysfs_dir(), "power/control", "on");
    return err ? err : wait_power("active");
}

/* The gadget that is bound to the UDC of this cable. */
static const char *gadget_dir(void)
{
    static char path[128];
    bool found = false;
    DIR *dir = opendir(GADGETS);
    const struct dirent *entry;

    while (dir && !found && (entry = readdir(dir)) != NULL) {
        (void)snprintf(path, sizeof(path), GADGETS "/%.63s", entry->d_name);
        found = strcmp(read_line(path, "UDC"), UDC) == 0;
    }
    if (dir)
        (void)closedir(dir);
    return found ? path : NULL;
}

/* Not by the UDC's soft_connect: after that dummy_hcd answers no host any more. */
int usb_replug(void)
{
    uint64_t end_ms = usb_now_ms() + PLUG_MS;
    const char *gadget = gadget_dir();
    int err = gadget ? write_line(gadget, "UDC", "\n") : -ENODEV;

    while (err == 0 && access(usb_sysfs_dir(), F_OK) == 0) {
        if (usb_now_ms() >= end_ms)
            err = -ETIMEDOUT;
        usb_sleep_ms(5);
    }
    (void)close(fd);
    fd = -1;
    if (err == 0)
        err = write_line(gadget, "UDC", UDC);
    return err ? err : open_within(PLUG_MS);
}
