/* SPDX-License-Identifier: BSD-2-Clause */
#include "cdrom.h"
#include "bytes.h"

#include <string.h>

enum {
    OP_READ_TOC = 0x43,
    OP_GET_CONFIGURATION = 0x46,
    OP_GET_EVENT_STATUS = 0x4a,
    OP_READ_DISC_INFORMATION = 0x51,
    OP_READ_TRACK_INFORMATION = 0x52,
    OP_MECHANISM_STATUS = 0xbd,
    OP_READ_CD = 0xbe,
};

enum { TYPE_CDROM = 0x05 };
enum { PROFILE_NONE = 0x0000, PROFILE_CDROM = 0x0008, PROFILE_DVDROM = 0x0010 };
enum { ADR_DATA_TRACK = 0x14, LEAD_OUT = 0xaa };
enum { PAGE_CAPABILITIES = 0x2a, PAGE_ALL = 0x3f };
enum { MEDIA_CLASS = 4, MEDIA_NEW = 2, MEDIA_REMOVAL = 3, MEDIA_PRESENT = 0x02 };

/* In frames; a frame is a block. */
#define SECOND   UINT64_C(75)
#define MINUTE   UINT64_C(4500)
#define LEAD_IN  (2 * SECOND)
#define CD_LIMIT (80 * MINUTE)

static const struct {
    uint8_t opcode;
    uint8_t length_at; /* of a 16-bit allocation length */
    const char *name;
} rows[] = {
    {OP_READ_TOC, 7, "READ TOC/PMA/ATIP"},
    {OP_GET_CONFIGURATION, 7, "GET CONFIGURATION"},
    {OP_GET_EVENT_STATUS, 7, "GET EVENT STATUS NOTIFICATION"},
    {OP_READ_DISC_INFORMATION, 7, "READ DISC INFORMATION"},
    {OP_READ_TRACK_INFORMATION, 7, "READ TRACK INFORMATION"},
    {OP_MECHANISM_STATUS, 8, "MECHANISM STATUS"},
};

static uint64_t track_blocks(const struct disk_identity *disk)
{
    return disk->blocks / (CDROM_BLOCK_BYTES / disk->block_bytes);
}

/* Where the field is four bytes long. */
static uint32_t track_end(const struct disk_identity *disk)
{
    uint64_t blocks = track_blocks(disk);
    return blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks;
}

const char *cdrom_unusable(const struct disk_identity *disk)
{
    if (disk->block_bytes > CDROM_BLOCK_BYTES)
        return "a CD-ROM has 2048-byte blocks and cannot be made of larger ones; make the LUN "
               "with 512-byte blocks";
    if (track_blocks(disk) == 0)
        return "the LUN is smaller than one block of a CD-ROM; give it a size on the target";
    return NULL;
}

/* ---- reading ---- */

/* The blocks that a READ is for; false: it is none, or none of user data alone. */
static bool read_range(const uint8_t *cdb, uint64_t *lba, uint32_t *blocks)
{
    switch (cdb[0]) {
    case OP_READ_10:
        *lba = get_be32(cdb + 2);
        *blocks = get_be16(cdb + 7);
        return true;
    case OP_READ_12:
        *lba = get_be32(cdb + 2);
        *blocks = get_be32(cdb + 6);
        return true;
    case OP_READ_16:
        *lba = get_be64(cdb + 2);
        *blocks = get_be32(cdb + 10);
        return true;
    case OP_READ_CD: {
        uint8_t type = cdb[1] >> 2 & 7; /* any, or mode 1 */
        *lba = get_be32(cdb + 2);
        *blocks = get_be24(cdb + 6);
        return (type == 0 || type == 2) && cdb[9] == 0x10 && (cdb[10] & 7) == 0;
    }
    default:
        return false;
    }
}

