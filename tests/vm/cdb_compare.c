/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same CDBs as raw CBWs to the USB disk and straight to a target of the same
 * make: data, status and sense have to be the same. Runs in a guest against the
 * disk VID:PID 1d6b:0104 and takes it from usb-storage while it runs.
 *
 *   cdb_compare URL <LIST
 *
 * A line of LIST: NAME in|out|none LENGTH CDB [DATA], hexadecimal without blanks;
 * data-out are padded with zeros to LENGTH. '#' begins a comment. Each line is
 * answered by three: what was asked, what the USB disk said, what the target said;
 * and DIFFERENT where they differ.
 *
 * BOT has no status but failed: CHECK CONDITION has to be that, with the target's
 * sense in REQUEST SENSE; RESERVATION CONFLICT that, with the sense that SPC-4 has
 * for it, 05/2C/09.
 */
#include "bridge/bytes.h"
#include "usb_disk.h"

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SENSE_BYTES    252
#define LONGEST_BYTES  (65536u * BLOCK_BYTES)
#define TRANSFER_BYTES (128u << 10) /* that usbfs gets at a time */

struct query {
    char name[64];
    enum { NONE, IN, OUT } way;
    uint32_t length_bytes;
    uint8_t cdb[16];
    uint8_t cdb_bytes;
};

struct said {
    int status;             /* SAM's */
    uint32_t residue_bytes; /* only with GOOD */
    uint32_t data_bytes;
    const uint8_t *data;
    uint32_t sense_bytes;
    uint8_t sense[SENSE_BYTES];
};

/* The query's data-out for both, or what USB says. */
static uint8_t data[LONGEST_BYTES];
/* What the target says; its data are here. */
static struct scsi_task *answer;
static struct iscsi_context *iscsi;
static struct iscsi_url *url;

/* ---- the list ---- */

/* Bytes; fails if it is no hexadecimal text or too long. */
static uint32_t parse_hex(const char *text, uint8_t *out, uint32_t size)
{
    uint32_t bytes = 0;
    for (; isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1]); text += 2) {
        if (bytes == size)
            fail("list: too many bytes");
        out[bytes++] = (uint8_t)strtoul((char[]){text[0], text[1], 0}, NULL, 16);
    }
    if (*text)
        fail("list: bad hexadecimal number");
    return bytes;
}

/* False: the line has none. */
static bool parse_query(char *line, struct query *q)
{
    char *save = NULL;
    const char *name = strtok_r(line, " \n", &save);
    if (!name || *name == '#')
        return false;
    const char *way = strtok_r(NULL, " \n", &save);
    const char *length = strtok_r(NULL, " \n", &save);
    const char *cdb = strtok_r(NULL, " \n", &save);
    const char *out = strtok_r(NULL, " \n", &save);
    memset(q, 0, sizeof(*q));
    if (!way || !length || !cdb)
        fail("list: NAME in|out|none LENGTH CDB [DATA]");
    (void)snprintf(q->name, sizeof(q->name), "%s", name);
    q->way = strcmp(way, "in") == 0 ? IN : strcmp(way, "out") == 0 ? OUT : NONE;
    q->length_bytes = (uint32_t)strtoul(length, NULL, 10);
    q->cdb_bytes = (uint8_t)parse_hex(cdb, q->cdb, sizeof(q->cdb));
    if (q->length_bytes > sizeof(data) || q->cdb_bytes == 0)
        fail("list: %s: length", name);
    memset(data, 0, q->length_bytes);
    if (out)
        (void)parse_hex(out, data, q->length_bytes);
    return true;
}

/* ---- over USB ---- */

static void usb_transfer(const uint8_t *cdb, uint8_t cdb_bytes, bool in, uint8_t *bytes,
                         uint32_t length_bytes, struct csw *csw)
{
    struct cbw cbw = cbw_make(cdb, cdb_bytes, in, length_bytes);
    cbw_send(&cbw);
    for (uint32_t at = 0, part = 0; at < length_bytes; at += part) {
        part = length_bytes - at < TRANSFER_BYTES ? length_bytes - at : TRANSFER_BYTES;
        struct usb_result moved =
            usb_bulk(in ? USB_FROM_DEVICE : USB_TO_DEVICE, bytes + at, part, HANG_MS);
        must("data", moved.status);
        if (moved.bytes < part)
            break;
    }
    *csw = csw_receive(NULL);
}

static void ask_usb(struct query *q, struct said *said)
{
    static const uint8_t request_sense[6] = {0x03, 0, 0, 0, SENSE_BYTES};
    struct csw csw;

    memset(said, 0, sizeof(*said));
    said->data = data;
    usb_transfer(q->cdb, q->cdb_bytes, q->way == IN, data, q->length_bytes, &csw);
    if (csw.status == CSW_PASSED) {
        said->residue_bytes = csw.residue;
        said->data_bytes = q->way == IN ? q->length_bytes - csw.residue : 0;
        return;
    }
    if (csw.status != CSW_FAILED)
        fail("%s: CSW status %u", q->name, csw.status);
    usb_transfer(request_sense, sizeof(request_sense), true, said->sense, SENSE_BYTES, &csw);
    said->sense_bytes = SENSE_BYTES - csw.residue;
    bool conflict = (said->sense[2] & 0xf) == 5 && said->sense[12] == 0x2c && said->sense[13] == 9;
    said->status = conflict ? SCSI_STATUS_RESERVATION_CONFLICT : SCSI_STATUS_CHECK_CONDITION;
}

