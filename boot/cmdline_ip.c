/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmdline_ip.h"

#include "initiator/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum field {
    FIELD_CLIENT,
    FIELD_SERVER,
    FIELD_GATEWAY,
    FIELD_NETMASK,
    FIELD_HOSTNAME,
    FIELD_DEVICE,
    FIELD_AUTOCONF,
    FIELD_DNS0,
    FIELD_DNS1,
    FIELD_NTP0,
    FIELDS,
};

#define FIELD_BYTES 65

static const char *const names[FIELDS] = {
    "client-ip", "server-ip", "gateway-ip", "netmask", "hostname",
    "device",    "autoconf",  "dns0-ip",    "dns1-ip", "ntp0-ip",
};

static const struct {
    const char *word;
    enum cmdline_ip_method method;
} methods[] = {
    {"any", CMDLINE_IP_ANY}, {"dhcp", CMDLINE_IP_DHCP}, {"off", CMDLINE_IP_OFF},
    {"on", CMDLINE_IP_ANY},  {"none", CMDLINE_IP_OFF},
};

static bool refuse(char *why, enum field field, const char *text, const char *problem)
{
    snprintf(why, CMDLINE_IP_WHY_BYTES, "%s '%.*s' %s", names[field], FIELD_BYTES, text, problem);
    return false;
}

static bool find_method(const char *word, enum cmdline_ip_method *method)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(word, methods[i].word) == 0) {
            *method = methods[i].method;
            return true;
        }
    }
    return false;
}

/* Apart at the colons outside of brackets. */
static bool split(const char *text, char fields[FIELDS][FIELD_BYTES], char *why)
{
    for (unsigned i = 0; i < FIELDS; i++) {
        size_t bytes = *text == '[' ? strcspn(text, "]") : 0;
        bytes += strcspn(text + bytes, ":");
        if (bytes >= FIELD_BYTES)
            return refuse(why, i, text, "is too long");
        memcpy(fields[i], text, bytes);
        text += bytes;
        if (*text == '\0')
            return true;
        text++;
    }
    snprintf(why, CMDLINE_IP_WHY_BYTES,
             "it has more than %d fields; an IPv6 address stands in brackets", FIELDS);
    return false;
}

static bool is_ipv6(const char *address)
{
    return strchr(address, ':') != NULL;
}

/* Into `out`, without brackets; 0.0.0.0 and [::] are as good as none. */
static bool read_address(char fields[FIELDS][FIELD_BYTES], enum field field,
                         char out[CMDLINE_IP_BYTES], char *why)
{
    static const struct in6_addr zero;
    const char *text = fields[field];
    size_t bytes = strlen(text);
    bool brackets = bytes > 1 && text[0] == '[' && text[bytes - 1] == ']';
    char literal[FIELD_BYTES] = "";
    struct in6_addr binary = zero;

    if (bytes == 0)
        return true;
    memcpy(literal, text + brackets, bytes - (brackets ? 2 : 0));
    if (inet_pton(brackets ? AF_INET6 : AF_INET, literal, &binary) != 1 ||
        strlen(literal) >= CMDLINE_IP_BYTES)
        return refuse(why, field, text, "is no address; an IPv6 address stands in brackets");
    if (memcmp(&binary, &zero, sizeof(zero)) == 0)
        return true;
    if (!address_may_lead("127.0.0.1", literal))
        return refuse(why, field, text, "is no host's address");
    memcpy(out, literal, strlen(literal) + 1);
    return true;
}

/* A prefix length, or a mask whose ones come first; -1: neither. */
static int mask_bits(const char *text, int max)
{
    struct in_addr binary;
    uint32_t mask;
    int bits = 0;

    if (text[strspn(text, "0123456789")] == '\0') {
        bits = strlen(text) < 4 ? (int)strtol(text, NULL, 10) : 0;
        return bits >= 1 && bits <= max ? bits : -1;
    }
    if (max > 32 || inet_pton(AF_INET, text, &binary) != 1)
        return -1;
    mask = ntohl(binary.s_addr);
    while (bits < 32 && (mask & (0x80000000U >> bits)) != 0)
        bits++;
    return bits > 0 && (bits == 32 || mask << bits == 0) ? bits : -1;
}

/* Without a netmask the kernel takes the one of the address's class. */
static int default_bits(const char *client)
{
    long first = strtol(client, NULL, 10);

    if (is_ipv6(client))
        return 64;
    return first < 128 ? 8 : first < 192 ? 16 : 24;
}

static bool read_netmask(char fields[FIELDS][FIELD_BYTES], struct cmdline_ip *ip, char *why)
{
    const char *text = fields[FIELD_NETMASK];

    if (text[0] == '\0') {
        ip->prefix_bits = ip->client[0] != '\0' ? default_bits(ip->client) : 0;
        return true;
    }
    ip->prefix_bits = mask_bits(text, is_ipv6(ip->client) ? 128 : 32);
    if (ip->prefix_bits < 0)
        return refuse(why, FIELD_NETMASK, text,
                      is_ipv6(ip->client) ? "is no prefix length from 1 to 128"
                                          : "is neither a netmask nor a prefix length");
    return true;
}

