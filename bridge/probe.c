/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe.h"
#include "bytes.h"
#include "opcode.h"

#include <stdio.h>
#include <string.h>

/* So often it begins anew because the disk may have changed. */
#define PROBE_ATTEMPTS 20

static const uint8_t wanted_vpd[] = {0x80, 0x83, 0xb0, 0xb1, 0xb2};

enum {
    STEP_INQUIRY,
    STEP_VPD_LIST,
    STEP_VPD,
    STEP_CAPACITY16,
    STEP_CAPACITY10,
    STEP_MODE_CACHING,
    STEP_MODE_CONTROL,
    STEP_RESERVATION,
    STEP_END,
};

static void finish(struct probe *p, enum backend_fault severity, const char *text)
{
    snprintf(p->why, sizeof(p->why), "%s", text);
    p->done(p, p->why, severity);
}

static uint32_t step_bytes(const struct probe *p)
{
    switch (p->step) {
    case STEP_INQUIRY:
        return sizeof(p->disk.inquiry);
    case STEP_CAPACITY16:
        return sizeof(p->disk.capacity16);
    case STEP_CAPACITY10:
        return 8;
    case STEP_RESERVATION:
        return 24;
    default:
        return DISK_VPD_BYTES;
    }
}

static void step_send(struct probe *p)
{
    static const uint8_t cdb_bytes[STEP_END] = {
        [STEP_INQUIRY] = 6,      [STEP_VPD_LIST] = 6,     [STEP_VPD] = 6,
        [STEP_CAPACITY16] = 16,  [STEP_CAPACITY10] = 10,  [STEP_MODE_CACHING] = 6,
        [STEP_MODE_CONTROL] = 6, [STEP_RESERVATION] = 10,
    };
    uint8_t *cdb = p->errand.cmd.cdb;
    uint32_t bytes = step_bytes(p);
    errand_prepare(&p->errand, cdb_bytes[p->step], SCSI_DIR_IN, p->buf, bytes);
    switch (p->step) {
    case STEP_INQUIRY:
        cdb[0] = OP_INQUIRY;
        put_be16(cdb + 3, (uint16_t)bytes);
        break;
    case STEP_VPD_LIST:
    case STEP_VPD:
        cdb[0] = OP_INQUIRY;
        cdb[1] = 1;
        cdb[2] = p->step == STEP_VPD ? wanted_vpd[p->vpd_next] : 0;
        put_be16(cdb + 3, (uint16_t)bytes);
        break;
    case STEP_CAPACITY16:
        cdb[0] = OP_SERVICE_ACTION_IN_16;
        cdb[1] = SA_READ_CAPACITY_16;
        put_be32(cdb + 10, bytes);
        break;
    case STEP_CAPACITY10:
        cdb[0] = OP_READ_CAPACITY_10;
        break;
    case STEP_MODE_CACHING:
    case STEP_MODE_CONTROL:
        cdb[0] = OP_MODE_SENSE_6;
        cdb[1] = 8; /* DBD: no block descriptors */
        cdb[2] = p->step == STEP_MODE_CACHING ? MODE_PAGE_CACHING : MODE_PAGE_CONTROL;
        cdb[4] = (uint8_t)bytes;
        break;
    case STEP_RESERVATION:
        cdb[0] = OP_PERSISTENT_RESERVE_IN;
        cdb[1] = SA_READ_RESERVATION;
        put_be16(cdb + 7, (uint16_t)bytes);
        break;
    default:
        break;
    }
    errand_send(&p->errand);
}

static bool vpd_listed(const struct disk_identity *disk, uint8_t code)
{
    const struct disk_vpd *list = disk_vpd_find(disk, 0);
    for (unsigned i = 4; list && i < list->bytes; i++)
        if (list->data[i] == code)
            return true;
    return false;
}

