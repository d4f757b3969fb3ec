/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usbip_cable NUMBER: plugs the gadget on usbip-vudc.NUMBER into port NUMBER of
 * vhci_hcd, in the same kernel; returns when the gadget is there and plugged.
 *
 * dummy_hcd, the usual cable, looks at its queues 8000 times a second while a
 * command is under way; these two do so 250 times. In a guest that skips idle
 * time an outage is cheaper by that much.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPEED_HIGH "3"
#define DEVICE_ID  0x10002u /* bus and device number at the other end: any but 0 */

static int tell(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY);
    if (fd < 0)
        return -errno;
    int result = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return result;
}

int main(int argc, char **argv)
{
    char file[128], text[64];
    int ends[2], result;
    if (argc != 2 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return 2;
    unsigned number = (unsigned)strtoul(argv[1], NULL, 10);
    snprintf(file, sizeof(file), "/sys/devices/platform/usbip-vudc.%u/usbip_sockfd", number);
    snprintf(text, sizeof(text), "%d", ends[0]);
    while ((result = tell(file, text)) == -ENODEV) /* no gadget yet */
        usleep(50000);
    if (result == 0) {
        snprintf(text, sizeof(text), "%u %d %u " SPEED_HIGH, number, ends[1], DEVICE_ID + number);
        result = tell("/sys/devices/platform/vhci_hcd.0/attach", text);
    }
    if (result != 0)
        fprintf(stderr, "usbip_cable: %s\n", strerror(-result));
    return result != 0;
}
