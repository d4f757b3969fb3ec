/* SPDX-License-Identifier: BSD-2-Clause */
#include "identity.h"

#include <stdio.h>
#include <string.h>

#define VPD_SERIAL      0x80
#define VPD_DESIGNATION 0x83

const struct disk_vpd *disk_vpd_find(const struct disk_identity *disk, uint8_t code)
{
    for (unsigned i = 0; i < disk->vpd_count; i++)
        if (disk->vpd[i].code == code && disk->vpd[i].bytes > 0)
            return &disk->vpd[i];
    return NULL;
}

/* The next designator of the logical unit (SPC-4 7.8.6: association 0) from
 * `at` on, without those of the ports, which differ from path to path. NULL: no
 * more. */
static const uint8_t *next_designator(const struct disk_vpd *page, size_t *at)
{
    while (page && *at + 4 <= page->bytes) {
        const uint8_t *d = page->data + *at;
        if (*at + 4 + d[3] > page->bytes)
            break;
        *at += 4u + d[3];
        if ((d[1] >> 4 & 3) == 0)
            return d;
    }
    return NULL;
}

/* 1 equal, 0 different, -1 both lack it. */
static int designators_equal(const struct disk_vpd *a, const struct disk_vpd *b)
{
    size_t at_a = 4, at_b = 4;
    for (int found = -1;; found = 1) {
        const uint8_t *da = next_designator(a, &at_a);
        const uint8_t *db = next_designator(b, &at_b);
        if (!da && !db)
            return found;
        if (!da || !db || da[3] != db[3] || memcmp(da, db, 4u + da[3]) != 0)
            return 0;
    }
}

static int serials_equal(const struct disk_vpd *a, const struct disk_vpd *b)
{
    if (!a && !b)
        return -1;
    return a && b && a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

bool disk_same(const struct disk_identity *a, const struct disk_identity *b)
{
    int designation =
        designators_equal(disk_vpd_find(a, VPD_DESIGNATION), disk_vpd_find(b, VPD_DESIGNATION));
    int serial = serials_equal(disk_vpd_find(a, VPD_SERIAL), disk_vpd_find(b, VPD_SERIAL));
    if (designation >= 0 || serial >= 0)
        return designation != 0 && serial != 0;
    /* Vendor, product and revision: bytes 8 to 35 of the INQUIRY data. */
    return a->inquiry_bytes >= 36 && b->inquiry_bytes >= 36 &&
           memcmp(a->inquiry + 8, b->inquiry + 8, 28) == 0;
}

bool disk_plausible(const struct disk_identity *disk)
{
    bool fits = disk->vpd_count <= DISK_VPD_PAGES && disk->inquiry_bytes <= sizeof(disk->inquiry);
    for (unsigned i = 0; fits && i < disk->vpd_count; i++)
        fits = disk->vpd[i].bytes <= DISK_VPD_BYTES;
    return fits && !disk_unusable(disk);
}

const char *disk_unusable(const struct disk_identity *disk)
{
    if (disk->blocks == 0)
        return "the LUN has no blocks; give it a size on the target";
    uint32_t n = disk->block_bytes;
    if (n < 512 || n > 4096 || (n & (n - 1)) != 0)
        return "the LUN's block size is not one that USB hosts take (512, 1024, 2048 or 4096 "
               "bytes); make the LUN with 512-byte blocks";
    return NULL;
}

static char *print_hex(const uint8_t *data, size_t length, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < length && n + 3 <= size; i++, n += 2)
        snprintf(out + n, size - n, "%02x", data[i]);
    return out;
}

static char *print_text(const uint8_t *data, size_t length, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < length && n + 1 < size; i++)
        if (data[i] > 0x20 && data[i] < 0x7f)
            out[n++] = (char)data[i];
    out[n] = '\0';
    return out;
}

char *disk_name(const struct disk_identity *disk, char *out, size_t size)
{
    out[0] = '\0';
    const struct disk_vpd *page = disk_vpd_find(disk, VPD_DESIGNATION);
    /* NAA (3) before EUI (2) before T10 (1). */
    int best = 0;
    size_t at = 4;
    for (const uint8_t *d; (d = next_designator(page, &at));) {
        int type = d[1] & 0x0f;
        if (type > 3 || type <= best)
            continue;
        best = type;
        if (type == 1)
            print_text(d + 4, d[3], out, size);
        else
            print_hex(d + 4, d[3], out, size);
    }
    if (best)
        return out;
    page = disk_vpd_find(disk, VPD_SERIAL);
    if (page && page->bytes > 4)
        return print_text(page->data + 4, page->bytes - 4u, out, size);
    return print_text(disk->inquiry + 8, disk->inquiry_bytes >= 36 ? 28 : 0, out, size);
}