/* The next step that this target can answer. */
static void step_next(struct probe *p)
{
    switch (p->step) {
    case STEP_VPD_LIST:
        p->vpd_next = 0;
        break;
    case STEP_VPD:
        p->vpd_next++;
        break;
    case STEP_CAPACITY16:
        p->step = STEP_MODE_CACHING;
        return;
    default:
        p->step++;
        return;
    }
    while (p->vpd_next < sizeof(wanted_vpd) && !vpd_listed(&p->disk, wanted_vpd[p->vpd_next]))
        p->vpd_next++;
    p->step = p->vpd_next < sizeof(wanted_vpd) ? STEP_VPD : STEP_CAPACITY16;
}

static void take_vpd(struct probe *p, uint8_t code, uint32_t moved)
{
    if (p->disk.vpd_count == DISK_VPD_PAGES || moved < 4 || p->buf[1] != code)
        return;
    uint32_t bytes = 4u + get_be16(p->buf + 2);
    if (bytes > moved)
        bytes = moved;
    struct disk_vpd *page = &p->disk.vpd[p->disk.vpd_count++];
    page->code = code;
    page->bytes = (uint8_t)bytes;
    memcpy(page->data, p->buf, bytes);
}

/* The mode page that was asked for, into `page`; false: it did not come. */
static bool take_mode(struct probe *p, uint32_t moved, uint8_t *page, uint32_t page_bytes)
{
    if (moved < 4)
        return false;
    p->disk.write_protected = p->buf[2] & 0x80;
    p->disk.dpofua = p->buf[2] & 0x10;
    uint32_t at = 4u + p->buf[3];
    uint32_t end = p->buf[0] + 1u;
    if (end > moved)
        end = moved;
    if (at + 12 > end || (p->buf[at] & 0x3f) != p->errand.cmd.cdb[2])
        return false;
    uint32_t bytes = 2u + p->buf[at + 1];
    if (bytes > end - at)
        bytes = end - at;
    memcpy(page, p->buf + at, bytes < page_bytes ? bytes : page_bytes);
    return true;
}

/* Takes what a step's GOOD brought; a fault's text, or NULL. */
static const char *step_take(struct probe *p, uint32_t moved)
{
    struct disk_identity *disk = &p->disk;
    switch (p->step) {
    case STEP_INQUIRY:
        if (moved < 36)
            return "the target's INQUIRY data are too short to be a disk's";
        /* The additional length field tells how many bytes are meant. */
        disk->inquiry_bytes = (uint8_t)(moved < p->buf[4] + 5u ? moved : p->buf[4] + 5u);
        if (disk->inquiry_bytes < 36)
            return "the target's INQUIRY data are too short to be a disk's";
        memcpy(disk->inquiry, p->buf, disk->inquiry_bytes);
        if (p->buf[0] >> 5 != 0)
            return "no such LUN on the target; `lunstick probe` lists those there are";
        if ((p->buf[0] & 0x1f) != 0)
            return "the LUN is not a disk (peripheral device type is not 0); choose another LUN";
        break;
    case STEP_VPD_LIST:
        take_vpd(p, 0, moved);
        break;
    case STEP_VPD:
        take_vpd(p, wanted_vpd[p->vpd_next], moved);
        break;
    case STEP_CAPACITY16:
        if (moved < 12)
            return "the target's READ CAPACITY data are too short";
        memcpy(disk->capacity16, p->buf, moved);
        disk->blocks = get_be64(p->buf) + 1;
        disk->block_bytes = get_be32(p->buf + 8);
        break;
    case STEP_CAPACITY10:
        if (moved < 8)
            return "the target's READ CAPACITY data are too short";
        disk->blocks = get_be32(p->buf) + (uint64_t)1;
        disk->block_bytes = get_be32(p->buf + 4);
        put_be64(disk->capacity16, disk->blocks - 1);
        put_be32(disk->capacity16 + 8, disk->block_bytes);
        break;
    case STEP_MODE_CACHING:
        disk->has_caching_page =
            take_mode(p, moved, disk->caching_page, sizeof(disk->caching_page));
        break;
    case STEP_MODE_CONTROL:
        disk->has_control_page =
            take_mode(p, moved, disk->control_page, sizeof(disk->control_page));
        break;
    case STEP_RESERVATION:
        disk->reservations_known = moved >= 8;
        disk->reserved = moved >= 8 && get_be32(p->buf + 4) != 0;
        break;
    default:
        break;
    }
    return NULL;
}

