/* SPDX-License-Identifier: BSD-2-Clause */
/* The root path that a DHCP server gives to who boots by iSCSI (RFC 4173, 5). */
#ifndef LUNSTICK_BOOT_ROOT_PATH_H
#define LUNSTICK_BOOT_ROOT_PATH_H

#include "initiator/address.h"

/*
 * `iscsi:[server]:[protocol]:[port]:[LUN]:target`; the server may be an IPv6
 * address in brackets, the LUN is hexadecimal. Without a server `host` is empty;
 * without the others they are TCP, 3260 and 0. False with a sentence that names
 * the faulty part; `address` is then all zero. A secret, which some clients allow
 * here, is refused and not repeated.
 */
bool root_path_parse(const char *text, struct address *address, char why[ADDRESS_WHY_BYTES]);

#endif
