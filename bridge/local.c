/* SPDX-License-Identifier: BSD-2-Clause */
#include "local.h"
#include "bytes.h"
#include "opcode.h"

#include <string.h>

static bool refuse(struct local_reply *reply, struct sense_code sense)
{
    reply->sense = sense;
    reply->bytes = 0;
    return true;
}

static bool answer(struct local_reply *reply, const uint8_t *data, uint32_t bytes)
{
    memcpy(reply->data, data, bytes);
    reply->bytes = bytes;
    return true;
}

/* SPC-4 6.4.2. A disk never seen is announced as an empty drive. */
static bool inquiry_standard(const struct local_view *view, struct local_reply *reply)
{
    static const uint8_t empty_drive[36] = "\x00\x00\x05\x02\x1f\0\0\0lunstick"
                                           "iSCSI disk      "
                                           "0001";
    if (view->disk && view->disk->inquiry_bytes >= 36)
        answer(reply, view->disk->inquiry, view->disk->inquiry_bytes);
    else
        answer(reply, empty_drive, sizeof(empty_drive));
    reply->data[1] = (uint8_t)(view->removable ? 0x80 : 0x00);
    reply->data[4] = (uint8_t)(reply->bytes - 5);
    return true;
}

static bool inquiry(const struct local_view *view, const uint8_t *cdb, struct local_reply *reply)
{
    if (!(cdb[1] & 1))
        return cdb[2] == 0 ? inquiry_standard(view, reply) : refuse(reply, sense_invalid_field);

    /* Pages that the target lists but the probe does not keep, or not in full
     * length, are the target's. */
    const struct disk_vpd *page = view->disk ? disk_vpd_find(view->disk, cdb[2]) : NULL;
    if (page) {
        uint32_t asked = get_be16(cdb + 3);
        bool whole = page->bytes >= 4u + get_be16(page->data + 2) || asked <= page->bytes;
        return whole && answer(reply, page->data, asked < page->bytes ? asked : page->bytes);
    }
    const struct disk_vpd *list = view->disk ? disk_vpd_find(view->disk, 0) : NULL;
    for (unsigned i = 4; list && i < list->bytes; i++)
        if (list->data[i] == cdb[2])
            return false;

    /* Windows waits long where it is refused these two (host.c); a serial number of
     * spaces says that there is none (SPC-4 7.8.15). */
    static const uint8_t pages[6] = {0, 0x00, 0, 2, 0x00, 0x80};
    static const uint8_t no_serial[8] = {0, 0x80, 0, 4, ' ', ' ', ' ', ' '};
    if (cdb[2] == 0x00)
        return answer(reply, pages, sizeof(pages));
    if (cdb[2] == 0x80)
        return answer(reply, no_serial, sizeof(no_serial));
    return refuse(reply, sense_invalid_field);
}

/* SPC-4 6.33: each unit on the cable sees them all; none is a well known one. */
static bool report_luns(const struct local_view *view, const uint8_t *cdb,
                        struct local_reply *reply)
{
    enum { WITHOUT_WELL_KNOWN, WELL_KNOWN_ONLY, ALL };
    unsigned luns = cdb[2] == WELL_KNOWN_ONLY ? 0 : view->luns;
    if (cdb[2] > ALL)
        return refuse(reply, sense_invalid_field);
    reply->bytes = 8 + 8 * luns;
    memset(reply->data, 0, reply->bytes);
    put_be32(reply->data, 8 * luns);
    for (unsigned i = 0; i < luns; i++)
        reply->data[8 + 8 * i + 1] = (uint8_t)i;
    return true;
}

/* SPC-4 6.39: the kept sense, in the format that DESC asks for. */
static bool request_sense(const struct local_view *view, const uint8_t *cdb,
                          struct local_reply *reply)
{
    bool descriptor = cdb[1] & 1;
    const struct scsi_outcome *kept = view->kept_sense;
    struct sense_code code = view->medium ? sense_none : sense_no_medium;
    if (kept && kept->sense_bytes > 0) {
        bool kept_descriptor = (kept->sense[0] & 0x7f) >= 0x72;
        if (kept_descriptor == descriptor)
            return answer(reply, kept->sense, kept->sense_bytes);
        if (kept_descriptor) {
            sense_to_fixed(kept->sense, kept->sense_bytes, reply->data);
            reply->bytes = SENSE_FIXED_BYTES;
            return true;
        }
        sense_parse(kept->sense, kept->sense_bytes, &code);
    }
    reply->bytes = (uint32_t)(descriptor ? sense_build_descriptor(reply->data, code)
                                         : sense_build_fixed(reply->data, code));
    return true;
}

