/* SPDX-License-Identifier: BSD-2-Clause */
#include "bridge/bytes.h"
#include "nbd.h"
#include "nbd_wire.h"

#define SAME_BYTES (32u << 20) /* of one WRITE SAME: all else waits for it */

/* What a thin disk can do, SBC-3 6.6.4, byte 5. */
enum { LBPRZ = 0x04, LBPWS10 = 0x20, LBPWS = 0x40, LBPU = 0x80 };

static uint8_t provisioning(const struct disk_identity *disk)
{
    const struct disk_vpd *page = disk_vpd_find(disk, 0xb2);
    bool managed = disk->capacity16[14] & 0x80; /* LBPME */
    return managed && page && page->bytes >= 6 ? page->data[5] : 0;
}

/* Most blocks of one UNMAP descriptor; 0: the disk has no UNMAP (SBC-3 6.6.3). */
static uint32_t unmap_blocks(const struct disk_identity *disk)
{
    const struct disk_vpd *limits = disk_vpd_find(disk, 0xb0);
    if (!(provisioning(disk) & LBPU) || !limits || limits->bytes < 28)
        return 0;
    return get_be32(limits->data + 24) > 0 ? get_be32(limits->data + 20) : 0;
}

/* Most blocks of one WRITE SAME; 0: the disk tells of none. MAXIMUM WRITE SAME LENGTH
 * (SBC-3 6.6.3) is 0 where it knows no limit, and where it has no WRITE SAME. */
static uint32_t same_blocks(const struct disk_identity *disk)
{
    const struct disk_vpd *limits = disk_vpd_find(disk, 0xb0);
    uint64_t told = limits && limits->bytes >= 44 ? get_be64(limits->data + 36) : 0;
    uint32_t most = SAME_BYTES / disk->block_bytes;
    if (told == 0 && !(provisioning(disk) & (LBPWS | LBPWS10)))
        return 0;
    return told == 0 || told > most ? most : (uint32_t)told;
}

static bool has_write_cache(const struct disk_identity *disk)
{
    return disk->has_caching_page && (disk->caching_page[2] & 0x04);
}

struct nbd_geometry nbd_describe(const struct disk_identity *disk, uint32_t segment_bytes,
                                 bool read_only)
{
    struct nbd_geometry g = {
        .bytes = disk->blocks * disk->block_bytes,
        .block_bytes = disk->block_bytes,
        .max_bytes = NBD_REQUEST_SEGMENTS * segment_bytes,
        .trim_blocks = unmap_blocks(disk),
        .zero_blocks = same_blocks(disk),
        .zero_unmaps = (~provisioning(disk) & (LBPWS | LBPRZ)) == 0,
        .flags = NBD_CAN_FLAGS,
    };
    if (read_only || disk->write_protected)
        g.flags |= NBD_IS_READ_ONLY;
    if (has_write_cache(disk))
        g.flags |= NBD_CAN_FLUSH;
    if (has_write_cache(disk) && disk->dpofua)
        g.flags |= NBD_CAN_FUA;
    if (g.trim_blocks > 0)
        g.flags |= NBD_CAN_TRIM;
    if (g.zero_blocks > 0)
        g.flags |= NBD_CAN_WRITE_ZEROES;
    return g;
}