/* The target refuses a step: a fault, or NULL where the disk can do without. A
 * page that is there and fails must not look like a disk without it. */
static const char *step_refused(struct probe *p, struct sense_code sense)
{
    switch (p->step) {
    case STEP_VPD_LIST:
    case STEP_VPD:
        return sense.key == SENSE_ILLEGAL_REQUEST ? NULL : "the target does not tell its identity";
    case STEP_INQUIRY:
        return "no such LUN on the target (it refuses INQUIRY); `lunstick probe` lists those "
               "there are";
    case STEP_CAPACITY16:
        if (sense.key == SENSE_ILLEGAL_REQUEST)
            return NULL;
        return "the target does not tell the capacity";
    case STEP_CAPACITY10:
        return "the target does not tell the capacity";
    default:
        return NULL;
    }
}

static void begin(struct probe *p)
{
    memset(&p->disk, 0, sizeof(p->disk));
    p->again = p->conflict = false;
    p->why[0] = '\0';
    p->step = STEP_INQUIRY;
    p->vpd_next = 0;
    step_send(p);
}

static void step_done(struct errand *errand, enum errand_end end)
{
    struct probe *p = errand->ctx;
    struct sense_code sense = errand->sense;
    const char *fault = NULL;

    if (end == ERRAND_BUSY || (end == ERRAND_CHANGED && ++p->attempts == PROBE_ATTEMPTS)) {
        finish(p, BACKEND_FAULT_TRANSIENT, "the LUN stays busy");
        return;
    }
    if (end == ERRAND_CHANGED || p->again) {
        begin(p);
        return;
    }
    if (end == ERRAND_GOOD) {
        fault = step_take(p, errand->cmd.outcome.moved_bytes);
    } else {
        fault = step_refused(p, sense);
        if (errand->cmd.outcome.status == SCSI_STATUS_CODE_RESERVATION_CONFLICT) {
            p->conflict = true;
            fault = fault ? "the disk is reserved for another initiator" : NULL;
        }
        if (!fault && p->step == STEP_CAPACITY16) {
            p->step = STEP_CAPACITY10;
            step_send(p);
            return;
        }
    }
    if (fault) {
        bool told = end == ERRAND_GOOD || sense.key == SENSE_ILLEGAL_REQUEST;
        finish(p, told ? BACKEND_FAULT_PERMANENT : BACKEND_FAULT_TRANSIENT,
               sense.key == SENSE_NOT_READY ? "the LUN is not ready on the target" : fault);
        return;
    }

    step_next(p);
    if (p->step != STEP_END) {
        step_send(p);
        return;
    }
    fault = disk_unusable(&p->disk);
    if (fault)
        finish(p, BACKEND_FAULT_PERMANENT, fault);
    else
        p->done(p, NULL, BACKEND_FAULT_TRANSIENT);
}

void probe_init(struct probe *p, struct backend *backend,
                void (*done)(struct probe *, const char *, enum backend_fault), void *ctx)
{
    memset(p, 0, sizeof(*p));
    errand_init(&p->errand, backend, step_done, p);
    p->done = done;
    p->ctx = ctx;
}

void probe_start(struct probe *p)
{
    if (p->errand.running) {
        p->again = true;
        return;
    }
    p->attempts = 0;
    begin(p);
}

void probe_more(struct probe *p)
{
    errand_more(&p->errand);
}

bool probe_running(const struct probe *p)
{
    return p->errand.running;
}