/* Of the flags, DPO and FUA mean the same to a disk. */
static void read_of_disk(uint64_t lba, uint64_t blocks, uint8_t flags, uint8_t *cdb,
                         uint8_t *cdb_bytes)
{
    bool ten = lba + blocks <= UINT32_MAX && blocks <= UINT16_MAX;
    memset(cdb, 0, SCSI_CDB_MAX_BYTES);
    cdb[0] = ten ? OP_READ_10 : OP_READ_16;
    cdb[1] = flags & 0x18;
    *cdb_bytes = ten ? 10 : 16;
    op_set_range(cdb, lba, (uint32_t)blocks);
}

void cdrom_decode(const struct disk_identity *disk, uint8_t cdb[SCSI_CDB_MAX_BYTES],
                  uint8_t *cdb_bytes, struct op *op)
{
    uint64_t lba;
    uint32_t blocks;
    uint32_t ratio = disk ? CDROM_BLOCK_BYTES / disk->block_bytes : 1;
    if (disk && read_range(cdb, &lba, &blocks) && lba < track_blocks(disk) &&
        blocks <= track_blocks(disk) - lba && blocks <= UINT32_MAX / ratio) {
        uint8_t flags = cdb[0] == OP_READ_CD ? 0 : cdb[1];
        read_of_disk(lba * ratio, blocks * (uint64_t)ratio, flags, cdb, cdb_bytes);
        op_decode(cdb, *cdb_bytes, disk->block_bytes, op);
        return;
    }
    op_decode(cdb, *cdb_bytes, CDROM_BLOCK_BYTES, op);
    op->plain = false;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].opcode != cdb[0])
            continue;
        op->name = rows[i].name;
        op->dir = SCSI_DIR_IN;
        op->length = OP_LENGTH_ALLOC;
        op->length_bytes = get_be16(cdb + rows[i].length_at);
    }
}

/* ---- answers ---- */

static void refuse(struct local_reply *reply, struct sense_code sense)
{
    reply->sense = sense;
    reply->bytes = 0;
}

/* The next `bytes` of the answer, zeros. */
static uint8_t *append(struct local_reply *reply, uint32_t bytes)
{
    uint8_t *at = reply->data + reply->bytes;
    memset(at, 0, bytes);
    reply->bytes += bytes;
    return at;
}

/* As LBA, or as minute, second and frame, which end at FF:3B:4A (MMC-6 6.26). */
static void put_address(uint8_t out[4], uint32_t lba, bool msf)
{
    static const uint8_t last[4] = {0, 0xff, 0x3b, 0x4a};
    uint64_t frame = lba + LEAD_IN;
    if (!msf) {
        put_be32(out, lba);
    } else if (frame / MINUTE > last[1]) {
        memcpy(out, last, sizeof(last));
    } else {
        out[0] = 0;
        out[1] = (uint8_t)(frame / MINUTE);
        out[2] = (uint8_t)(frame / SECOND % 60);
        out[3] = (uint8_t)(frame % SECOND);
    }
}

static void inquiry(const struct local_view *view, const uint8_t *cdb, struct local_reply *reply)
{
    static const char pages[] = {0x00, (char)0x80, (char)0x83};
    bool vpd = cdb[1] & 1;
    if (vpd && !memchr(pages, cdb[2], sizeof(pages))) {
        refuse(reply, sense_invalid_field);
    } else if (vpd && cdb[2] == 0) {
        bool has_83 = view->disk && disk_vpd_find(view->disk, 0x83);
        uint8_t *out = append(reply, has_83 ? 7 : 6);
        out[3] = has_83 ? 3 : 2;
        memcpy(out + 4, pages, out[3]);
    } else if (!local_answer(view, cdb, reply)) {
        refuse(reply, sense_invalid_field); /* a page too long to be kept */
    } else if (!vpd && reply->bytes > 36) {
        reply->bytes = 36; /* what follows are a disk's standards */
    }
    if (reply->bytes == 0)
        return;
    reply->data[0] = TYPE_CDROM;
    if (!vpd) {
        reply->data[1] = 0x80;
        reply->data[4] = 36 - 5;
        memset(reply->data + 5, 0, 3); /* no ports, protection, queues */
    }
}

static void read_capacity(const struct disk_identity *disk, struct local_reply *reply)
{
    uint8_t *out = append(reply, 8);
    put_be32(out, track_end(disk) - 1);
    put_be32(out + 4, CDROM_BLOCK_BYTES);
}