static void capacity10(const struct disk_identity *disk, uint8_t out[8])
{
    uint64_t last = disk->blocks - 1;
    put_be32(out, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
    put_be32(out + 4, disk->block_bytes);
}

static bool read_capacity10(const struct disk_identity *disk, struct local_reply *reply)
{
    capacity10(disk, reply->data);
    reply->bytes = 8;
    return true;
}

/* MMC-6 6.24: header, then one descriptor: formatted media, or no media and the
 * most that the drive could take. */
static bool read_format_capacities(const struct local_view *view, struct local_reply *reply)
{
    enum { FORMATTED = 2, NO_MEDIA = 3 };
    bool in = view->disk && view->medium;
    uint64_t blocks = in ? view->disk->blocks : UINT32_MAX;
    memset(reply->data, 0, 12);
    reply->data[3] = 8;
    put_be32(reply->data + 4, blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks);
    reply->data[8] = in ? FORMATTED : NO_MEDIA;
    put_be24(reply->data + 9, in ? view->disk->block_bytes : 512);
    reply->bytes = 12;
    return true;
}

/* One mode page with the fields of `page`, or zeros if that is NULL. Its length.
 * PS=0: nothing can be saved through us. */
static uint32_t mode_page(uint8_t *out, uint8_t code, const uint8_t *page, uint32_t bytes)
{
    memset(out, 0, bytes);
    if (page)
        memcpy(out, page, bytes);
    out[0] = code;
    out[1] = (uint8_t)(bytes - 2);
    return bytes;
}

/* Appends the mode pages that `page` asks for behind `at`. */
static uint32_t mode_pages(const struct local_view *view, uint8_t page, bool changeable,
                           uint8_t *out, uint32_t at)
{
    const struct disk_identity *disk = changeable ? NULL : view->disk;
    if (page == MODE_PAGE_CACHING || page == MODE_PAGE_ALL)
        at += mode_page(out + at, MODE_PAGE_CACHING,
                        disk && disk->has_caching_page ? disk->caching_page : NULL,
                        sizeof(disk->caching_page));
    if (page == MODE_PAGE_ALL && view->disk && view->disk->has_control_page)
        at += mode_page(out + at, MODE_PAGE_CONTROL, disk ? disk->control_page : NULL,
                        sizeof(disk->control_page));
    if (page == MODE_PAGE_EXCEPTIONS || page == MODE_PAGE_ALL)
        at += mode_page(out + at, MODE_PAGE_EXCEPTIONS, NULL, 12);
    return at;
}

/* The pages that hosts ask for before they use a disk, with all their subpages or
 * none. Others are the target's. */
static bool mode_page_is_ours(const uint8_t *cdb)
{
    uint8_t page = cdb[2] & 0x3f;
    return (page == MODE_PAGE_CACHING || page == MODE_PAGE_EXCEPTIONS || page == MODE_PAGE_ALL) &&
           (cdb[3] == 0 || cdb[3] == 0xff);
}

/* SPC-4 6.11, 6.12; no block descriptors: hosts have READ CAPACITY for it. */
static bool mode_sense(const struct local_view *view, const uint8_t *cdb, bool ten,
                       struct local_reply *reply)
{
    enum { CURRENT, CHANGEABLE, DEFAULT, SAVED };
    uint8_t control = cdb[2] >> 6;
    uint8_t page = cdb[2] & 0x3f;
    uint32_t header = ten ? 8 : 4;
    if (control == SAVED)
        return refuse(reply, sense_saving_not_supported);

    memset(reply->data, 0, header);
    uint32_t end = mode_pages(view, page, control == CHANGEABLE, reply->data, header);
    bool protect = view->read_only || (view->disk && view->disk->write_protected);
    bool dpofua = view->disk && view->disk->dpofua;
    uint8_t specific = (uint8_t)((protect ? 0x80 : 0) | (dpofua ? 0x10 : 0));
    if (ten) {
        put_be16(reply->data, (uint16_t)(end - 2));
        reply->data[3] = specific;
    } else {
        reply->data[0] = (uint8_t)(end - 1);
        reply->data[2] = specific;
    }
    reply->bytes = end;
    return true;
}

bool local_answer(const struct local_view *view, const uint8_t cdb[SCSI_CDB_MAX_BYTES],
                  struct local_reply *reply)
{
    reply->sense = sense_none;
    reply->bytes = 0;
    switch (cdb[0]) {
    case OP_INQUIRY:
        return inquiry(view, cdb, reply);
    case OP_REPORT_LUNS:
        return report_luns(view, cdb, reply);
    case OP_REQUEST_SENSE:
        return request_sense(view, cdb, reply);
    case OP_READ_FORMAT_CAPACITIES:
        return read_format_capacities(view, reply);
    case OP_MODE_SENSE_6:
    case OP_MODE_SENSE_10:
        if (mode_page_is_ours(cdb))
            return mode_sense(view, cdb, cdb[0] == OP_MODE_SENSE_10, reply);
        break;
    case OP_PREVENT_ALLOW:
        return cdb[4] & 3 ? refuse(reply, sense_invalid_field) : true;
    default:
        break;
    }

    /* From here on a medium is needed. */
    if (!view->disk || !view->medium)
        return refuse(reply, sense_no_medium);
    switch (cdb[0]) {
    case OP_TEST_UNIT_READY:
        return true;
    case OP_READ_CAPACITY_10:
        return read_capacity10(view->disk, reply);
    case OP_SERVICE_ACTION_IN_16:
        if ((cdb[1] & 0x1f) == SA_READ_CAPACITY_16)
            return answer(reply, view->disk->capacity16, sizeof(view->disk->capacity16));
        return false;
    default:
        return false;
    }
}
