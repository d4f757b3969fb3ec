#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What else starts from a LUN: a system of busybox alone, several machines on one
# read-only disk, each with a network manager, and a USB disk.
#
# BOOT=all: four machines on that disk, and all network managers.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
. "$root/tests/vm/boot_lib.sh"
vm_begin boot_modes
echo secret-of-joe >"$work/secret"
boot_begin --secret-file "$work/secret"

# ---- busybox init, and the ways to an address ----

# up_on GUEST ADDRESS: its root is on the LUN, and this address is its own
up_on() {
    "$1" wait 120 || { console "$1" | tail -n 20; return 1; }
    same "root of $1" "/dev/nbd0p2 ext4" "$("$1" run 'grep " / " /proc/mounts | tail -n 1 | cut -d" " -f1,3')"
    same "init of $1" /usr/bin/busybox "$("$1" run 'readlink /proc/1/exe')"
    "$1" run 'ip address' | tee "$work/addresses" >&2
    grep " $2/" "$work/addresses"
}

busybox_comes_up() {
    boot start "${initrd[@]}" $(words pivot_root plain) rw lunstick.ip=:::::eth0:dhcp lunstick.user=joe
    boot2 start "${initrd[@]}" $(words pivot_root closed) rw lunstick.ip=10.71.0.77::10.71.0.1:255.255.255.0:own:eth0:off \
        lunstick.user=joe
    up_on boot "$(net address boot1)"
    up_on boot2 10.71.0.77
    same "sessions" "1 1" "$(sessions plain) $(sessions closed)"
}

busybox_writes_and_ends() {
    boot run 'seq 100000 >/numbers && poweroff'
    boot2 stop
    boot ended
    e2fsck -fn "$work/plain.img?offset=$BOOT_ROOT"
    debugfs -R 'cat /numbers' "$work/plain.img?offset=$BOOT_ROOT" | cmp - <(seq 100000)
}

target plain busybox
target closed busybox 0 chap=joe:secret-of-joe
test_case "boot: busybox's init on the LUN; CHAP; the kernel's ip= syntax" busybox_comes_up
test_case "boot: busybox's poweroff leaves a clean file system" busybox_writes_and_ends

# ---- overlays on one read-only disk, each with another network manager ----

# manager_spares GUEST UNIT: root's interface, when it starts and when it ends
manager_spares() {
    local guest=$1 unit=$2 address state
    address=$(net address "${guest/%boot/boot1}")
    for state in active inactive; do
        same "$unit of $guest" $state "$("$guest" run "systemctl is-active $unit")"
        same "address of $guest" "$address" \
            "$("$guest" run 'ip -4 -o addr show scope global' | sed -n 's#.* inet \([0-9.]*\)/.*#\1#p' | sort -u)"
        "$guest" run -t 60 'echo 3 >/proc/sys/vm/drop_caches; cat /usr/bin/[a-m]* >/dev/null'
        [ $state = inactive ] || "$guest" run -t 60 "systemctl restart $unit; sleep 2; systemctl stop $unit"
    done
    no_io_error "$guest"
}

# two_come_up UNIT UNIT: two machines at once
two_come_up() {
    boot start "${initrd[@]}" $(words pivot_root base) lunstick.overlay=tmpfs "systemd.wants=$1.service"
    boot2 start "${initrd[@]}" $(words pivot_root base) lunstick.overlay=tmpfs "systemd.wants=$2.service"
    is_running boot
    is_running boot2
    for guest in boot boot2; do
        same "root of $guest" overlay "$($guest run 'findmnt -no FSTYPE /')"
        same "its disk" 1 "$($guest run 'cat /sys/block/nbd0/ro')"
        $guest run 'echo mine >/etc/mine'
    done
    same "sessions" 2 "$(sessions base)"
}

two_go() {
    boot run 'systemctl poweroff'
    boot2 run 'systemctl poweroff'
    boot ended 80
    boot2 ended 80
    same "sessions" 0 "$(sessions base)"
    same "sha256 of their disk" "$base_sum" "$(sha <"$work/base.img")"
}

target base debian 0 readonly
base_sum=$(sha <"$work/base.img")
test_case "boot: two overlays on one read-only disk, at once" two_come_up NetworkManager dhcpcd
test_case "boot: NetworkManager spares root's interface" manager_spares boot NetworkManager
test_case "boot: dhcpcd does" manager_spares boot2 dhcpcd
test_case "boot: both end, and their disk is unchanged" two_go
if [ "${BOOT:-}" = all ]; then
    test_case "boot: two more overlays" two_come_up systemd-networkd networking
    test_case "boot: systemd-networkd spares root's interface" manager_spares boot systemd-networkd
    test_case "boot: ifupdown does" manager_spares boot2 networking
    test_case "boot: both end, and their disk is unchanged" two_go
fi

# ---- usb-disk ----

usb_disk_is_seen() {
    boot_tools "$work/tools.initrd"
    LUNSTICK_SIM_MEMORY=512 boot start "${initrd[@]}" --initrd "$work/tools.initrd" rdinit=/usr/sim/first \
        $(words usb-disk usb)
    boot wait 120
    boot run 'usb-cable in 1d6b:0104'
    LUNSTICK_SIM_PLUG=boot1 host start
    disk_wait host 60
    same "what is read" "$(head -c 4M "$work/usb.img" | sha)" "$(host run 'head -c 4194304 /dev/sda' | sha)"
    host run 'seq 100000 | dd of=/dev/sda bs=1M seek=2 conv=fsync 2>/dev/null'
    cmp -n "$(seq 100000 | wc -c)" -i "0:$((2 << 20))" <(seq 100000) "$work/usb.img"
}

usb_disk_is_supervised() {
    boot run 'kill -9 $(pidof lunstickd)'
    disk_gone host
    disk_wait host 60
    boot stop
}

head -c 8M /dev/urandom >"$work/usb.img"
tgtd_target usb 8M
test_case "boot: usb-disk from the initramfs, seen by another machine" usb_disk_is_seen
test_case "boot: its daemon killed, and there again" usb_disk_is_supervised
