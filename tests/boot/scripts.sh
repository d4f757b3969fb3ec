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

# The kernel's own way of writing it is util-linux's.
partuuids_are() {
    local label=$1 block=$2 number want
    rm -f "$work/disk"
    truncate -s 64M "$work/disk"
    printf 'label: %s\n%s' "$label" "$3" | sfdisk -q --sector-size "$block" "$work/disk"
    for number in 1 2 3; do
        want=$(sfdisk --sector-size "$block" --part-uuid "$work/disk" "$number" 2>/dev/null ||
               sfdisk --sector-size "$block" --dump "$work/disk" | sed -n "s/^label-id: 0x\(.*\)/\1-0$number/p")
        [ -n "$want" ] || return
        [ "${want,,}" = "$(in_sh "block_bytes() { echo $block; }; partuuid $number | lower_case")" ] ||
            { echo "partition $number should be $want"; return 1; }
    done
}

no_table_has_none() {
    rm -f "$work/disk"
    truncate -s 1M "$work/disk"
    [ -z "$(in_sh 'block_bytes() { echo 512; }; partuuid 1' || true)" ]
}

three=$',8M\n,8M\n,\n'
check "boot scripts: PARTUUID of an MBR" partuuids_are dos 512 "$three"
check "boot scripts: PARTUUID of a GPT" partuuids_are gpt 512 "$three"
check "boot scripts: PARTUUID of a GPT, 4096-byte blocks" partuuids_are gpt 4096 "$three"
check "boot scripts: no partition table, no PARTUUID" no_table_has_none
