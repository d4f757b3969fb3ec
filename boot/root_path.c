/* SPDX-License-Identifier: BSD-2-Clause */
#include "root_path.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "iscsi:"
#define FORM   PREFIX "server:protocol:port:LUN:target"

struct part {
    const char *text;
    int bytes;
};

__attribute__((format(printf, 2, 3))) static bool refuse(char *why, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, ADDRESS_WHY_BYTES, format, args);
    va_end(args);
    for (char *c = why; *c != '\0'; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
    return false;
}

/* Up to the next colon outside of brackets, which is left behind; false: there
 * is none. */
static bool next_part(const char **at, struct part *part)
{
    size_t bytes = **at == '[' ? strcspn(*at, "]") : 0;

    bytes += strcspn(*at + bytes, ":");
    if ((*at)[bytes] == '\0' || bytes > ADDRESS_TEXT_BYTES)
        return false;
    *part = (struct part){*at, (int)bytes};
    *at += bytes + 1;
    return true;
}

static bool parse_server(struct part host, struct part port, struct address *address, char *why)
{
    char portal[ADDRESS_TEXT_BYTES];
    /* A server there has to be for a portal; any does for the port's sake. */
    int bytes = snprintf(portal, sizeof(portal), "%.*s%s%.*s", host.bytes > 0 ? host.bytes : 1,
                         host.bytes > 0 ? host.text : "x", port.bytes > 0 ? ":" : "", port.bytes,
                         port.text);

    if ((size_t)bytes >= sizeof(portal))
        return refuse(why, "the server's name is too long");
    if (!address_parse_portal(portal, address, why))
        return false;
    if (host.bytes == 0)
        memset(address->host, 0, sizeof(address->host));
    return true;
}

/*
 * Four levels of up to four hexadecimal digits, with dashes between them. What
 * a target with one level of LUNs has is in the first (SAM-5, 4.7): peripheral
 * device addressing (00b, bus 0) to 255, flat space addressing (01b) to 16383.
 */
static bool parse_lun(struct part part, int *lun, char *why)
{
    unsigned long levels[4] = {0};
    const char *at = part.text;
    const char *end = part.text + part.bytes;

    for (unsigned i = 0; at < end; i++) {
        char digits[5] = "";
        size_t n = strspn(at, "0123456789abcdefABCDEF");
        if (i == 4 || n < 1 || n > 4 || (at + n < end && (at[n] != '-' || at + n + 1 == end)))
            return refuse(why,
                          "LUN '%.*s' is not one to four groups of hexadecimal digits with "
                          "dashes between them",
                          part.bytes > 32 ? 32 : part.bytes, part.text);
        memcpy(digits, at, n);
        levels[i] = strtoul(digits, NULL, 16);
        at += n + 1;
    }
    if (levels[1] + levels[2] + levels[3] > 0 || levels[0] > 0x7fff ||
        (levels[0] > 0xff && levels[0] < 0x4000))
        return refuse(why, "LUN '%.*s' is none from 0 to 16383 of a single level", part.bytes,
                      part.text);
    *lun = (int)(levels[0] & 0x3fff);
    return true;
}

static bool parse(const char *text, struct address *address, char *why)
{
    struct part host;
    struct part protocol;
    struct part port;
    struct part lun;
    struct address target;
    const char *at = text + strlen(PREFIX);
    int number = 0;

    if (strncmp(text, PREFIX, strlen(PREFIX)) != 0)
        return refuse(why, "the root path does not begin with " PREFIX);
    if (strchr(text, '@') != NULL)
        return refuse(why, "the root path is " FORM ", without a user or a secret");
    if (!next_part(&at, &host) || !next_part(&at, &protocol) || !next_part(&at, &port) ||
        !next_part(&at, &lun))
        return refuse(why, "a part is missing: " FORM);
    if (protocol.bytes > 1 || (protocol.bytes == 1 && *protocol.text != '6'))
        return refuse(why, "protocol '%.*s' is not 6, which is TCP",
                      protocol.bytes > 32 ? 32 : protocol.bytes, protocol.text);
    if (!parse_lun(lun, &number, why) || !address_parse_target(at, &target, why) ||
        !parse_server(host, port, address, why))
        return false;
    memcpy(address->iqn, target.iqn, sizeof(address->iqn));
    address->lun = number;
    return true;
}

bool root_path_parse(const char *text, struct address *address, char why[ADDRESS_WHY_BYTES])
{
    bool good;

    memset(address, 0, sizeof(*address));
    why[0] = '\0';
    good = parse(text, address, why);
    if (!good)
        memset(address, 0, sizeof(*address));
    return good;
}