static bool read_hostname(char fields[FIELDS][FIELD_BYTES], struct cmdline_ip *ip, char *why)
{
    const char *text = fields[FIELD_HOSTNAME];

    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80 || (!isalnum((unsigned char)*c) && strchr("-_.", *c) == NULL))
            return refuse(why, FIELD_HOSTNAME, text, "has a character that no host name has");
    memcpy(ip->hostname, text, strlen(text) + 1);
    return true;
}

bool cmdline_interface_valid(const char *name)
{
    if (strlen(name) >= CMDLINE_INTERFACE_BYTES || name[0] == '\0' || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if (*c <= ' ' || *c >= 0x7f || strchr("/:\"", *c) != NULL)
            return false;
    return true;
}

static bool read_autoconf(char fields[FIELDS][FIELD_BYTES], struct cmdline_ip *ip, char *why)
{
    const char *text = fields[FIELD_AUTOCONF];

    if (text[0] != '\0' && !find_method(text, &ip->method))
        return refuse(why, FIELD_AUTOCONF, text, "is none of dhcp, any, on, off, none");
    if (ip->client[0] != '\0')
        ip->method = CMDLINE_IP_STATIC;
    return true;
}

static bool read_fields(char fields[FIELDS][FIELD_BYTES], struct cmdline_ip *ip, char *why)
{
    char unused[CMDLINE_IP_BYTES];
    const char *device = fields[FIELD_DEVICE];

    if (!read_address(fields, FIELD_CLIENT, ip->client, why) ||
        !read_address(fields, FIELD_SERVER, unused, why) ||
        !read_address(fields, FIELD_GATEWAY, ip->gateway, why) || !read_netmask(fields, ip, why) ||
        !read_hostname(fields, ip, why) || !read_autoconf(fields, ip, why) ||
        !read_address(fields, FIELD_DNS0, ip->dns[0], why) ||
        !read_address(fields, FIELD_DNS1, ip->dns[1], why) ||
        !read_address(fields, FIELD_NTP0, unused, why))
        return false;
    if (device[0] != '\0' && !cmdline_interface_valid(device))
        return refuse(why, FIELD_DEVICE, device, "is no interface's name");
    if (ip->client[0] != '\0' && ip->gateway[0] != '\0' &&
        is_ipv6(ip->client) != is_ipv6(ip->gateway))
        return refuse(why, FIELD_GATEWAY, fields[FIELD_GATEWAY],
                      "is not of the same family as client-ip");
    return true;
}

bool cmdline_ip_parse(const char *text, struct cmdline_ip *ip,
                      char interface[CMDLINE_INTERFACE_BYTES], char why[CMDLINE_IP_WHY_BYTES])
{
    char fields[FIELDS][FIELD_BYTES] = {""};
    struct cmdline_ip read;

    why[0] = '\0';
    memset(&read, 0, sizeof(read));
    if (!find_method(text, &read.method) &&
        (!split(text, fields, why) || !read_fields(fields, &read, why)))
        return false;
    memcpy(ip, &read, sizeof(read));
    if (fields[FIELD_DEVICE][0] != '\0') {
        memset(interface, 0, CMDLINE_INTERFACE_BYTES);
        memcpy(interface, fields[FIELD_DEVICE], strlen(fields[FIELD_DEVICE]) + 1);
    }
    return true;
}

static const char *bracketed(const char *address, char out[CMDLINE_IP_BYTES + 2])
{
    bool ipv6 = is_ipv6(address);

    snprintf(out, CMDLINE_IP_BYTES + 2, "%s%s%s", ipv6 ? "[" : "", address, ipv6 ? "]" : "");
    return out;
}

void cmdline_ip_format(const struct cmdline_ip *ip, char out[CMDLINE_IP_TEXT_BYTES])
{
    const char *method = "off";
    char address[4][CMDLINE_IP_BYTES + 2];
    char bits[12] = "";

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (methods[i].method == ip->method) {
            method = methods[i].word;
            break;
        }
    }
    if (ip->prefix_bits > 0)
        snprintf(bits, sizeof(bits), "%d", ip->prefix_bits);
    if (ip->client[0] == '\0' && ip->gateway[0] == '\0' && bits[0] == '\0' &&
        ip->hostname[0] == '\0' && ip->dns[0][0] == '\0' && ip->dns[1][0] == '\0')
        snprintf(out, CMDLINE_IP_TEXT_BYTES, "%s", method);
    else
        snprintf(out, CMDLINE_IP_TEXT_BYTES, "%s::%s:%s:%s::%s:%s:%s",
                 bracketed(ip->client, address[0]), bracketed(ip->gateway, address[1]), bits,
                 ip->hostname, method, bracketed(ip->dns[0], address[2]),
                 bracketed(ip->dns[1], address[3]));
}
