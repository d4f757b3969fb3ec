/* SPDX-License-Identifier: BSD-2-Clause */
#include "errand.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define ATTEMPTS 20

void errand_init(struct errand *errand, struct backend *backend,
                 void (*done)(struct errand *, enum errand_end), void *ctx)
{
    memset(errand, 0, sizeof(*errand));
    errand->backend = backend;
    errand->done = done;
    errand->ctx = ctx;
}

void errand_prepare(struct errand *errand, uint8_t cdb_bytes, enum scsi_dir dir, void *data,
                    uint32_t length_bytes)
{
    struct backend_cmd *cmd = &errand->cmd;
    memset(cmd->cdb, 0, sizeof(cmd->cdb));
    cmd->cdb_bytes = cdb_bytes;
    cmd->dir = dir;
    cmd->length_bytes = length_bytes;
    cmd->iov[0] = (struct iovec){.iov_base = data, .iov_len = length_bytes};
    cmd->iov_count = 1;
}

static void submit(struct errand *errand);

static bool is_busy(uint8_t status)
{
    return status == SCSI_STATUS_CODE_BUSY || status == SCSI_STATUS_CODE_TASK_SET_FULL ||
           status == SCSI_STATUS_CODE_TASK_ABORTED;
}

/* ASC of unit attentions that call what is known of the disk into question. */
static bool tells_of_change(uint8_t asc)
{
    return asc == 0x28 || asc == 0x2a || asc == 0x3f;
}

static void answered(struct deferred *d)
{
    struct backend_cmd *cmd =
        (struct backend_cmd *)((char *)d - offsetof(struct backend_cmd, done));
    struct errand *errand = (struct errand *)((char *)cmd - offsetof(struct errand, cmd));
    struct scsi_outcome *o = &cmd->outcome;

    errand->running = false;
    if (cmd->result == BACKEND_LOST)
        return;
    errand->sense = sense_none;
    if (o->status == SCSI_STATUS_CODE_CHECK_CONDITION)
        sense_parse(o->sense, o->sense_bytes, &errand->sense);
    if (o->moved_bytes > cmd->length_bytes)
        o->moved_bytes = cmd->length_bytes;
    bool attention = errand->sense.key == SENSE_UNIT_ATTENTION;
    bool deferred = errand->sense.key != SENSE_NO_SENSE && sense_deferred(o->sense, o->sense_bytes);
    if (attention && tells_of_change(errand->sense.asc)) {
        errand->done(errand, ERRAND_CHANGED);
    } else if (attention || deferred || is_busy(o->status)) {
        if (++errand->attempts < ATTEMPTS)
            submit(errand);
        else
            errand->done(errand, ERRAND_BUSY);
    } else {
        bool good =
            o->status == SCSI_STATUS_CODE_GOOD || errand->sense.key == SENSE_RECOVERED_ERROR;
        errand->done(errand, good ? ERRAND_GOOD : ERRAND_REFUSED);
    }
}

static void submit(struct errand *errand)
{
    struct backend_cmd *cmd = &errand->cmd;
    /* What a short answer leaves unwritten must not be an earlier one's. */
    if (cmd->dir == SCSI_DIR_IN)
        memset(cmd->iov[0].iov_base, 0, cmd->length_bytes);
    cmd->result = BACKEND_DONE;
    memset(&cmd->outcome, 0, sizeof(cmd->outcome));
    deferred_init(&cmd->done, answered);
    int rc = errand->backend->ops->submit(errand->backend, cmd);
    errand->running = rc == 0;
    errand->waiting = rc == -EAGAIN;
}

void errand_send(struct errand *errand)
{
    errand->attempts = 0;
    submit(errand);
}

void errand_more(struct errand *errand)
{
    if (errand->waiting)
        submit(errand);
}
