#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two machines and a cable: the Pi's port is plugged into a second QEMU, a Linux
# host or a boot loader.
. "$(dirname "$0")/lib.sh"
vm_begin cable
export LUNSTICK_SIM_SUITE=trixie # the other supported kernel: 6.12
need_packages mtools dosfstools fdisk jq

image() {
    truncate -s 64M "$work/plain.img"
    printf 'label: dos\n2048,,c\n' | sfdisk -q "$work/plain.img"
    mkfs.vfat --offset 2048 -s 8 "$work/plain.img" >/dev/null
    head -c 3000000 /dev/urandom >"$work/kernel8.img"
    mcopy -i "$work/plain.img@@1M" "$work/kernel8.img" ::kernel8.img
}

image
target_start
tgtd_target plain 64M
host start &
booting=$!
pi start --lunstickd "$LUNSTICKD"
wait "$booting"
daemon_start pi "$(url plain)"

host_sees_it() {
    disk_wait host || { pi run 'tail -n 20 /run/lunstickd.log'; return 1; }
    host run 'lsblk -J -b -o NAME,TRAN,SIZE,SUBSYSTEMS,RM /dev/sda' | tee "$work/lsblk"
    # rpi-imager's rule: `usb` in subsystems, size not 0
    jq -e '.blockdevices[0] | (.subsystems | contains("usb")) and (.size == 67108864)' "$work/lsblk"
    same speed 480 "$(host run 'cat /sys/bus/usb/devices/*/product /sys/bus/usb/devices/*/speed' >"$work/usb"
        host run 'for d in /sys/bus/usb/devices/*; do grep -qs "iSCSI disk" $d/product && cat $d/speed; done; true')"
    same "speed in status" high "$(pi run 'lunstick status --json' | jq -r .usb.speed)"
}

file_is_read() {
    host run 'mount -t vfat -o ro /dev/sda1 /mnt'
    same sha256 "$(sha <"$work/kernel8.img")" "$(host run -t 60 'sha256sum </mnt/kernel8.img' | cut -d' ' -f1)"
    host run 'umount /mnt'
}

replugs() {
    pi unplug
    disk_gone host 40
    pi plug
    disk_wait host
}

uboot_loads() {
    local want
    want=$(gzip -c <"$work/kernel8.img" | tail -c 8 | od -An -tx4 -N4 | tr -d ' ')
    host stop
    firmware uboot kernel8.img | tee "$work/uboot"
    grep -qi "==> $want" "$work/uboot"
}

test_case "cable: the second machine sees a USB disk by rpi-imager's rule" host_sees_it
test_case "cable: a file is read over USB, sha256 equal" file_is_read
test_case "cable: the plug pulled and put back" replugs
test_case "cable: U-Boot loads a file, crc32 equal" uboot_loads