/* One track descriptor of formats 0 and 1. */
static void put_track(struct local_reply *reply, uint8_t track, uint32_t lba, bool msf)
{
    uint8_t *out = append(reply, 8);
    out[1] = ADR_DATA_TRACK;
    out[2] = track;
    put_address(out + 4, lba, msf);
}

/* One of format 2, of session 1. */
static void put_point(struct local_reply *reply, uint8_t point, const uint8_t address[3])
{
    uint8_t *out = append(reply, 11);
    out[0] = 1;
    out[1] = ADR_DATA_TRACK;
    out[3] = point;
    memcpy(out + 8, address, 3);
}

static void toc_raw(const struct disk_identity *disk, struct local_reply *reply)
{
    static const uint8_t first_track[3] = {1, 0, 0}, last_track[3] = {1, 0, 0};
    uint8_t start[4], end[4];
    put_address(start, 0, true);
    put_address(end, track_end(disk), true);
    put_point(reply, 0xa0, first_track);
    put_point(reply, 0xa1, last_track);
    put_point(reply, 0xa2, end + 1);
    put_point(reply, 1, start + 1);
}

/* MMC-6 6.26. The format may be where SFF 8020i had it: Linux asks so for sessions. */
static void read_toc(const struct disk_identity *disk, const uint8_t *cdb,
                     struct local_reply *reply)
{
    enum { TOC, SESSIONS, RAW };
    bool msf = cdb[1] & 2;
    uint8_t format = cdb[2] & 0x0f ? cdb[2] & 0x0f : cdb[9] >> 6;
    uint8_t from = cdb[6];
    uint8_t *out = append(reply, 4);
    out[2] = out[3] = 1; /* the first and the last track, or session */
    if (format > RAW || (from > 1 && (format != TOC || from != LEAD_OUT))) {
        refuse(reply, sense_invalid_field);
        return;
    }
    if (format == RAW) {
        toc_raw(disk, reply);
    } else {
        if (from <= 1)
            put_track(reply, 1, 0, msf);
        if (format == TOC)
            put_track(reply, LEAD_OUT, track_end(disk), msf);
    }
    put_be16(reply->data, (uint16_t)(reply->bytes - 2));
}

static uint16_t profile(const struct local_view *view)
{
    if (!view->medium || !view->disk)
        return PROFILE_NONE;
    return track_blocks(view->disk) > CD_LIMIT ? PROFILE_DVDROM : PROFILE_CDROM;
}

/* The features of MMC-6 5.3, with data of 8 bytes at most. */
struct feature {
    uint16_t code;
    uint8_t version;
    uint16_t for_profile; /* it comes and goes with it; PROFILE_NONE: it is always there */
    uint8_t bytes;
    uint8_t data[8];
};

static const struct feature features[] = {
    /* the profiles: DVD-ROM, CD-ROM */
    {0x0000, 0, PROFILE_NONE, 8, {0, PROFILE_DVDROM, 0, 0, 0, PROFILE_CDROM, 0, 0}},
    /* core: USB */
    {0x0001, 0, PROFILE_NONE, 4, {0, 0, 0, 8}},
    /* removable: a tray that ejects and does not lock */
    {0x0003, 0, PROFILE_NONE, 4, {0x28}},
    /* randomly readable, 2048 bytes, for each profile */
    {0x0010, 0, PROFILE_CDROM, 8, {0, 0, 8, 0, 0, 1}},
    {0x0010, 0, PROFILE_DVDROM, 8, {0, 0, 8, 0, 0, 16}},
    /* reads CD, without text and C2 */
    {0x001e, 2, PROFILE_CDROM, 4, {0}},
    /* reads DVD */
    {0x001f, 0, PROFILE_DVDROM, 0, {0}},
};

