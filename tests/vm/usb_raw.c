/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A USB host of our own, over Linux usbfs: control requests and Bulk-Only
 * transfers that usb-storage never makes. Runs in a guest against the disk
 * VID:PID 1d6b:0104 and takes it from usb-storage while it runs.
 *
 *   usb_raw max-lun            GET MAX LUN
 *   usb_raw stalls             requests that must be stalled
 *   usb_raw reset PHASE COUNT  Bulk-Only reset at: idle, cbw, data-in, data-out, csw;
 *                              each time the next command must work
 */
#include "bridge/bytes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/usb/ch9.h>
#include <linux/usbdevice_fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifdef __GLIBC__
#define IOCTL_REQUEST(r) ((unsigned long)(r))
#else
#define IOCTL_REQUEST(r) ((int)(r))
#endif

#define DATA_BYTES 65536
#define TIMEOUT_MS 3000

static int fd = -1;
static unsigned ep_in, ep_out;
static uint32_t tag;
static uint8_t data[DATA_BYTES];

static _Noreturn void die(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the device ---- */

/* Endpoint addresses from the descriptors that usbfs gives. */
static bool is_ours(int candidate)
{
    uint8_t d[512];
    ssize_t bytes = pread(candidate, d, sizeof(d), 0);

    if (bytes < 18 || (d[8] | d[9] << 8) != 0x1d6b || (d[10] | d[11] << 8) != 0x0104)
        return false;
    for (ssize_t i = 18; i + 7 <= bytes && d[i] > 0; i += d[i])
        if (d[i + 1] == USB_DT_ENDPOINT)
            *(d[i + 2] & USB_DIR_IN ? &ep_in : &ep_out) = d[i + 2];
    return true;
}

static void open_device(void)
{
    for (int bus = 1; bus < 8 && fd < 0; bus++)
        for (int dev = 1; dev < 128 && fd < 0; dev++) {
            char path[64];
            (void)snprintf(path, sizeof(path), "/dev/bus/usb/%03d/%03d", bus, dev);
            fd = open(path, O_RDWR | O_CLOEXEC);
            if (fd >= 0 && !is_ours(fd)) {
                (void)close(fd);
                fd = -1;
            }
        }
    if (fd < 0)
        die("no device 1d6b:0104");
    struct usbdevfs_disconnect_claim claim = {.interface = 0};
    if (ioctl(fd, IOCTL_REQUEST(USBDEVFS_DISCONNECT_CLAIM), &claim) != 0)
        die("claim");
}

static void give_back(void)
{
    unsigned interface = 0;
    struct usbdevfs_ioctl connect = {.ifno = 0, .ioctl_code = (int)USBDEVFS_CONNECT};

    (void)ioctl(fd, IOCTL_REQUEST(USBDEVFS_RELEASEINTERFACE), &interface);
    (void)ioctl(fd, IOCTL_REQUEST(USBDEVFS_IOCTL), &connect);
}

/* Bytes or -errno. */
static int control(unsigned type, unsigned request, unsigned value, unsigned length)
{
    static uint8_t buf[64];
    struct usbdevfs_ctrltransfer c = {.bRequestType = (uint8_t)type,
                                      .bRequest = (uint8_t)request,
                                      .wValue = (uint16_t)value,
                                      .wLength = (uint16_t)length,
                                      .timeout = TIMEOUT_MS,
                                      .data = buf};
    int n = ioctl(fd, IOCTL_REQUEST(USBDEVFS_CONTROL), &c);

    if (n > 0)
        data[0] = buf[0];
    return n < 0 ? -errno : n;
}

static int bulk(unsigned endpoint, void *buf, unsigned length, unsigned timeout_ms)
{
    struct usbdevfs_bulktransfer b = {
        .ep = endpoint, .len = length, .timeout = timeout_ms, .data = buf};
    int n = ioctl(fd, IOCTL_REQUEST(USBDEVFS_BULK), &b);

    return n < 0 ? -errno : n;
}

static void clear_halts(void)
{
    if (ioctl(fd, IOCTL_REQUEST(USBDEVFS_CLEAR_HALT), &ep_in) != 0 ||
        ioctl(fd, IOCTL_REQUEST(USBDEVFS_CLEAR_HALT), &ep_out) != 0)
        die("clear halt");
}

/* ---- Bulk-Only ---- */

/* READ(10) or WRITE(10) of whole 512-byte blocks at 0. */
static void send_cbw(bool in, unsigned bytes)
{
    uint8_t cbw[31] = {'U', 'S', 'B', 'C'};

    put_le32(cbw + 4, ++tag);
    put_le32(cbw + 8, bytes);
    cbw[12] = in ? 0x80 : 0;
    cbw[14] = 10;
    cbw[15] = in ? 0x28 : 0x2a;
    put_be16(cbw + 15 + 7, (uint16_t)(bytes / 512));
    if (bulk(ep_out, cbw, sizeof(cbw), TIMEOUT_MS) != sizeof(cbw))
        die("CBW");
}

static void expect_csw(void)
{
    uint8_t csw[13] = {0};
    int n = bulk(ep_in, csw, sizeof(csw), TIMEOUT_MS);

    if (n < 0)
        errno = -n;
    if (n != sizeof(csw) || memcmp(csw, "USBS", 4) != 0 || get_le32(csw + 4) != tag ||
        get_le32(csw + 8) != 0 || csw[12] != 0) {
        printf("CSW: %d bytes, tag %u of %u, residue %u, status %u\n", n, get_le32(csw + 4), tag,
               get_le32(csw + 8), csw[12]);
        exit(1);
    }
}

/* The disk's first 64 KiB hold a pattern; each command that must work proves it.
 * dummy_hcd's FIFO of 64 bytes cannot be emptied by a gadget: a CSW that the
 * host had not read before a reset comes once more there. */
static void expect_read_works(bool old_csw_may_come)
{
    memset(data, 0, sizeof(data));
    send_cbw(true, DATA_BYTES);
    int n = bulk(ep_in, data, DATA_BYTES, TIMEOUT_MS);
    if (old_csw_may_come && n == 13 && get_le32(data + 4) == tag - 1)
        n = bulk(ep_in, data, DATA_BYTES, TIMEOUT_MS);
    if (n != DATA_BYTES) {
        errno = n < 0 ? -n : 0;
        printf("data after reset: %d\n", n);
        exit(1);
    }
    for (unsigned i = 0; i < DATA_BYTES; i += 4)
        if (get_le32(data + i) != i * 2654435761U) {
            printf("data after reset: wrong at %u\n", i);
            exit(1);
        }
    expect_csw();
}

static void write_pattern(void)
{
    for (unsigned i = 0; i < DATA_BYTES; i += 4)
        put_le32(data + i, i * 2654435761U);
    send_cbw(false, DATA_BYTES);
    if (bulk(ep_out, data, DATA_BYTES, TIMEOUT_MS) != DATA_BYTES)
        die("pattern");
    expect_csw();
}

static void go_to(const char *phase)
{
    if (strcmp(phase, "idle") == 0)
        return;
    if (strcmp(phase, "data-out") == 0) {
        /* the pattern again, so that the part that arrives changes nothing */
        send_cbw(false, DATA_BYTES);
        if (bulk(ep_out, data, DATA_BYTES / 4, TIMEOUT_MS) != DATA_BYTES / 4)
            die("data-out");
        return;
    }
    send_cbw(true, DATA_BYTES);
    if (strcmp(phase, "cbw") == 0)
        return;
    unsigned bytes = strcmp(phase, "csw") == 0 ? DATA_BYTES : DATA_BYTES / 4;
    if (bulk(ep_in, data, bytes, TIMEOUT_MS) != (int)bytes)
        die("data-in");
}

static void resets(const char *phase, int count)
{
    write_pattern();
    expect_read_works(false);
    for (int i = 0; i < count; i++) {
        go_to(phase);
        int n = control(0x21, 0xff, 0, 0);
        if (n < 0) {
            errno = -n;
            die("Bulk-Only reset");
        }
        clear_halts();
        expect_read_works(strcmp(phase, "csw") == 0);
    }
    printf("%d resets at %s\n", count, phase);
}

static void stalls(void)
{
    static const struct {
        const char *what;
        unsigned type, request, value, length;
    } bad[] = {
        {"GET MAX LUN of 2 bytes", 0xa1, 0xfe, 0, 2},
        {"GET MAX LUN with a value", 0xa1, 0xfe, 1, 1},
        {"GET MAX LUN to the device", 0x21, 0xfe, 0, 0},
        {"reset with a value", 0x21, 0xff, 1, 0},
        {"reset with data", 0x21, 0xff, 0, 4},
        {"reset to the host", 0xa1, 0xff, 0, 1},
        {"unknown request in", 0xa1, 0x01, 0, 8},
        {"unknown request out", 0x21, 0x01, 0, 0},
        {"vendor request", 0xc1, 0x01, 0, 8},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int n = control(bad[i].type, bad[i].request, bad[i].value, bad[i].length);
        printf("%s: %s\n", bad[i].what, n == -EPIPE ? "stalled" : n < 0 ? strerror(-n) : "taken");
        if (n != -EPIPE)
            exit(1);
    }
    write_pattern();
    expect_read_works(false);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    open_device();
    (void)atexit(give_back);
    if (strcmp(verb, "max-lun") == 0) {
        int n = control(0xa1, 0xfe, 0, 1);
        printf("%d byte, max LUN %u\n", n, data[0]);
        return n != 1;
    }
    if (strcmp(verb, "stalls") == 0)
        stalls();
    else if (strcmp(verb, "reset") == 0 && argc == 4)
        resets(argv[2], (int)strtol(argv[3], NULL, 10));
    else
        return 2;
    return 0;
}
