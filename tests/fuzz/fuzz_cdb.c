/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CDB table and the local answers: any CDB, any length the host declares,
 * any disk. Input: 16 bytes of CDB, its length, flags, then identity bytes.
 */
#include "bridge/cdrom.h"
#include "bridge/identity.h"
#include "bridge/local.h"
#include "bridge/opcode.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* What a CD-ROM does not answer is a READ of whole blocks on the disk. */
static void as_cdrom(const struct local_view *view, uint8_t *cdb, uint8_t cdb_bytes,
                     struct local_reply *reply)
{
    struct cdrom drive = {0};
    struct op op;
    if (view->disk && cdrom_unusable(view->disk))
        return;
    memset(&op, 0xff, sizeof(op));
    cdrom_decode(view->disk, cdb, &cdb_bytes, &op);
    if (op.plain) {
        assert(op.read_only && op.dir == SCSI_DIR_IN && op.length_bytes % CDROM_BLOCK_BYTES == 0);
        assert(op.lba + op.blocks <= view->disk->blocks);
        return;
    }
    memset(reply, 0xff, sizeof(*reply));
    cdrom_answer(&drive, view, cdb, reply);
    assert(reply->bytes <= sizeof(reply->data));
    assert(reply->bytes == 0 || reply->sense.key == SENSE_NO_SENSE);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 20)
        return 0;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    memcpy(cdb, input, sizeof(cdb));
    uint8_t flags = input[17];
    uint32_t block_bytes = 512u << (flags >> 4 & 3);

    struct op op;
    memset(&op, 0xff, sizeof(op));
    op_decode(cdb, input[16], block_bytes, &op);
    assert(op.name != NULL);
    if (op.plain) {
        /* A smaller range must read back as it was set, in the same form. */
        uint64_t lba = op.lba;
        uint32_t blocks = op.blocks > 1 ? (uint32_t)(op.blocks / 2) : 1;
        uint8_t piece[SCSI_CDB_MAX_BYTES];
        memcpy(piece, cdb, sizeof(piece));
        op_set_range(piece, lba, blocks);
        struct op half;
        op_decode(piece, input[16], block_bytes, &half);
        assert(half.plain && half.lba == lba && half.blocks == blocks);
        assert(half.dir == op.dir && half.writes == op.writes);
    }

    struct disk_identity disk;
    memset(&disk, 0, sizeof(disk));
    disk.blocks = 1000;
    disk.block_bytes = block_bytes;
    disk.has_caching_page = flags & 1;
    disk.inquiry_bytes =
        (uint8_t)(size - 20 < sizeof(disk.inquiry) ? size - 20 : sizeof(disk.inquiry));
    memcpy(disk.inquiry, input + 20, disk.inquiry_bytes);
    disk.vpd_count = 2;
    for (unsigned i = 0; i < 2; i++) {
        struct disk_vpd *page = &disk.vpd[i];
        page->code = i == 0 ? 0x00 : 0x83;
        size_t bytes = size - 20 < DISK_VPD_BYTES ? size - 20 : DISK_VPD_BYTES;
        page->bytes = (uint8_t)bytes;
        memcpy(page->data, input + 20, bytes);
    }
    char name[40];
    disk_name(&disk, name, sizeof(name));
    assert(strlen(name) < sizeof(name));
    assert(disk.inquiry_bytes < 36 || disk_same(&disk, &disk));

    struct scsi_outcome kept;
    memset(&kept, 0, sizeof(kept));
    kept.sense_bytes = input[18] <= SENSE_MAX_BYTES ? input[18] : SENSE_MAX_BYTES;
    memcpy(kept.sense, input, size < sizeof(kept.sense) ? size : sizeof(kept.sense));
    struct local_view view = {
        .disk = flags & 2 ? &disk : NULL,
        .medium = flags & 16,
        .removable = flags & 4,
        .luns = 1 + (flags >> 4 & 15),
        .kept_sense = flags & 8 ? &kept : NULL,
    };
    struct local_reply reply;
    memset(&reply, 0xff, sizeof(reply));
    if (local_answer(&view, cdb, &reply))
        assert(reply.bytes <= sizeof(reply.data));
    as_cdrom(&view, cdb, input[16], &reply);
    return 0;
}
