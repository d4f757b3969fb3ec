/* SPDX-License-Identifier: BSD-2-Clause */
#include "session.h"

/* FNV-1a, 64 bits, with the terminating zero, so that ("ab","c") and
 * ("a","bc") differ. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;

    do {
        hash = (hash ^ *byte) * UINT64_C(0x100000001b3);
    } while (*byte++ != '\0');
    return hash;
}

void session_isid(uint8_t isid[6], const char *board, const char *gadget, const char *lun,
                  const char *use)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    hash = hash_text(hash, board);
    hash = hash_text(hash, gadget);
    hash = hash_text(hash, lun);
    hash = hash_text(hash, use);
    /* The last bytes hardly reach FNV's high bits: mix, then take forty. */
    hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 33;
    isid[0] = SESSION_ISID_RANDOM;
    for (unsigned i = 1; i < 6; i++)
        isid[i] = (uint8_t)(hash >> (8 * i));
}
