/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a LUN is: libiscsi's URL form, iscsi://[user@]host[:port]/iqn/lun.
 * A secret in the URL (user%secret@) is refused: it would show in argv.
 */
#ifndef LUNSTICK_INITIATOR_ADDRESS_H
#define LUNSTICK_INITIATOR_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

struct address {
    char host[256]; /* name, IPv4, or IPv6 without brackets */
    uint16_t port;  /* 3260 if not given */
    char iqn[224];  /* RFC 7143 4.2.7.1: at most 223 bytes */
    int lun;        /* 0 to 16383 */
    char user[256]; /* CHAP name, empty: none */
};

#define ADDRESS_WHY_BYTES 192

/* False with a sentence that names the faulty part and the fix. */
bool address_parse(const char *url, struct address *address, char why[ADDRESS_WHY_BYTES]);
/* The URL again, without secrets. Returns out. */
char *address_format(const struct address *address, char *out, unsigned size);
/* An IPv4 or IPv6 literal: needs no resolving. */
bool address_is_numeric(const char *host);

#endif
