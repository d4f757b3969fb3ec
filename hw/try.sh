#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Shows the bridge at work on this machine, without any hardware: an iSCSI target
# (tgtd) with a demo disk, a simulated Pi that runs lunstickd, and a second
# simulated machine with the Pi's USB plug in it.
#
#   sudo hw/try.sh           about half a minute, then nothing is left of it
#   sudo hw/try.sh --keep    the same, but all goes on running, to look around
#   sudo hw/try.sh --stop    ends what --keep left
#
# Installs Debian packages where some are missing. All else is in build/, in
# $LUNSTICK_CACHE (default ~/.cache/lunstick) and in a network namespace.
# Exit status: 0; 1 if a step failed or any byte differed; 2 wrong use.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=common.sh
. hw/common.sh

export LUNSTICK_SIM=${LUNSTICK_SIM:-lunstick-try}
PATH=$PWD/hw/sim:$PATH
work=$LUNSTICK_CACHE/$LUNSTICK_SIM      # is there as long as something runs
image=$work/demo.img
partition=$image@@1M                    # mtools' words for its FAT partition
iqn=iqn.2026-11.io.lunstick:demo
keep='' starting=() shown=''

# Ends everything; also after a killed run. Nothing happens if there is nothing.
stop() {
    local control
    net down
    control=$(cat "$work/control" 2>/dev/null) || control=''
    [ -z "$control" ] || rm -f "/var/run/tgtd/socket.$control" "/var/run/tgtd/socket.$control.lock"
    rm -rf "$work"
}

# A second Ctrl-C does not leave half of it behind.
finish() {
    local status=$? pid
    trap '' INT TERM HUP
    for pid in "${starting[@]}"; do
        kill -TERM -- "-$pid" 2>/dev/null || true
        wait "$pid" || true
    done
    if [ $status -ne 0 ] && [ $status -ne 130 ] && [ -n "$shown" ]; then
        echo "--- the log of lunstickd:" >&2
        timeout 10 pi run -t 5 'tail -n 15 /run/lunstickd.log' >&2 || true
    fi
    if [ -n "$keep" ] && [ $status -ne 130 ]; then
        look_around
    else
        say "cleaning up"
        stop
    fi
    exit $status
}

look_around() {
    local sim="sudo LUNSTICK_SIM=$LUNSTICK_SIM hw/sim"
    cat <<END

It goes on running. To look around:
  what the host sees, and why       $sim/pi run 'lunstick status'
  the daemon's log                  $sim/pi run 'cat /run/lunstickd.log'
  the host's view                   $sim/host run 'lsblk; dmesg | tail'
  pull the USB plug; back: plug     $sim/pi unplug
  freeze the target; back: -CONT    sudo kill -STOP $(<"$work/tgtd.pid")
  the target's view                 sudo tgtadm -C $(<"$work/control") --lld iscsi --op show --mode target
The target's disk is $image.
To end it: sudo hw/try.sh --stop
END
}

# show GUEST COMMAND: a command and what it says, as if one sat there.
show() {
    printf '\n    %s# %s\n' "$1" "$2"
    "$1" run -t 60 "$2" 2>&1 | sed 's/^/    /'
}

