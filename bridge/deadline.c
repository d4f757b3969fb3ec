/* SPDX-License-Identifier: BSD-2-Clause */
#include "lun_internal.h"

bool deadline_target_answers(const struct lun *lun)
{
    return lun->accepted && !lun->silent;
}

/* By configuration, by the host's profile, and by what the cable's other units need. */
static struct patience patience(const struct cmd *cmd)
{
    struct lun *lun = cmd->lun;
    const struct lun_cmd *pub = &cmd->pub;
    struct cable *cable = lun->config.cable;
    uint32_t within_ms = lun->config.answer_within_ms;
    struct patience given = {within_ms, within_ms, false};
    if (!cable)
        return given;
    bool answers = deadline_target_answers(lun);
    cable_note(cable, lun->config.number, answers, pub->cdb, pub->cdb_bytes, pub->length_bytes,
               cmd->submitted_us);
    struct patience p = cable_patience(cable, lun->config.number, answers, cmd->submitted_us);
    return within_ms == LUN_ANSWER_BY_HOST || p.data_ms < within_ms ? p : given;
}

void deadline_start(struct cmd *cmd)
{
    bool data = cmd->pub.dir != SCSI_DIR_NONE && cmd->pub.length_bytes > 0;
    cmd->patience = patience(cmd);
    uint32_t wait_ms = data ? cmd->patience.data_ms : cmd->patience.status_ms;
    cmd->deadline_us = LUN_NEVER_US;
    if (cmd->lun->config.answer_within_ms != 0)
        cmd->deadline_us = cmd->submitted_us + wait_ms * (uint64_t)1000;
}

bool deadline_hopeless(const struct cmd *cmd)
{
    return cmd->patience.data_ms == 0 && cmd->lun->config.answer_within_ms != 0 &&
           cmd->lun->stats.outstanding > 0;
}

void deadline_pause(struct cmd *cmd)
{
    uint64_t now = lun_now(cmd->lun);
    if (cmd->deadline_us == LUN_NEVER_US)
        return;
    cmd->left_us = cmd->deadline_us > now ? cmd->deadline_us - now : 0;
    cmd->deadline_us = LUN_NEVER_US;
}

void deadline_resume(struct cmd *cmd)
{
    if (cmd->lun->config.answer_within_ms == 0 || cmd->done_bytes != cmd->next_bytes)
        return;
    uint64_t status_us = cmd->patience.status_ms * (uint64_t)1000;
    if (cmd->done_bytes == cmd->want_bytes && cmd->left_us > status_us)
        cmd->left_us = status_us;
    cmd->deadline_us = lun_now(cmd->lun) + cmd->left_us;
}

void deadline_extend(struct cmd *cmd)
{
    if (cmd->patience.from_progress && cmd->deadline_us != LUN_NEVER_US)
        cmd->deadline_us = lun_now(cmd->lun) + cmd->patience.status_ms * (uint64_t)1000;
}