/* ---- straight ---- */

/* What was said to the query before is gone then. */
static void ask_target(struct query *q, struct said *said)
{
    static const int ways[] = {SCSI_XFER_NONE, SCSI_XFER_READ, SCSI_XFER_WRITE};
    struct iscsi_data out = {.size = q->length_bytes, .data = data};
    struct scsi_task *task =
        scsi_create_task(q->cdb_bytes, q->cdb, ways[q->way], (int)q->length_bytes);

    memset(said, 0, sizeof(*said));
    if (!task || !iscsi_scsi_command_sync(iscsi, url->lun, task, q->way == OUT ? &out : NULL))
        fail("%s: %s", q->name, iscsi_get_error(iscsi));
    if (answer)
        scsi_free_scsi_task(answer);
    answer = task;
    said->status = task->status;
    if (task->status == SCSI_STATUS_CHECK_CONDITION) {
        /* libiscsi leaves the data segment: the length of the sense, then the sense */
        uint32_t bytes = task->datain.size >= 2 ? get_be16(task->datain.data) : 0;
        said->sense_bytes = bytes < SENSE_BYTES ? bytes : SENSE_BYTES;
        if ((int)said->sense_bytes + 2 > task->datain.size)
            fail("%s: half a sense", q->name);
        memcpy(said->sense, task->datain.data + 2, said->sense_bytes);
    } else if (task->status == SCSI_STATUS_GOOD) {
        if (task->residual_status == SCSI_RESIDUAL_UNDERFLOW)
            said->residue_bytes = (uint32_t)task->residual;
        if (q->way == IN) {
            said->data_bytes = (uint32_t)task->datain.size;
            said->data = task->datain.data;
        }
    }
}

/* The target's own unit attention about our login is none of the list's. */
static void clear_attention(void)
{
    static struct query ready = {.name = "TEST UNIT READY", .cdb_bytes = 6};
    static struct said said;
    do
        ask_target(&ready, &said);
    while (said.status == SCSI_STATUS_CHECK_CONDITION && (said.sense[2] & 0xf) == 6);
}

static void log_in(const char *text)
{
    iscsi = iscsi_create_context("iqn.2026-01.test:cdb-compare");
    url = iscsi ? iscsi_parse_full_url(iscsi, text) : NULL;
    if (!url)
        fail("%s is no URL", text);
    iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL);
    iscsi_set_targetname(iscsi, url->target);
    if (iscsi_full_connect_sync(iscsi, url->portal, url->lun) != 0)
        fail("%s", iscsi_get_error(iscsi));
    clear_attention();
}

/* ---- both ---- */

static void print_bytes(const char *what, const uint8_t *from, uint32_t bytes)
{
    printf(", %s", what);
    for (uint32_t i = 0; i < bytes && i < 40; i++)
        printf(" %02x", from[i]);
    if (bytes > 40)
        printf(" ... (%u bytes)", bytes);
}

static void print_said(const char *who, const struct said *said)
{
    printf("  %-6s status %02x", who, (unsigned)said->status);
    if (said->residue_bytes)
        printf(", residue %u", said->residue_bytes);
    if (said->data_bytes)
        print_bytes("data", said->data, said->data_bytes);
    if (said->sense_bytes)
        print_bytes("sense", said->sense, said->sense_bytes);
    printf("\n");
}

static bool same(const struct said *a, const struct said *b)
{
    bool sense =
        a->status != SCSI_STATUS_CHECK_CONDITION ||
        (a->sense_bytes == b->sense_bytes && memcmp(a->sense, b->sense, a->sense_bytes) == 0);
    return a->status == b->status && sense && a->residue_bytes == b->residue_bytes &&
           a->data_bytes == b->data_bytes &&
           (a->data_bytes == 0 || memcmp(a->data, b->data, a->data_bytes) == 0);
}

static bool compare(struct query *q)
{
    static struct said usb, target;
    ask_usb(q, &usb);
    ask_target(q, &target);
    printf("%s:", q->name);
    for (unsigned i = 0; i < q->cdb_bytes; i++)
        printf(" %02x", q->cdb[i]);
    printf("\n");
    print_said("usb", &usb);
    print_said("target", &target);
    if (!same(&usb, &target)) {
        printf("  DIFFERENT\n");
        return false;
    }
    return true;
}

/* The list on stdin: how many differ; fails if it is empty. */
static unsigned compare_all(void)
{
    struct query q;
    static char line[4096];
    unsigned asked = 0, different = 0;

    while (fgets(line, sizeof(line), stdin)) {
        if (!parse_query(line, &q))
            continue;
        asked++;
        different += !compare(&q);
    }
    if (asked == 0)
        fail("an empty list");
    printf("%u asked, %u different\n", asked, different);
    return different;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    if (setjmp(fail_jump)) {
        printf("%s\n", fail_why);
        usb_close();
        return 1;
    }
    must("no device 1d6b:0104", usb_open(HANG_MS));
    log_in(argv[1]);
    unsigned different = compare_all();
    usb_close();
    if (answer)
        scsi_free_scsi_task(answer);
    (void)iscsi_logout_sync(iscsi);
    iscsi_destroy_url(url);
    iscsi_destroy_context(iscsi);
    return different > 0;
}
