/* SPDX-License-Identifier: BSD-2-Clause */
#include "cable.h"

#include <string.h>

void cable_init(struct cable *cable, unsigned luns, const struct host_profile *given)
{
    memset(cable, 0, sizeof(*cable));
    cable->luns = luns;
    cable->host = given ? given : &host_unknown;
    cable->host_given = given != NULL;
}

void cable_reset(struct cable *cable)
{
    if (!cable->host_given)
        cable->host = &host_unknown;
}

void cable_note(struct cable *cable, unsigned number, bool answers, const uint8_t *cdb,
                uint8_t cdb_bytes, uint32_t length_bytes, uint64_t now_us)
{
    if (!cable->host_given)
        cable->host = host_recognise(cable->host, cdb, cdb_bytes, length_bytes);
    cable->used_us[number] = answers ? now_us : 0;
}

/* Another unit is in use, one that could go on if this one did not hold it up. */
static bool others_in_use(const struct cable *cable, unsigned number, uint64_t now_us)
{
    for (unsigned i = 0; i < cable->luns; i++)
        if (i != number && cable->used_us[i] != 0 &&
            now_us - cable->used_us[i] < (uint64_t)CABLE_IN_USE_MS * 1000)
            return true;
    return false;
}

static uint32_t at_most(uint32_t ms, uint32_t limit_ms)
{
    return ms < limit_ms ? ms : limit_ms;
}

struct patience cable_patience(const struct cable *cable, unsigned number, bool answers,
                               uint64_t now_us)
{
    struct patience p = {cable->host->data_ms, cable->host->status_ms, false};
    bool contended = others_in_use(cable, number, now_us);
    if (cable->luns == 1 || (answers && !contended))
        return p;
    uint32_t limit_ms = answers || !contended ? CABLE_SHARED_MS : 0;
    p.from_progress = answers;
    p.data_ms = at_most(p.data_ms, limit_ms);
    p.status_ms = at_most(p.status_ms, limit_ms);
    return p;
}
