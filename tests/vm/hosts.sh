#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Boot firmware, then Linux, as the host of three units on one cable: two disks and a
# CD-ROM. HOSTS_CAPTURES: a directory for what each of them sent; tests/vm/cbws.py makes
# the tables of tests/unit/host_commands.h of it.
. "$(dirname "$0")/lib.sh"
vm_begin hosts
export LUNSTICK_SIM_BOOT_SECONDS=180
export LUNSTICK_SIM_SUITE=trixie # its U-Boot can do several units, bookworm's cannot
need_packages mtools dosfstools fdisk jq xorriso

# The first disk for SeaBIOS, the second for U-Boot; on the CD-ROM an EFI boot image,
# a file, and half a block that nobody sees.
images() {
    local i
    head -c 300000 /dev/urandom >"$work/file"
    head -c 300000 /dev/urandom >"$work/file.cd"
    for i in one two; do
        truncate -s 32M "$work/$i.img"
        printf 'label: dos\n2048,,c\n' | sfdisk -q "$work/$i.img"
        mkfs.vfat --offset 2048 -s 8 "$work/$i.img" >/dev/null
    done
    mcopy -i "$work/two.img@@1M" "$work/file" ::file
    firmware bootsector 100 | dd of="$work/one.img" bs=446 count=1 conv=notrunc status=none
    mkdir "$work/cd"
    mkfs.vfat -C "$work/cd/efi.img" 1440 >/dev/null
    firmware efi file.cd >"$work/bootx64"
    mmd -i "$work/cd/efi.img" ::EFI ::EFI/BOOT
    mcopy -i "$work/cd/efi.img" "$work/bootx64" ::EFI/BOOT/BOOTX64.EFI
    cp "$work/file.cd" "$work/cd"
    xorriso -as mkisofs -quiet -R -e efi.img -no-emul-boot -o "$work/cd.img" "$work/cd" 2>"$work/said"
    head -c 1024 /dev/urandom >>"$work/cd.img"
}

# crc32 of stdin, as firmware prints it
crc() { gzip -1 -c | tail -c 8 | od -An -tx4 -N4 | tr -d ' '; }

# host_is NAME CAPTURE COMMAND...: what it prints; afterwards the host is known as NAME
host_is() {
    local name=$1
    [ -z "${HOSTS_CAPTURES:-}" ] || export LUNSTICK_SIM_PCAP=$HOSTS_CAPTURES/$2.pcap
    shift 2
    "$@" | tee "$work/console"
    pi run 'lunstick status --json' >"$work/status"
    same "the host" "$name" "$(jq -r .usb.host "$work/status")"
}

seabios_boots() {
    host_is unknown seabios firmware seabios
    grep -qi "==> $(dd if="$work/one.img" bs=512 skip=1 count=100 status=none | crc)" "$work/console"
}

uboot_loads() {
    # shellcheck disable=SC2016
    host_is unknown uboot firmware uboot - <<<'load usb 1 ${loadaddr} file; crc32 ${loadaddr} ${filesize}'
    grep -qi "==> $(crc <"$work/file")" "$work/console"
}

edk2_boots() {
    host_is unknown edk2 firmware edk2
    grep -qi "==> $(crc <"$work/file.cd")" "$work/console"
}

linux_mounts() {
    host start
    host run 'modprobe -a sr_mod isofs'
    host run -t 60 'until [ -b /dev/sr0 ] && mount -t iso9660 -o ro /dev/sr0 /mnt; do sleep 0.1; done'
    host run 'cat /mnt/file.cd' | cmp - "$work/file.cd"
    same "blocks" "$(($(stat -c %s "$work/cd.img") / 2048 * 4))" "$(host run 'cat /sys/block/sr0/size')"
    host run '! dd if=/dev/zero of=/dev/sr0 bs=2048 count=1 2>&1; umount /mnt; cat /proc/sys/dev/cdrom/info'
    host run 'until [ "$(cat /sys/block/sdb/size 2>/dev/null)" -gt 0 ]; do sleep 0.1; done'
}

images
target_start
tgtd_target one 32M
tgtd_target two 32M
tgtd_target cd 0
pi start --lunstickd "$LUNSTICKD"
cat >"$work/conf" <<END
luns = ( { url = "$(url one)"; }, { url = "$(url two)"; }, { url = "$(url cd)"; cdrom = true; } );
END
pi put "$work/conf" /root/hosts.conf
daemon_start pi --config /root/hosts.conf
test_case "hosts: SeaBIOS boots the first of three units" seabios_boots
test_case "hosts: U-Boot loads a file from the second unit, crc32 equal" uboot_loads
test_case "hosts: EDK2 boots from the CD-ROM and reads a file, crc32 equal" edk2_boots
test_case "hosts: Linux mounts the CD-ROM beside two disks" host_is linux linux linux_mounts
