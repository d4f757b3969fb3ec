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

/* 1 equal, 0 different, -1 at least one side lacks the page. */
static int vpd_equal(const struct disk_identity *a, const struct disk_identity *b, uint8_t code)
{
    const struct disk_vpd *pa = disk_vpd_find(a, code);
    const struct disk_vpd *pb = disk_vpd_find(b, code);
    if (!pa && !pb)
        return -1;
    if (!pa || !pb)
        return 0;
    return pa->bytes == pb->bytes && memcmp(pa->data, pb->data, pa->bytes) == 0;
}

bool disk_same(const struct disk_identity *a, const struct disk_identity *b)
{
    int designation = vpd_equal(a, b, VPD_DESIGNATION);
    int serial = vpd_equal(a, b, VPD_SERIAL);
    if (designation >= 0 || serial >= 0)
        return designation != 0 && serial != 0;
    /* Vendor, product and revision: bytes 8 to 35 of the INQUIRY data. */
    return a->inquiry_bytes >= 36 && b->inquiry_bytes >= 36 &&
           memcmp(a->inquiry + 8, b->inquiry + 8, 28) == 0;
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
    /* SPC-4 7.8.6: descriptors of the logical unit; NAA (3) before EUI (2) before T10 (1). */
    int best = 0;
    for (size_t at = 4; page && at + 4 <= page->bytes;) {
        const uint8_t *d = page->data + at;
        size_t length = d[3];
        if (at + 4 + length > page->bytes)
            break;
        int type = d[1] & 0x0f;
        bool of_lun = (d[1] >> 4 & 3) == 0;
        if (of_lun && type >= 1 && type <= 3 && type > best) {
            best = type;
            if (type == 1)
                print_text(d + 4, length, out, size);
            else
                print_hex(d + 4, length, out, size);
        }
        at += 4 + length;
    }
    if (best)
        return out;
    page = disk_vpd_find(disk, VPD_SERIAL);
    if (page && page->bytes > 4)
        return print_text(page->data + 4, page->bytes - 4u, out, size);
    return print_text(disk->inquiry + 8, disk->inquiry_bytes >= 36 ? 28 : 0, out, size);
}
