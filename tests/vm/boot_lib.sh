# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the boot tests share, behind lib.sh: our initramfs, the systems of
# hw/sim/system behind tgtd, and what a machine that came up tells of itself.

BOOT_ROOT=$((65 << 20)) # where root is in the images of hw/sim/system, in bytes

# boot_begin [OPTION...]: what every one of them needs; the options are for the
# builder. DHCP names the target `disk`.
boot_begin() {
    need_packages e2fsprogs fdisk mtools
    "$root/boot/build-initramfs" --board sim "$@" -o "$work/initrd"
    initrd=(--initrd "$work/initrd")
    kernel_version=$("$root/hw/sim/kernel" | sed -n 's#.*/lib/modules/##p')
    target_start
    boot_dhcp disk
}

boot_dhcp() { net dhcp --dhcp-option="17,iscsi:$PORTAL::3260:1:iqn.2026-01.test:$1"; }

# words MODE TARGET: the shortest that name both
words() { echo "scsipub.mode=$1 scsipub.iqn=iqn.2026-01.test:$2 lunstick.portal=$PORTAL lunstick.lun=1"; }

# The machines; the first is `boot`.
boot2() { LUNSTICK_SIM_BOOT=2 boot "$@"; }
boot3() { LUNSTICK_SIM_BOOT=3 boot "$@"; }
boot4() { LUNSTICK_SIM_BOOT=4 boot "$@"; }

# target NAME SYSTEM [MIB_MORE [OPTION...]]: a target on a copy of a system's image
target() {
    local name=$1 system=$2 more=${3:-0} image
    shift $(($# < 3 ? $# : 3))
    image=$("$root/hw/sim/system" "$system")
    cp --sparse=always "$image" "$work/$name.img"
    truncate -s "+${more}M" "$work/$name.img"
    tgtd_target "$name" 0 "$@"
    echo "$TGTD_TID" >"$work/$name.tid"
}

# sessions NAME: how many a target has
sessions() { tgtd_connections "$(cat "$work/$1.tid")" | grep -c '^Session:' || true; }

# console GUEST: what it said so far
console() { tr -d '\r' <"$work/console-${1/%boot/boot1}.log"; }

# says GUEST SECONDS TEXT [TIMES]: waits for a line on its console
says() {
    local until=$((SECONDS + $2))
    until [ "$(console "$1" 2>/dev/null | grep -c -- "$3")" -ge "${4:-1}" ]; do
        [ $SECONDS -lt $until ] || { echo "$1 does not say: $3"; console "$1" | tail -n 30; return 1; }
        sleep 0.2
    done
}

# is_running GUEST: its systemd is content
is_running() {
    local state
    "$1" wait 300 || { console "$1" | tail -n 30; return 1; }
    state=$("$1" run -t 200 'systemctl is-system-running --wait') || true
    [ "$state" = running ] || "$1" run 'systemctl --failed --no-legend; systemctl list-jobs --no-legend
        journalctl -b -p warning -o cat --no-pager | tail -n 20' || true
    same "systemd of $1" running "$state"
}

# no_io_error GUEST
no_io_error() { ! "$1" run dmesg | grep -iE 'I/O error|EXT4-fs (error|warning)|Aborting journal'; }

# switched_off GUEST NAME: by systemd, soon, without a trace at the target
switched_off() {
    local start=$SECONDS
    "$1" run 'systemctl poweroff'
    "$1" ended 80
    echo "off after $((SECONDS - start)) s"
    is_clean "$2"
}

is_clean() {
    same "sessions" 0 "$(sessions "$1")"
    e2fsck -fn "$work/$1.img?offset=$BOOT_ROOT"
}

# boot_tools FILE: a second initramfs with what a Pi of hw/sim has, below /usr/sim; with
# rdinit=/usr/sim/first its agents are there once ours is up. It has dummy_hcd loaded,
# which is the simulated USB device port.
boot_tools() {
    local tree=$work/tools
    mkdir -p "$tree/usr/sim"
    "$root/hw/sim/initramfs" "$work/tools.cpio"
    (cd "$tree/usr/sim" && cpio -idm --quiet <"$work/tools.cpio")
    cat >"$tree/usr/sim/first" <<'END'
#!/bin/sh
# Process 1 becomes our init, which moves into another root; this one looks for it there.
mkdir -p /first /dev
mknod /dev/null c 1 3
mount -t proc proc /first
(
    there=/first/1/root
    until [ -e $there/run/lunstick ]; do $there/bin/busybox sleep 0.2; done
    exec $there/bin/busybox chroot $there /bin/sh /usr/sim/second
) &
exec /init "$@"
END
    cat >"$tree/usr/sim/second" <<'END'
cd /usr/sim
for dir in dev proc sys run; do mount --rbind /$dir $dir; done
exec chroot . /bin/sh /third
END
    cat >"$tree/usr/sim/third" <<'END'
export PATH=/usr/sbin:/usr/bin
busybox --install -s
modprobe virtio_console
modprobe dummy_hcd is_high_speed=1 is_super_speed=0
until [ -c /dev/vport0p4 ]; do sleep 0.1; done
for port in 1 2 3 4; do while :; do agent /dev/vport0p$port; done & done
END
    chmod 755 "$tree/usr/sim/first"
    (cd "$tree" && find . -mindepth 1 -print0 | cpio -0 -o -H newc -R 0:0 --quiet) >"$1"
    rm -rf "$tree" "$work/tools.cpio"
}