static void put_feature(const struct feature *f, uint16_t now, struct local_reply *reply)
{
    enum { CURRENT = 1, PERSISTENT = 2 };
    bool always = f->for_profile == PROFILE_NONE;
    uint8_t *out = append(reply, 4u + f->bytes);
    put_be16(out, f->code);
    out[2] = (uint8_t)(f->version << 2 | (always ? PERSISTENT | CURRENT : 0) |
                       (f->for_profile == now ? CURRENT : 0));
    out[3] = f->bytes;
    memcpy(out + 4, f->data, f->bytes);
    if (f->code == 0x0000)
        for (unsigned i = 4; i < 12; i += 4)
            out[i + 2] = get_be16(out + i) == now;
}

/* MMC-6 6.5. Of the two features 0010 the one that fits the medium is told. */
static void get_configuration(const struct local_view *view, const uint8_t *cdb,
                              struct local_reply *reply)
{
    enum { ALL, CURRENT_ONLY, ONE };
    uint8_t which = cdb[1] & 3;
    uint16_t from = get_be16(cdb + 2), now = profile(view);
    if (which > ONE) {
        refuse(reply, sense_invalid_field);
        return;
    }
    put_be16(append(reply, 8) + 6, now);
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        const struct feature *f = &features[i];
        bool current = f->for_profile == PROFILE_NONE || f->for_profile == now;
        bool other = f->code == 0x0010 && !current &&
                     (now != PROFILE_NONE || f->for_profile == PROFILE_DVDROM);
        bool wanted = which == ONE ? f->code == from : f->code >= from;
        if (wanted && !other && (current || which != CURRENT_ONLY))
            put_feature(f, now, reply);
    }
    put_be32(reply->data, reply->bytes - 4);
}

/* MMC-6 6.6: of the classes there are media events only, and they are polled for. */
static void get_event_status(struct cdrom *cd, const struct local_view *view, const uint8_t *cdb,
                             struct local_reply *reply)
{
    enum { POLLED = 1, NO_EVENT_AVAILABLE = 0x80 };
    bool in = view->medium && view->disk;
    if (!(cdb[1] & POLLED)) {
        refuse(reply, sense_invalid_field);
        return;
    }
    uint8_t *out = append(reply, 4);
    out[3] = 1 << MEDIA_CLASS;
    if (!(cdb[4] & 1 << MEDIA_CLASS)) {
        out[2] = NO_EVENT_AVAILABLE;
        return;
    }
    append(reply, 4);
    put_be16(out, 4);
    out[2] = MEDIA_CLASS;
    if (in && (cd->changed || !cd->told_in))
        out[4] = MEDIA_NEW;
    else if (!in && cd->told_in)
        out[4] = MEDIA_REMOVAL;
    out[5] = in ? MEDIA_PRESENT : 0;
    cd->told_in = in;
    cd->changed = false;
}

/* MMC-6 6.21: one finished session with one track. */
static void read_disc_information(struct local_reply *reply)
{
    uint8_t *out = append(reply, 34);
    put_be16(out, 32);
    out[2] = 0x0e; /* the last session and the disc are complete */
    out[3] = out[4] = out[5] = out[6] = 1;
    out[7] = 0x20; /* may be used */
    memset(out + 16, 0xff, 8);
}

/* MMC-6 6.27: the track, asked for by an address in it, its number, its session. */
static void read_track_information(const struct disk_identity *disk, const uint8_t *cdb,
                                   struct local_reply *reply)
{
    enum { BY_ADDRESS, BY_TRACK, BY_SESSION };
    uint8_t how = cdb[1] & 3;
    uint32_t number = get_be32(cdb + 2);
    if (how > BY_SESSION || (how != BY_ADDRESS && number != 1)) {
        refuse(reply, sense_invalid_field);
        return;
    }
    if (how == BY_ADDRESS && number >= track_end(disk)) {
        refuse(reply, sense_lba_out_of_range);
        return;
    }
    uint8_t *out = append(reply, 36);
    put_be16(out, 34);
    out[2] = out[3] = 1;
    out[5] = 0x04; /* data, recorded without interruption */
    out[6] = 0x01; /* mode 1 */
    put_be32(out + 24, track_end(disk));
}

