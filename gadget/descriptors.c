/* SPDX-License-Identifier: BSD-2-Clause */
#include "descriptors.h"

#include "bridge/bytes.h"

#include <linux/usb/ch9.h>
#include <linux/usb/functionfs.h>
#include <stdbool.h>
#include <string.h>

enum {
    SUBCLASS_SCSI = 0x06,      /* transparent SCSI command set */
    PROTOCOL_BULK_ONLY = 0x50, /* Mass Storage Specification Overview 1.4, table 3 */
    ENDPOINT_IN = USB_DIR_IN | 1,
    ENDPOINT_OUT = USB_DIR_OUT | 2,
    STRING_INTERFACE = 1, /* index in the strings blob */
    LANGUAGE_US_ENGLISH = 0x0409,
    /* Packets per burst, less one. 15 is the most, and what the kernel's own
     * mass storage function declares. It is only a permission: a controller
     * with smaller FIFOs ends its bursts early. */
    SUPER_MAX_BURST = 15,
};

/* Appends; remembers that it did not fit instead of writing too far. */
struct builder {
    uint8_t *out;
    size_t size, used;
    bool overflow;
};

static uint8_t *room(struct builder *b, size_t bytes)
{
    if (b->overflow || b->size - b->used < bytes) {
        b->overflow = true;
        return NULL;
    }
    uint8_t *p = b->out + b->used;
    b->used += bytes;
    return p;
}

static void add_8(struct builder *b, unsigned v)
{
    uint8_t *p = room(b, 1);
    if (p)
        p[0] = (uint8_t)v;
}

static void add_16(struct builder *b, unsigned v)
{
    add_8(b, v & 0xff);
    add_8(b, v >> 8);
}

static void add_32(struct builder *b, uint32_t v)
{
    uint8_t *p = room(b, 4);
    if (p)
        put_le32(p, v);
}

/* Both blobs have their own length as their second word. */
static size_t finish(struct builder *b)
{
    if (b->overflow)
        return 0;
    put_le32(b->out + 4, (uint32_t)b->used);
    return b->used;
}

static void add_interface(struct builder *b)
{
    add_8(b, USB_DT_INTERFACE_SIZE);
    add_8(b, USB_DT_INTERFACE);
    add_8(b, 0); /* bInterfaceNumber: the kernel puts the real one in */
    add_8(b, 0); /* bAlternateSetting */
    add_8(b, 2); /* bNumEndpoints */
    add_8(b, USB_CLASS_MASS_STORAGE);
    add_8(b, SUBCLASS_SCSI);
    add_8(b, PROTOCOL_BULK_ONLY);
    add_8(b, STRING_INTERFACE);
}

static void add_endpoint(struct builder *b, unsigned address, unsigned max_packet_bytes)
{
    add_8(b, USB_DT_ENDPOINT_SIZE);
    add_8(b, USB_DT_ENDPOINT);
    add_8(b, address);
    add_8(b, USB_ENDPOINT_XFER_BULK);
    add_16(b, max_packet_bytes);
    add_8(b, 0); /* bInterval: high-speed bulk OUT never NAKs for good */
}

static void add_super_companion(struct builder *b)
{
    add_8(b, USB_DT_SS_EP_COMP_SIZE);
    add_8(b, USB_DT_SS_ENDPOINT_COMP);
    add_8(b, SUPER_MAX_BURST);
    add_8(b, 0);  /* bmAttributes: no streams, Bulk-Only has none */
    add_16(b, 0); /* wBytesPerInterval: periodic endpoints only */
}

static void add_speed(struct builder *b, unsigned max_packet_bytes)
{
    add_interface(b);
    add_endpoint(b, ENDPOINT_IN, max_packet_bytes);
    if (max_packet_bytes == BULK_MAX_PACKET_SUPER)
        add_super_companion(b);
    add_endpoint(b, ENDPOINT_OUT, max_packet_bytes);
    if (max_packet_bytes == BULK_MAX_PACKET_SUPER)
        add_super_companion(b);
}

size_t descriptors_build(uint8_t *out, size_t size)
{
    struct builder b = {.out = out, .size = size};

    add_32(&b, FUNCTIONFS_DESCRIPTORS_MAGIC_V2);
    add_32(&b, 0); /* length: finish() */
    add_32(&b, FUNCTIONFS_HAS_FS_DESC | FUNCTIONFS_HAS_HS_DESC | FUNCTIONFS_HAS_SS_DESC);
    add_32(&b, 3); /* descriptors at full speed: interface, two endpoints */
    add_32(&b, 3); /* at high speed */
    add_32(&b, 5); /* at super speed: with the companions */
    add_speed(&b, BULK_MAX_PACKET_FULL);
    add_speed(&b, BULK_MAX_PACKET_HIGH);
    add_speed(&b, BULK_MAX_PACKET_SUPER);
    return finish(&b);
}

size_t strings_build(uint8_t *out, size_t size)
{
    static const char name[] = "lunstick";
    struct builder b = {.out = out, .size = size};

    add_32(&b, FUNCTIONFS_STRINGS_MAGIC);
    add_32(&b, 0); /* length: finish() */
    add_32(&b, 1); /* strings per language */
    add_32(&b, 1); /* languages */
    add_16(&b, LANGUAGE_US_ENGLISH);
    uint8_t *p = room(&b, sizeof(name)); /* with its NUL, and nothing after it */
    if (p)
        memcpy(p, name, sizeof(name));
    return finish(&b);
}