# same WHAT SUM SUM: two sha256 sums, with or without a name behind them.
same() {
    local one=${2%% *} other=${3%% *}
    [ ${#one} -eq 64 ] && [ "$one" = "$other" ] ||
        die "$1: the sums differ: $one $other" "this is a bug; please report it with all of the output"
    echo "    $1: equal, sha256 $one"
}

build() {
    local log=$LUNSTICK_CACHE/build-musl-arm64.log
    say "building the static arm64 lunstickd"
    { cmake --preset musl-arm64 && cmake --build --preset musl-arm64 --target lunstickd; } \
        >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "the build failed" "see $log"; }
    # a directory made under sudo is the caller's
    [ -z "${SUDO_UID:-}" ] || chown -hR "$SUDO_UID:${SUDO_GID:-}" build
}

# 64 MiB in a FAT partition, and 16 MiB behind it for the measurement.
make_image() {
    head -c 8M /dev/urandom >"$work/demo.bin"
    truncate -s 81M "$image"
    echo 'start=1MiB, size=64MiB, type=c' | sfdisk -q --label dos "$image"
    mkfs.vfat -n DEMO --offset 2048 "$image" 65536 >"$work/mkfs.log" 2>&1 ||
        die "mkfs.vfat: $(tail -n 1 "$work/mkfs.log")"
    mcopy -i "$partition" "$work/demo.bin" ::demo.bin
}

start_target() {
    local control=$((20000 + $$ % 10000)) try
    while [ -e "/var/run/tgtd/socket.$control" ]; do control=$((control + 1)); done
    echo "$control" >"$work/control"
    net exec tgtd -f -C "$control" --iscsi portal=10.71.0.1:3260 >"$work/tgtd.log" 2>&1 &
    echo $! >"$work/tgtd.pid"
    disown          # `net down` ends it
    adm() { tgtadm -C "$control" --lld iscsi "$@"; }
    for ((try = 0; try < 100; try++)); do
        adm --op show --mode sys >"$work/tgtadm.log" 2>&1 && break
        sleep 0.1
    done
    { adm --op new --mode target --tid 1 --targetname "$iqn" &&
        adm --op new --mode logicalunit --tid 1 --lun 1 --bstype rdwr --backing-store "$image" &&
        adm --op bind --mode target --tid 1 --initiator-address ALL; } >"$work/tgtadm.log" 2>&1 ||
        die "tgtd does not start: $(tail -qn 1 "$work/tgtadm.log" "$work/tgtd.log" | tr '\n' ' ')" \
            "is another tgtd in the way?"
}

# Each in a process group of its own, so that it can be ended with its children.
start_guests() {
    local pid
    SECONDS=$SECONDS setsid hw/sim/host start &
    starting+=($!)
    SECONDS=$SECONDS setsid hw/sim/pi start --lunstickd build/musl-arm64/lunstickd &
    starting+=($!)
    for pid in "${starting[@]}"; do wait "$pid" || die "a guest does not start"; done
    starting=()
}

log_in() {
    # as the package does it
    pi run 'echo "lunstick:x:990:990::/:/bin/false" >>/etc/passwd; echo "lunstick:x:990:" >>/etc/group'
    printf '\n    pi# %s\n' "lunstickd iscsi://10.71.0.1/$iqn/1 &"
    shown=1
    pi run "lunstickd iscsi://10.71.0.1/$iqn/1 >/run/lunstickd.log 2>&1 &"
    pi run -t 30 'until grep -q "on the USB port" /run/lunstickd.log; do sleep 0.1; done' ||
        die "the Pi did not get its disk within 30 s"
    pi run 'sed "s/^/    /" /run/lunstickd.log'
}

see_disk() {
    host run -t 30 'until lsblk -no TRAN,TYPE,NAME | grep -q usb && [ -b /dev/sda1 ]; do sleep 0.1; done' ||
        die "the host did not see the disk within 30 s"
    show host 'lsblk -o NAME,TRAN,VENDOR,MODEL,SIZE,FSTYPE'
    show pi 'lunstick status'
}

read_over_usb() {
    show host 'mount -t vfat /dev/sda1 /mnt && ls -l /mnt'
    echo
    same "demo.bin, in the image and read over USB" \
        "$(sha256sum <"$work/demo.bin")" "$(host run 'sha256sum </mnt/demo.bin')"
}

write_over_usb() {
    local sum
    show host 'head -c 8388608 /dev/urandom >/mnt/host.bin && sync'
    sum=$(host run 'sha256sum </mnt/host.bin && umount /mnt')
    mcopy -n -i "$partition" ::host.bin "$work/host.bin"
    echo
    same "host.bin, written over USB and in the image" "$sum" "$(sha256sum <"$work/host.bin")"
}

# timed COMMAND: one that moves 16 MiB
timed() {
    local said
    said=$(host run -t 120 "time $1" 2>&1) || die "in the host: $said"
    printf '\n    host# %s\n' "$1"
    awk '/^real/ { s = $2 * 60 + $3; printf "    16 MiB in %.1f s, %.1f MB/s\n", s, 16.777216 / s }' <<<"$said"
}

measure() {
    host run 'head -c 16777216 /dev/urandom >/run/random'
    timed 'dd if=/dev/sda of=/dev/null bs=1M count=16 iflag=direct'
    timed 'dd if=/run/random of=/dev/sda bs=1M seek=65 oflag=direct'
    echo
    same "16 MiB, written over USB and in the image" "$(host run 'sha256sum </run/random')" \
        "$(tail -c 16M "$image" | sha256sum)"
}

case ${1:-} in
'') ;;
--keep) keep=1 ;;
--stop) ;;
*) sed -n '4,/^[^#]/s/^# \{0,1\}//p' hw/try.sh >&2; exit 2 ;;
esac
[ "$(id -u)" -eq 0 ] || die "needs root for a network namespace" "sudo hw/try.sh $*"
if [ "${1:-}" = --stop ]; then
    stop
    exit
fi

trap 'exit 130' INT TERM HUP
need_packages tgt mtools dosfstools fdisk iproute2 qemu-system-arm binutils cpio kmod xz-utils
SECONDS=$SECONDS hw/static/fetch 2>&1 | sed '/^\//d' >&2     # but for the files' names
build
mkdir "$work" 2>/dev/null || die "it runs already, or was killed" "sudo hw/try.sh --stop"
trap finish EXIT
say "the iSCSI target: tgtd, with a disk that has a file of 8 MiB of new random data"
make_image
net up
start_target
say "starting the Pi and the USB host"
start_guests
say "the Pi logs in"
log_in
say "the host sees a USB disk"
see_disk
say "the host reads the file"
read_over_usb
say "the host writes a file"
write_over_usb
say "throughput, on an emulated bus between emulated processors: no word on a real Pi's"
measure
say "all as it should be"
