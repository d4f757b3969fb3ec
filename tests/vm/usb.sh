#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The USB side by itself on a real kernel: ram_disk is the disk, usb-storage and
# usb_raw are the hosts, at each speed. No target, no daemon. USB_PROGRAMS: where
# the two programs are (default: build/musl-arm64/tests/vm).
LUNSTICKD=/bin/true # not part of this
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
programs=${USB_PROGRAMS:-$root/build/musl-arm64/tests/vm}
vm_begin usb

guest_start() {
    LUNSTICK_SIM_SPEED=$1 both start \
        --add "$programs/ram_disk:usr/bin/ram_disk" --add "$programs/usb_raw:usr/bin/usb_raw" \
        --add "$root/configfs-templates/disk.scheme:usr/share/lunstick/configfs-templates/disk.scheme"
    # shellcheck disable=SC2016
    cat >"$work/lib" <<'END'
start() { ram_disk run "$@" >/run/$1.log 2>&1 & echo $! >/run/$1.pid; }
parent() { cat /run/$1.pid; }
child() { sed -n 's/child \([0-9]*\) serves/\1/p' /run/$1.log | tail -n 1; }
stop() { kill $(parent $1); while kill -0 $(parent $1) 2>/dev/null; do sleep 0.05; done; }
disk() {
    i=0
    until [ "$(cat /sys/block/sda/size 2>/dev/null || echo 0)" -gt 0 ] && [ -b /dev/sda ]; do
        i=$((i + 1)); [ $i -lt 200 ] || { echo no disk; dmesg | tail -n 8; exit 1; }; sleep 0.1
    done
}
left() { ls /sys/kernel/config/usb_gadget; grep functionfs /proc/mounts | cut -d' ' -f2; ls /run/lunstick; }
set -e
END
    both put "$work/lib" /root/lib
}

# in_guest: the script on stdin, with the functions above.
in_guest() { { echo '. /root/lib'; cat; } | both run -t 90 -; }

speed_and_data() {
    in_guest <<END
start lun0 any; disk
grep -qx $1 /sys/bus/usb/devices/*-1/speed
grep -q "speed $2" /run/lun0.log
dd if=/dev/urandom of=/run/data bs=64k count=64 2>/dev/null
dd if=/run/data of=/dev/sda bs=120k oflag=direct 2>/dev/null
dd if=/dev/sda of=/run/back bs=1M iflag=direct 2>/dev/null
cmp /run/data /run/back
END
}

# raw SPEED WHAT...: usb_raw, with no other host about.
raw() {
    local speed=$1
    shift
    guest_tests both "usb $speed" 200 "usb_raw $*"
}

# What a host does is no fault of the port's.
port_was_calm() { in_guest <<<"if grep 'child: usb:' /run/lun0.log; then exit 1; fi"; }

port_resets_under_load() {
    in_guest <<'END'
disk
(while [ ! -e /run/stop ]; do dd if=/dev/sda of=/dev/null bs=64k iflag=direct 2>/dev/null || true; done) &
for i in 1 2 3 4 5 6 7 8 9 10; do sg_reset -b /dev/sg0; sleep 0.1; done
: >/run/stop; wait $!; rm /run/stop
dd if=/dev/sda of=/dev/null bs=64k iflag=direct
END
}

configuration_zero() {
    in_guest <<'END'
disk
echo 0 >/sys/bus/usb/devices/1-1/bConfigurationValue
until tail -n 1 /run/lun0.log | grep -q 'speed none'; do sleep 0.05; done
echo 1 >/sys/bus/usb/devices/1-1/bConfigurationValue
disk
dd if=/dev/sda of=/dev/null bs=64k iflag=direct
END
}

unbound_under_load() {
    in_guest <<'END'
for i in 1 2 3; do
    disk
    dd if=/dev/zero of=/dev/sda bs=64k oflag=direct 2>/dev/null & sleep 0.05
    kill -USR1 $(parent lun0); wait $! || true
    while [ -e /sys/block/sda ]; do sleep 0.05; done
    kill -USR2 $(parent lun0)
done
disk
dd if=/dev/sda of=/dev/null bs=64k iflag=direct
END
}

child_killed_under_load() {
    in_guest <<'END'
for i in 1 2 3; do
    disk
    dd if=/dev/zero of=/dev/sda bs=64k oflag=direct 2>/dev/null & sleep 0.0$i
    old=$(child lun0); kill -9 $old; wait $! || true
    until [ "$(child lun0)" != $old ]; do sleep 0.05; done
done
disk
dd if=/dev/sda of=/dev/null bs=64k iflag=direct
END
}

three_side_by_side() {
    in_guest <<'END'
start lun1 any; start lun2 any
for n in 1 2; do until grep -q 'speed' /run/lun$n.log; do sleep 0.05; done; done
ram_disk run lun3 any >/run/out && exit 1
grep 'dummy_udc.0 by the gadget lun0' /run/out
stop lun1; stop lun2
END
}

nothing_is_left() { same left "" "$(in_guest <<<'stop lun0; left')"; }

foreign_gadgets_are_left_alone() {
    in_guest <<'END'
g=/sys/kernel/config/usb_gadget
mkdir $g/lun0 $g/lun0/functions/mass_storage.0
ram_disk run lun0 any >/run/out && exit 1
cat /run/out; grep 'was not made here' /run/out
ram_disk cleanup lun0 | grep 'left alone'
ls $g/lun0/functions/mass_storage.0
rmdir $g/lun0/functions/mass_storage.0 $g/lun0
END
}

for speed in full super high; do
    guest_start $speed
    case $speed in full) rate=12 ;; high) rate=480 ;; super) rate=5000 ;; esac
    test_case "vm: enumerates at $speed speed and moves data" speed_and_data "$rate" "$speed"
    both run 'rmmod uas usb_storage'
    case $speed in
    high) raw high control cases invalid meaningless cells ;;
    *) raw $speed control cases invalid ;;
    esac
    test_case "vm: the port had no fault of its own ($speed speed)" port_was_calm
    [ $speed = high ] || both stop
done
in_guest <<<'stop lun0; start lun0 any halt'
raw "high, short_in = halt" halts
in_guest <<<'stop lun0; modprobe usb-storage delay_use=0; start lun0 any'
test_case "vm: port resets under load" port_resets_under_load
test_case "vm: configuration 0 and back" configuration_zero
test_case "vm: unbound and bound under load" unbound_under_load
test_case "vm: the child killed under load comes back" child_killed_under_load
test_case "vm: three gadgets side by side, a fourth is refused" three_side_by_side
test_case "vm: tear-down leaves nothing in configfs, mounts, /run" nothing_is_left
test_case "vm: another program's gadget of our name is left alone" foreign_gadgets_are_left_alone
