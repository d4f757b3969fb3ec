#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What else starts from a LUN: a system of busybox alone, four machines on one read-only
# disk, Debian with each network manager that it has, and a USB disk.
#
# BOOT=all: four Debians, each with a manager from its start.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
. "$root/tests/vm/boot_lib.sh"
vm_begin boot_modes
echo secret-of-joe >"$work/secret"
boot_begin --secret-file "$work/secret"

# ---- busybox init, and the ways to an address ----

# up_on GUEST ADDRESS ROOT: this is its root, and this address is its own
up_on() {
    "$1" wait 120 || { console "$1" | tail -n 20; return 1; }
    same "root of $1" "$3" "$("$1" run 'grep " / " /proc/mounts | tail -n 1 | cut -d" " -f1,3')"
    same "init of $1" /usr/bin/busybox "$("$1" run 'readlink /proc/1/exe')"
    "$1" run 'ip address' | tee "$work/addresses" >&2
    grep " $2/" "$work/addresses"
}

on_base() { "$1" start "${initrd[@]}" $(words pivot_root base) lunstick.overlay=tmpfs lunstick.user=joe "${@:2}"; }

busybox_comes_up() {
    boot start "${initrd[@]}" $(words pivot_root plain) rw lunstick.ip=:::::eth0:dhcp
    on_base boot2 lunstick.ip=10.71.0.77::10.71.0.1:255.255.255.0:own:eth0:off
    up_on boot "$(net address boot1)" "/dev/nbd0p2 ext4"
    up_on boot2 10.71.0.77 "lunstick overlay"
    same "sessions" "1 1" "$(sessions plain) $(sessions base)"
}

busybox_writes_and_ends() {
    boot run 'seq 100000 >/numbers && poweroff'
    boot ended
    e2fsck -fn "$work/plain.img?offset=$BOOT_ROOT"
    debugfs -R 'cat /numbers' "$work/plain.img?offset=$BOOT_ROOT" | cmp - <(seq 100000)
}

# The second of them is there already.
four_come_up() {
    on_base boot
    on_base boot3
    up_on boot "$(net address boot1)" "lunstick overlay"
    up_on boot3 "$(net address boot3)" "lunstick overlay"
    on_base boot4
    up_on boot4 "$(net address boot4)" "lunstick overlay"
    same "sessions" 4 "$(sessions base)"
}

four_write_and_end() {
    local guest
    for guest in boot boot2 boot3 boot4; do $guest run "echo $guest >/etc/mine"; done
    for guest in boot boot2 boot3 boot4; do
        same "what is in /etc" "$guest" "$($guest run 'echo 3 >/proc/sys/vm/drop_caches; cat /etc/mine')"
        same "its disk" 1 "$($guest run 'cat /sys/block/nbd0/ro')"
        $guest run poweroff
    done
    for guest in boot boot2 boot3 boot4; do $guest ended; done
    same "sha256 of their disk" "$base_sum" "$(sha <"$work/base.img")"
}

export LUNSTICK_SIM_MEMORY=192
target plain busybox
target base busybox 0 readonly chap=joe:secret-of-joe
base_sum=$(sha <"$work/base.img")
test_case "boot: busybox's init on the LUN; CHAP; the kernel's ip= syntax" busybox_comes_up
test_case "boot: busybox's poweroff leaves a clean file system" busybox_writes_and_ends
test_case "boot: four overlays on one read-only disk" four_come_up
test_case "boot: they end, and their disk is unchanged" four_write_and_end
unset LUNSTICK_SIM_MEMORY

# ---- network managers of Debian, on overlays ----

# manager_spares GUEST UNIT: root's interface, when it starts and when it ends
manager_spares() {
    local guest=$1 unit=$2 address state
    address=$(net address "${guest/%boot/boot1}")
    "$guest" run -t 60 "systemctl start $unit"
    for state in active inactive; do
        same "$unit of $guest" $state "$("$guest" run "systemctl is-active $unit")"
        same "address of $guest" "$address" \
            "$("$guest" run 'ip -4 -o addr show scope global' | sed -n 's#.* inet \([0-9.]*\)/.*#\1#p' | sort -u)"
        "$guest" run -t 60 'echo 3 >/proc/sys/vm/drop_caches; cat /usr/bin/[a-d]* >/dev/null'
        [ $state = inactive ] || "$guest" run -t 60 "systemctl restart $unit; sleep 2; systemctl stop $unit"
    done
    no_io_error "$guest"
}

# It would configure only what it has been told of.
ifupdown_spares() {
    boot2 run 'printf "auto eth0\niface eth0 inet dhcp\n" >>/etc/network/interfaces'
    manager_spares boot2 networking
}

# two_come_up UNIT UNIT: two machines at once
two_come_up() {
    boot start "${initrd[@]}" $(words pivot_root debian) lunstick.overlay=tmpfs "systemd.wants=$1.service"
    boot2 start "${initrd[@]}" $(words pivot_root debian) lunstick.overlay=tmpfs "systemd.wants=$2.service"
    is_running boot
    is_running boot2
    same "roots" "overlay overlay" "$(boot run 'findmnt -no FSTYPE /') $(boot2 run 'findmnt -no FSTYPE /')"
    same "sessions" 2 "$(sessions debian)"
}

two_go() {
    boot run 'systemctl poweroff'
    boot2 run 'systemctl poweroff'
    boot ended 80
    boot2 ended 80
    same "sessions" 0 "$(sessions debian)"
    same "sha256 of their disk" "$debian_sum" "$(sha <"$work/debian.img")"
}

target debian debian 0 readonly
debian_sum=$(sha <"$work/debian.img")
test_case "boot: two Debians on one read-only disk, at once" two_come_up NetworkManager dhcpcd
test_case "boot: NetworkManager spares root's interface" manager_spares boot NetworkManager
test_case "boot: dhcpcd does" manager_spares boot2 dhcpcd
if [ "${BOOT:-}" = all ]; then
    test_case "boot: both end, and their disk is unchanged" two_go
    test_case "boot: two more Debians" two_come_up systemd-networkd networking
fi
test_case "boot: systemd-networkd does" manager_spares boot systemd-networkd
test_case "boot: ifupdown does" ifupdown_spares
test_case "boot: both end, and their disk is unchanged" two_go

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
