#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/boot/scripts.sh: the functions of the initramfs's scripts that read a disk,
# on images made here, in dash; what they say is held against util-linux.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${here%/tests/boot}
# shellcheck source=../../hw/common.sh
. "$root/hw/common.sh"
# shellcheck source=../lib.sh
. "$root/tests/lib.sh"
need_packages dash fdisk bsdextrautils
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# in_sh SCRIPT: with the scripts' functions, on $work/disk
in_sh() {
    dash -euc "for lib in '$root'/boot/initramfs/lib/*.sh; do . \"\$lib\"; done
        device=$work/disk
        $1"
}

# partuuids_are LABEL BLOCK_BYTES FDISK_LETTERS: label, and what each partition needs
# behind "new"
partuuids_are() {
    local block=$2 number want
    rm -f "$work/disk"
    truncate -s 64M "$work/disk"
    # shellcheck disable=SC2086
    { echo "$1"; for number in 1 2 3; do printf '%s\n' n ${3:-} $number '' +8M; done; echo w; } |
        fdisk -b "$block" -w always "$work/disk" >/dev/null || return
    for number in 1 2 3; do
        case $1 in
        g) want=$(fdisk -b "$block" -lo Device,UUID "$work/disk" | sed -n "s/^${work//\//\\/}\/disk$number *//p") ;;
        o) want=$(fdisk -b "$block" -l "$work/disk" | sed -n "s/^Disk identifier: 0x\(.*\)/\1-0$number/p") ;;
        esac
        [ -n "$want" ] && [ "${want,,}" = "$(in_sh "block_bytes() { echo $block; }; partuuid $number")" ] ||
            { echo "partition $number should be $want"; return 1; }
    done
}

no_table_has_none() {
    rm -f "$work/disk"
    truncate -s 1M "$work/disk"
    [ -z "$(in_sh 'block_bytes() { echo 512; }; partuuid 1' || true)" ]
}

check "boot scripts: PARTUUID of an MBR" partuuids_are o 512 p
check "boot scripts: PARTUUID of a GPT" partuuids_are g 512
check "boot scripts: PARTUUID of a GPT, 4096-byte blocks" partuuids_are g 4096
check "boot scripts: no partition table, no PARTUUID" no_table_has_none
