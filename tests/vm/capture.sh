#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Makes tests/unit/captures/ anew: what each host that runs here says to a disk of
# 4 MiB from plug to unplug, recorded at its end of the cable. To be run by hand,
# in a machine that is not busy; tests/unit/test_captures.c replays the files.
#
#   tests/vm/capture.sh [DIRECTORY]     default: tests/unit/captures
. "$(dirname "$0")/lib.sh"
vm_begin capture
out=${1:-$root/tests/unit/captures}
need_packages mtools dosfstools fdisk

# The disk: a boot sector for SeaBIOS, and a FAT with a file and a program for EFI.
image() {
    truncate -s 4M "$work/disk.img"
    printf 'label: dos\n2048,,c\n' | sfdisk -q "$work/disk.img"
    mkfs.vfat --offset 2048 -s 1 "$work/disk.img" >/dev/null
    firmware bootsector 100 | dd of="$work/disk.img" bs=446 count=1 conv=notrunc status=none
    head -c 100000 /dev/urandom >"$work/file"
    firmware efi file >"$work/bootx64"
    mcopy -i "$work/disk.img@@1M" "$work/file" ::file
    mmd -i "$work/disk.img@@1M" ::EFI ::EFI/BOOT
    mcopy -i "$work/disk.img@@1M" "$work/bootx64" ::EFI/BOOT/BOOTX64.EFI
}

# The program for EDK2 on arm64, which has a shell.
shell_script() { printf '%s\r\n' 'fs0:' 'cp file copy' 'comp file copy' 'rm copy' 'echo efi end'; }

# capture NAME COMMAND...: each finds the disk as it was made, and a new daemon. What
# the command prints last tells the version.
capture() {
    local name=$1 version
    shift
    dd if="$work/disk.img" of="$TGTD_IMAGE" conv=notrunc status=none
    daemon_start pi "$(url disk)"
    LUNSTICK_SIM_PCAP=$work/$name.pcap "$@" >"$work/said" 2>&1 || {
        tail -n 20 "$work/said"
        die "$name: no capture" "its output is above"
    }
    daemon_stop pi
    version=$(tail -n 1 "$work/said")
    {
        echo "# SPDX-License-Identifier: BSD-2-Clause"
        echo "# $version, $(qemu-system-aarch64 --version | sed -n 's/.*version \([0-9.]*\).*/QEMU \1/p'), $(date +%F)"
        echo "# made by tests/vm/capture.sh: unit, way, length, CSW status and residue, CDB"
        python3 "$root/tests/vm/cbws.py" "$work/$name.pcap"
    } >"$out/$name.txt"
    say "$name ($version): $(grep -vc '^#' "$out/$name.txt") commands"
}

version_of() { dpkg-query -W -f '${Version}' "$1" | cut -d- -f1; }

seabios() { firmware seabios && echo "SeaBIOS $(version_of seabios), boots"; }
edk2() { firmware edk2 && echo "EDK2 $(version_of ovmf) for x86, boots"; }
edk2_arm64() {
    firmware edk2-arm64
    printf '\n%s\n' "EDK2 $(version_of qemu-efi-aarch64) for arm64, copies a file in its shell"
}

uboot() {
    firmware uboot - <<'END'
part list usb 0
load usb 0 ${loadaddr} file
fatwrite usb 0 ${loadaddr} copy ${filesize}
END
    firmware log | sed -n 's/^\(U-Boot [0-9.]*\).*/\1, loads and writes a file/p'
}

# Mounts, reads, writes, and takes it out, as a user does.
linux() {
    host start
    host run -t 120 'until [ -b /dev/sda1 ]; do sleep 0.1; done
        mount -t vfat /dev/sda1 /mnt && cat /mnt/file >/dev/null &&
        head -c 30000 /dev/zero >/mnt/new && sync && umount /mnt && eject /dev/sda'
    host run 'echo "Linux $(uname -r), mounts, reads, writes, ejects"'
    host stop
}

image
shell_script >"$work/startup.nsh"
mcopy -i "$work/disk.img@@1M" "$work/startup.nsh" ::startup.nsh
mkdir -p "$out"
target_start
tgtd_target disk 4M
pi start --lunstickd "$LUNSTICKD"
capture seabios seabios
capture edk2 edk2
capture edk2-arm64 edk2_arm64
capture uboot uboot
LUNSTICK_SIM_SUITE=trixie LUNSTICK_SIM_USB_HOST=xhci capture uboot-xhci uboot
capture linux linux
LUNSTICK_SIM_SUITE=trixie capture linux-trixie linux
