/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The URL, parsed by our own code: the form is libiscsi's, its parser is not
 * used, because it takes CHAP names and secrets from the environment and from
 * the URL, cuts overlong parts silently at 255 bytes, takes "12abc" for a LUN
 * and says of every fault only that the URL is invalid.
 */
#include "address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SCHEME "iscsi://"
#define FORM   "iscsi://[user@]host[:port]/iqn/lun"

/* A part of the URL: where it begins and how long it is. */
struct part {
    const char *text;
    size_t bytes;
};

struct parser {
    struct address *address;
    char *why;
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct parser *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->why, ADDRESS_WHY_BYTES, format, args);
    va_end(args);
    /* One line, whatever the URL holds. */
    for (char *c = p->why; *c != '\0'; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
    return false;
}

/* Splits `part` at the first `mark`; false if there is none. */
static bool split(struct part part, char mark, struct part *before, struct part *after)
{
    const char *at = part.bytes > 0 ? memchr(part.text, mark, part.bytes) : NULL;

    if (at == NULL)
        return false;
    *before = (struct part){part.text, (size_t)(at - part.text)};
    *after = (struct part){at + 1, part.bytes - before->bytes - 1};
    return true;
}

/* Digits only, at most `max`; -1 otherwise. */
static long number(struct part part, long max)
{
    long value = 0;

    if (part.bytes == 0)
        return -1;
    for (size_t i = 0; i < part.bytes; i++) {
        if (part.text[i] < '0' || part.text[i] > '9')
            return -1;
        value = value * 10 + (part.text[i] - '0');
        if (value > max)
            return -1;
    }
    return value;
}

static bool has(struct part part, char c)
{
    return part.bytes > 0 && memchr(part.text, c, part.bytes) != NULL;
}

static bool refuse_secret(struct parser *p)
{
    return refuse(p, "there is a secret in the URL, where others can see it: "
                     "put it into a file and leave only the user name");
}

static bool parse_user(struct parser *p, struct part user)
{
    if (user.bytes == 0)
        return refuse(p, "the user before '@' is empty: leave '@' out or name the CHAP user");
    if (has(user, '%') || has(user, ':'))
        return refuse_secret(p);
    if (user.bytes >= sizeof(p->address->user))
        return refuse(p, "the user name has %zu bytes, at most %zu are allowed", user.bytes,
                      sizeof(p->address->user) - 1);
    for (size_t i = 0; i < user.bytes; i++)
        if (!isgraph((unsigned char)user.text[i]) && (unsigned char)user.text[i] < 0x80)
            return refuse(p, "the user name has a blank or a control character in it");
    memcpy(p->address->user, user.text, user.bytes);
    return true;
}

static bool parse_port(struct parser *p, struct part port)
{
    long value = number(port, 65535);

    if (value < 1)
        return refuse(p, "port '%.*s' is not a number from 1 to 65535",
                      (int)(port.bytes > 32 ? 32 : port.bytes), port.text);
    p->address->port = (uint16_t)value;
    return true;
}

static bool parse_ipv6(struct parser *p, struct part portal)
{
    struct part host;
    struct part rest;

    portal.text++;
    portal.bytes--;
    if (!split(portal, ']', &host, &rest))
        return refuse(p, "the IPv6 address has no closing ']'");
    if (host.bytes >= sizeof(p->address->host))
        return refuse(p, "the IPv6 address is too long");
    memcpy(p->address->host, host.text, host.bytes);
    if (strchr(p->address->host, ':') == NULL || !address_is_numeric(p->address->host))
        return refuse(p, "'[%.64s]' is not an IPv6 address", p->address->host);
    if (rest.bytes == 0)
        return true;
    if (rest.text[0] != ':')
        return refuse(p, "after the IPv6 address comes ':port' or '/', not '%c'", rest.text[0]);
    return parse_port(p, (struct part){rest.text + 1, rest.bytes - 1});
}

static bool parse_host(struct parser *p, struct part host)
{
    if (host.bytes == 0)
        return refuse(p, "the host is missing: " FORM);
    if (host.bytes >= sizeof(p->address->host))
        return refuse(p, "the host name has %zu bytes, at most %zu are allowed", host.bytes,
                      sizeof(p->address->host) - 1);
    for (size_t i = 0; i < host.bytes; i++) {
        unsigned char c = (unsigned char)host.text[i];
        if (!isalnum(c) && c != '.' && c != '-' && c != '_')
            return refuse(p, "host '%.*s' has a character that no host name has",
                          (int)(host.bytes > 64 ? 64 : host.bytes), host.text);
    }
    memcpy(p->address->host, host.text, host.bytes);
    return true;
}

