/* SPDX-License-Identifier: BSD-2-Clause */
#include "slot.h"

#include <stdio.h>
#include <string.h>

void slot_init(struct slot *slot, const struct config_lun *configured)
{
    slot->lun = *configured;
    slot->ejected = false;
}

void slot_insert(struct slot *slot, const struct config_lun *configured, bool read_only)
{
    slot->lun.read_only = configured->read_only || read_only;
    slot->ejected = false;
}

bool slot_choose(struct slot *slot, const struct config_lun *configured, const char *url,
                 bool read_only, char why[CONFIG_WHY_BYTES])
{
    struct address address = {0};
    const char *user = configured->address.user;

    why[0] = 0;
    if (!address_parse(url, &address, why))
        return false;
    if (address.user[0] && strcmp(address.user, user) != 0) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "the secret of the CHAP user \"%.64s\" is not known here; insert goes without a "
                 "user%s%.64s%s",
                 address.user, user[0] ? ", or with the configured one, \"" : "", user,
                 user[0] ? "\"" : "");
        return false;
    }
    slot->lun = *configured;
    slot->lun.address = address;
    slot->lun.header_digest = configured->header_digest || address.header_digest;
    if (!address.user[0]) {
        slot->lun.secret_file[0] = 0;
        slot->lun.target_user[0] = 0;
        slot->lun.target_secret_file[0] = 0;
    }
    slot_insert(slot, configured, read_only);
    return true;
}