/* MMC-3 5.5.10 for page 2A; MMC-6 knows it no more. */
static void mode_sense(const uint8_t *cdb, struct local_reply *reply)
{
    enum { CURRENT, CHANGEABLE, DEFAULT, SAVED };
    static const uint8_t capabilities[20] = {
        PAGE_CAPABILITIES,
        18,
        0x0b,
        0, /* reads CD-R, CD-RW, DVD-ROM; writes nothing */
        0,
        0,
        0x28, /* a tray that ejects and does not lock */
    };
    bool ten = cdb[0] == OP_MODE_SENSE_10;
    uint8_t page = cdb[2] & 0x3f, control = cdb[2] >> 6;
    if (control == SAVED || (page != PAGE_CAPABILITIES && page != PAGE_ALL)) {
        refuse(reply, control == SAVED ? sense_saving_not_supported : sense_invalid_field);
        return;
    }
    append(reply, ten ? 8 : 4);
    uint8_t *out = append(reply, sizeof(capabilities));
    memcpy(out, capabilities, control == CHANGEABLE ? 2 : sizeof(capabilities));
    if (ten)
        put_be16(reply->data, (uint16_t)(reply->bytes - 2));
    else
        reply->data[0] = (uint8_t)(reply->bytes - 1);
}

/* What needs a medium. */
static void answer_for_medium(const struct disk_identity *disk, const uint8_t *cdb,
                              struct local_reply *reply)
{
    uint64_t lba;
    uint32_t blocks;
    switch (cdb[0]) {
    case OP_TEST_UNIT_READY:
        break;
    case OP_READ_CAPACITY_10:
        read_capacity(disk, reply);
        break;
    case OP_READ_TOC:
        read_toc(disk, cdb, reply);
        break;
    case OP_READ_DISC_INFORMATION:
        read_disc_information(reply);
        break;
    case OP_READ_TRACK_INFORMATION:
        read_track_information(disk, cdb, reply);
        break;
    case OP_READ_CD:
    case OP_READ_10:
    case OP_READ_12:
    case OP_READ_16:
        refuse(reply,
               read_range(cdb, &lba, &blocks) ? sense_lba_out_of_range : sense_invalid_field);
        break;
    default:
        refuse(reply, sense_invalid_opcode);
        break;
    }
}

void cdrom_answer(struct cdrom *cd, const struct local_view *view,
                  const uint8_t cdb[SCSI_CDB_MAX_BYTES], struct local_reply *reply)
{
    reply->sense = sense_none;
    reply->bytes = 0;
    switch (cdb[0]) {
    case OP_INQUIRY:
        inquiry(view, cdb, reply);
        break;
    case OP_REQUEST_SENSE:
    case OP_REPORT_LUNS:
    case OP_PREVENT_ALLOW:
        local_answer(view, cdb, reply);
        break;
    case OP_MODE_SENSE_6:
    case OP_MODE_SENSE_10:
        mode_sense(cdb, reply);
        break;
    case OP_GET_CONFIGURATION:
        get_configuration(view, cdb, reply);
        break;
    case OP_GET_EVENT_STATUS:
        get_event_status(cd, view, cdb, reply);
        break;
    case OP_MECHANISM_STATUS:
        append(reply, 8); /* idle, no changer */
        break;
    default:
        if (view->medium && view->disk)
            answer_for_medium(view->disk, cdb, reply);
        else
            refuse(reply, sense_no_medium);
        break;
    }
}

void cdrom_adjust_sense(const struct disk_identity *disk, struct scsi_outcome *outcome)
{
    uint32_t ratio = CDROM_BLOCK_BYTES / disk->block_bytes;
    if ((outcome->sense[0] & 0x7f) >= 0x72) {
        uint8_t fixed[SENSE_FIXED_BYTES];
        sense_to_fixed(outcome->sense, outcome->sense_bytes, fixed);
        memcpy(outcome->sense, fixed, sizeof(fixed));
        outcome->sense_bytes = sizeof(fixed);
    }
    if (outcome->sense_bytes >= 7)
        put_be32(outcome->sense + 3, get_be32(outcome->sense + 3) / ratio);
}

bool cdrom_passes_attention(uint8_t opcode)
{
    return opcode == OP_GET_CONFIGURATION || opcode == OP_GET_EVENT_STATUS;
}
