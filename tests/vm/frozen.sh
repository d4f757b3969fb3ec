#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The target stands still for 20 s while boot firmware loads a file: the file
# arrives, or the firmware says that it did not; it does not reset the disk again
# and again, and can load the file afterwards. Both firmwares at a time, each in a
# simulation of its own; an argument, uboot or edk2, is that one alone.
# FROZEN_SECONDS: another time.
#
# U-Boot's EHCI driver waits 5 s for the last piece of data that ended early, then
# resets; so it gives up on the third try of a READ. EDK2 goes on trying.
if [ $# -eq 0 ]; then
    "$BASH" "$0" uboot &
    "$BASH" "$0" edk2 || edk2=$?
    wait $! && exit "${edk2:-0}"
fi
. "$(dirname "$0")/lib.sh"
vm_begin "frozen-$1"
export LUNSTICK_SIM_SUITE=trixie
need_packages mtools dosfstools fdisk jq
seconds=${FROZEN_SECONDS:-20}

# A file that is still loading when the target stops.
image() {
    head -c 4M /dev/urandom >"$work/file"
    truncate -s 48M "$work/plain.img"
    printf 'label: dos\n2048,,c\n' | sfdisk -q "$work/plain.img"
    mkfs.vfat --offset 2048 -s 8 "$work/plain.img" >/dev/null
    firmware efi file >"$work/bootx64"
    mmd -i "$work/plain.img@@1M" ::EFI ::EFI/BOOT
    mcopy -i "$work/plain.img@@1M" "$work/bootx64" ::EFI/BOOT/BOOTX64.EFI
    mcopy -i "$work/plain.img@@1M" "$work/file" ::file
    sum=$(gzip -1 -c "$work/file" | tail -c 8 | od -An -tx4 -N4 | tr -d ' ')
}

# frozen COMMAND...: runs it; the target stops as soon as 1.5 MB were read from it
frozen() {
    local from freezer
    rm -f "$work/froze"
    from=$(target_has_read)
    {
        while [ $(($(target_has_read) - from)) -lt 1500000 ]; do sleep 0.02; done
        tgtd_freeze
        : >"$work/froze"
        sleep "$seconds"
        tgtd_thaw
    } &
    freezer=$!
    "$@" || echo "$*: exit $?"
    if [ -e "$work/froze" ]; then
        wait "$freezer"
    else
        kill "$freezer"
        echo "it ended before 1.5 MB were read"
        return 1
    fi
}
target_has_read() { sed -n 's/^rchar: //p' "/proc/$TGTD_PID/io"; }

# A boot costs a few resets, and so does a command that the firmware gives up.
few_resets() {
    local now
    now=$(resets)
    echo "resets: $((now - $1))"
    [ $((now - $1)) -le 16 ]
}
resets() { pi run 'lunstick status --json' | jq .usb.resets; }

uboot_waits() {
    local before
    before=$(resets)
    # shellcheck disable=SC2016
    frozen firmware uboot - <<<'load usb 0 ${loadaddr} file; crc32 ${loadaddr} ${filesize}
sleep 20; usb reset
load usb 0 ${loadaddr} file; crc32 ${loadaddr} ${filesize}' | tee "$work/console"
    head -n 5 "$work/console" | grep -qi "==> $sum\|error\|failed"
    tail -n 2 "$work/console" | grep -qi "==> $sum"
    few_resets "$before"
}

edk2_waits() {
    local before
    before=$(resets)
    frozen firmware edk2 | tee "$work/console"
    grep -qi "==> $sum" "$work/console" || firmware edk2 | grep -i "==> $sum"
    few_resets "$before"
}

image
target_start
tgtd_target plain 48M
pi start --lunstickd "$LUNSTICKD"
daemon_start pi "$(url plain)"
case $1 in
uboot) test_case "frozen: U-Boot loads a file, or says that it cannot and can afterwards" uboot_waits ;;
edk2) test_case "frozen: EDK2 loads a file, or says that it cannot and can afterwards" edk2_waits ;;
esac
