/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network of the boot modes, in the syntax of the kernel's own `ip=`:
 *   dhcp | any | on | off | none
 *   client:server:gateway:netmask:hostname:device:autoconf:dns0:dns1[:ntp0]
 * IPv6 addresses stand in brackets; a netmask may be a prefix length. As with
 * the kernel an address that is given is used, whatever autoconf says, fields may
 * be empty or left out at the end, and 0.0.0.0 is the same as empty. server and ntp0
 * are checked and not kept.
 */
#ifndef LUNSTICK_BOOT_CMDLINE_IP_H
#define LUNSTICK_BOOT_CMDLINE_IP_H

#include <stdbool.h>
#include <stddef.h>

#define CMDLINE_IP_BYTES        46 /* an IPv6 literal, without brackets */
#define CMDLINE_HOSTNAME_BYTES  65
#define CMDLINE_INTERFACE_BYTES 16
/* Long enough for every message, and for every structure formatted. */
#define CMDLINE_IP_WHY_BYTES  192
#define CMDLINE_IP_TEXT_BYTES 400

enum cmdline_ip_method {
    CMDLINE_IP_ANY,    /* DHCP, or what the routers announce, whichever comes */
    CMDLINE_IP_DHCP,   /* DHCP alone */
    CMDLINE_IP_STATIC, /* `client` and the rest */
    CMDLINE_IP_OFF,    /* the network is left as it is found */
};

/* Strings are numeric addresses and empty if not given. */
struct cmdline_ip {
    enum cmdline_ip_method method;
    int prefix_bits; /* 0: not given; of a client always there: its class's, or 64 */
    char client[CMDLINE_IP_BYTES];
    char gateway[CMDLINE_IP_BYTES];
    char dns[2][CMDLINE_IP_BYTES];
    char hostname[CMDLINE_HOSTNAME_BYTES];
};

/* The device's name goes to `interface`, which stays as it is if none is given.
 * False with one sentence in `why`; nothing else is then changed. */
bool cmdline_ip_parse(const char *text, struct cmdline_ip *ip,
                      char interface[CMDLINE_INTERFACE_BYTES], char why[CMDLINE_IP_WHY_BYTES]);
/* cmdline_ip_parse() of it gives the same structure, and no interface. */
void cmdline_ip_format(const struct cmdline_ip *ip, char out[CMDLINE_IP_TEXT_BYTES]);
/* A name that a network interface may have. */
bool cmdline_interface_valid(const char *name);

#endif
