/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a LUN is: libiscsi's URL form,
 *   iscsi://[user@]host[:port]/iqn/lun[?header_digest=crc32c|none]
 * A secret in the URL (user%secret@) is refused: it would show in argv.
 */
#ifndef LUNSTICK_INITIATOR_ADDRESS_H
#define LUNSTICK_INITIATOR_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_DEFAULT_PORT 3260

struct address {
    char host[256]; /* name, IPv4, or IPv6 without brackets */
    uint16_t port;  /* 3260 if not given */
    char iqn[224];  /* RFC 7143 4.2.7.1: at most 223 bytes; %XX decoded */
    int lun;        /* 0 to 16383 */
    char user[256]; /* CHAP name, empty: none */
    bool header_digest;
};

/* Long enough for every message, short enough for one line. */
#define ADDRESS_WHY_BYTES 192
/* Long enough for every address that address_parse() accepts, formatted. */
#define ADDRESS_TEXT_BYTES 800

/* False with a sentence that names the faulty part and the fix; `address` is
 * then all zero. The sentence never repeats what may be a secret. */
bool address_parse(const char *url, struct address *address, char why[ADDRESS_WHY_BYTES]);
/* Parts of a URL that stand alone, by the same rules: `host[:port]`, and a
 * target's name. The rest of `address` is zero. */
bool address_parse_portal(const char *portal, struct address *address, char why[ADDRESS_WHY_BYTES]);
bool address_parse_target(const char *iqn, struct address *address, char why[ADDRESS_WHY_BYTES]);
/* The URL again; address_parse() of it gives the same address. Returns out. */
char *address_format(const struct address *address, char *out, unsigned size);
/* An IPv4 or IPv6 literal, with or without a zone (fe80::1%eth0): needs no resolving. */
bool address_is_numeric(const char *host);
/* Whether a portal at `from` may send us to `to`, both numeric: to a host, and to
 * this machine itself only from this machine. */
bool address_may_lead(const char *from, const char *to);

#endif
