/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plan of a boot, as assignments for the shell of the initramfs: what the
 * kernel command line, the builder and DHCP say together. One assignment to a
 * line, every value in single quotes, so that `eval` of it is safe whatever the
 * values are.
 *
 *   mode            pivot_root, kexec, usb-disk, or empty: not given
 *   timeout on_failure overlay secret_file access root_type root_flags init
 *   iface vlan ip_method (any, dhcp, static, off) ip_client ip_prefix ip_gateway
 *   ip_dns ip_hostname
 *   root_by         label, uuid, partuuid, number, other, or empty; root_value;
 *                   and image_root_by, image_root_value of the word root=
 *   targets         their number; of each, N from 1: iqn_N, url_N (empty: the portal
 *                   is unknown) and from_N, who said where it is
 */
#ifndef LUNSTICK_BOOT_PLAN_H
#define LUNSTICK_BOOT_PLAN_H

#include "boot/cmdline.h"

#include <stdio.h>

/* `root_path` and `tftp_server` as for cmdline_address(). */
void plan_print(FILE *out, const struct cmdline *cmdline, const struct cmdline *defaults,
                const struct address *root_path, const char *tftp_server);

/* NAME='VALUE' and a newline. */
void plan_assign(FILE *out, const char *name, const char *value);

#endif