static bool parse_portal(struct parser *p, struct part portal)
{
    struct part host;
    struct part port;

    p->address->port = ADDRESS_DEFAULT_PORT;
    if (portal.bytes > 0 && portal.text[0] == '[')
        return parse_ipv6(p, portal);
    if (!split(portal, ':', &host, &port))
        return parse_host(p, portal);
    if (has(port, ':'))
        return refuse(p, "an IPv6 address stands in brackets: iscsi://[2001:db8::1]:3260/iqn/lun");
    return parse_host(p, host) && parse_port(p, port);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* %XX in the target's name, as libiscsi has it. */
static bool decode_iqn(struct parser *p, struct part iqn)
{
    char *out = p->address->iqn;
    size_t used = 0;

    for (size_t i = 0; i < iqn.bytes; i++) {
        int c = (unsigned char)iqn.text[i];
        if (c == '%') {
            int high = iqn.bytes - i > 2 ? hex_digit(iqn.text[i + 1]) : -1;
            int low = iqn.bytes - i > 2 ? hex_digit(iqn.text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return refuse(p, "'%%' in the target's name is not followed by two hexadecimal "
                                 "digits");
            c = high * 16 + low;
            i += 2;
        }
        if (used + 1 >= sizeof(p->address->iqn))
            return refuse(p, "the target's name is longer than %zu bytes",
                          sizeof(p->address->iqn) - 1);
        if (c <= ' ' || c == 0x7f || c == '/' || c == '?' || c == '%' || c == '@' || c == '"')
            return refuse(p, "the target's name has a character in it that no iSCSI name has");
        out[used++] = (char)c;
    }
    return true;
}

/* RFC 7143 4.2.7: three types of names. */
static bool parse_iqn(struct parser *p, struct part iqn)
{
    if (iqn.bytes == 0)
        return refuse(p, "the target's name is missing: " FORM);
    if (!decode_iqn(p, iqn))
        return false;
    if (strncmp(p->address->iqn, "iqn.", 4) != 0 && strncmp(p->address->iqn, "eui.", 4) != 0 &&
        strncmp(p->address->iqn, "naa.", 4) != 0)
        return refuse(p, "target name '%.64s' does not begin with iqn., eui. or naa.",
                      p->address->iqn);
    return true;
}

static bool parse_lun(struct parser *p, struct part lun)
{
    long value = number(lun, 16383);

    if (lun.bytes == 0)
        return refuse(p, "the LUN is missing: " FORM);
    if (value < 0)
        return refuse(p, "LUN '%.*s' is not a number from 0 to 16383",
                      (int)(lun.bytes > 32 ? 32 : lun.bytes), lun.text);
    p->address->lun = (int)value;
    return true;
}

static bool part_is(struct part part, const char *text)
{
    return part.bytes == strlen(text) && memcmp(part.text, text, part.bytes) == 0;
}

static bool parse_option(struct parser *p, struct part option)
{
    struct part name = option;
    struct part value = {"", 0};

    split(option, '=', &name, &value);
    if (part_is(name, "target_password") || part_is(name, "password"))
        return refuse_secret(p);
    if (!part_is(name, "header_digest"))
        return refuse(p, "option '%.*s' is not known; there is only header_digest=crc32c|none",
                      (int)(name.bytes > 32 ? 32 : name.bytes), name.text);
    if (!part_is(value, "crc32c") && !part_is(value, "none"))
        return refuse(p, "header_digest is crc32c or none");
    p->address->header_digest = part_is(value, "crc32c");
    return true;
}

static bool parse_options(struct parser *p, struct part options)
{
    struct part option;

    while (split(options, '&', &option, &options))
        if (!parse_option(p, option))
            return false;
    return parse_option(p, options);
}

/* What follows the scheme. Of user%se/cret@host the part before the '/' looks
 * like a host, and the messages about hosts repeat it: looked for first. */
static bool parse_rest(struct parser *p, struct part rest)
{
    struct part options;
    struct part portal;
    struct part user;
    struct part path;
    struct part iqn;
    struct part lun;

    if (split(rest, '?', &rest, &options) && !parse_options(p, options))
        return false;
    if (!split(rest, '/', &portal, &path)) {
        portal = rest;
        path = (struct part){"", 0};
    }
    if (has(path, '@') || (has(portal, '%') && !has(portal, '[')))
        return refuse_secret(p);
    if (split(portal, '@', &user, &portal) && !parse_user(p, user))
        return false;
    if (!parse_portal(p, portal))
        return false;
    if (!split(path, '/', &iqn, &lun)) {
        iqn = path;
        lun = (struct part){"", 0};
    }
    return parse_iqn(p, iqn) && parse_lun(p, lun);
}

bool address_parse(const char *url, struct address *address, char why[ADDRESS_WHY_BYTES])
{
    struct parser p = {address, why};
    bool good;

    memset(address, 0, sizeof(*address));
    why[0] = '\0';
    if (strncmp(url, SCHEME, strlen(SCHEME)) != 0) {
        const char *colon = strstr(url, "://");
        if (colon == NULL || colon - url > 32)
            return refuse(&p, "the address has no scheme: " FORM);
        return refuse(&p, "scheme '%.*s' is not known: " FORM, (int)(colon - url), url);
    }
    good = parse_rest(&p, (struct part){url + strlen(SCHEME), strlen(url) - strlen(SCHEME)});
    if (!good)
        memset(address, 0, sizeof(*address));
    return good;
}

bool address_parse_portal(const char *portal, struct address *address, char why[ADDRESS_WHY_BYTES])
{
    struct part whole = {portal, strlen(portal)};
    bool good;

    memset(address, 0, sizeof(*address));
    why[0] = '\0';
    struct parser p = {address, why};
    /* Not repeated: it may be user%secret@host. */
    if (has(whole, '@') || (has(whole, '%') && !has(whole, '[')))
        return refuse(&p, "a portal is host[:port], without a user or a secret");
    good = parse_portal(&p, whole);
    if (!good)
        memset(address, 0, sizeof(*address));
    return good;
}

bool address_parse_target(const char *iqn, struct address *address, char why[ADDRESS_WHY_BYTES])
{
    bool good;

    memset(address, 0, sizeof(*address));
    why[0] = '\0';
    struct parser p = {address, why};
    good = parse_iqn(&p, (struct part){iqn, strlen(iqn)});
    if (!good)
        memset(address, 0, sizeof(*address));
    return good;
}

char *address_format(const struct address *address, char *out, unsigned size)
{
    bool ipv6 = strchr(address->host, ':') != NULL;
    char port[8] = "";

    if (address->port != ADDRESS_DEFAULT_PORT)
        snprintf(port, sizeof(port), ":%u", address->port);
    snprintf(out, size, SCHEME "%s%s%s%s%s%s/%s/%d%s", address->user,
             address->user[0] != '\0' ? "@" : "", ipv6 ? "[" : "", address->host, ipv6 ? "]" : "",
             port, address->iqn, address->lun,
             address->header_digest ? "?header_digest=crc32c" : "");
    return out;
}

/* IPv4 addresses as IPv4-mapped ones; a zone is left out. */
static bool to_binary(const char *host, struct in6_addr *out)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    char literal[INET6_ADDRSTRLEN];
    size_t bytes = strcspn(host, "%");

    if (bytes >= sizeof(literal))
        return false;
    memcpy(literal, host, bytes);
    literal[bytes] = '\0';
    memcpy(out->s6_addr, mapped, sizeof(mapped));
    if (host[bytes] == '\0' && inet_pton(AF_INET, literal, out->s6_addr + sizeof(mapped)) == 1)
        return true;
    return inet_pton(AF_INET6, literal, out) == 1;
}

bool address_is_numeric(const char *host)
{
    struct in6_addr binary;
    size_t bytes = strcspn(host, "%");

    if (!to_binary(host, &binary))
        return false;
    if (host[bytes] == '\0')
        return true;
    /* A zone: the name of an interface. */
    for (const char *c = host + bytes + 1; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr(".-_", *c) == NULL)
            return false;
    return host[bytes + 1] != '\0' && strlen(host + bytes + 1) < 16;
}

/* "This network", multicast, reserved, broadcast: RFC 6890. */
static bool is_no_host(const struct in6_addr *a)
{
    if (IN6_IS_ADDR_V4MAPPED(a))
        return a->s6_addr[12] == 0 || a->s6_addr[12] >= 224;
    return IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_MULTICAST(a);
}

static bool is_loopback(const struct in6_addr *a)
{
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

bool address_may_lead(const char *from, const char *to)
{
    struct in6_addr a;
    struct in6_addr b;

    return to_binary(from, &a) && to_binary(to, &b) && !is_no_host(&b) &&
           (!is_loopback(&b) || is_loopback(&a));
}
