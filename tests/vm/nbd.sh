#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The local block device on a real kernel: nbd_probe.c serves a RAM disk in one
# guest that skips idle time. Processes are killed, targets go away, and a device
# waits for them without an I/O error.
#
# NBD_AWAY: for how many seconds the target is away (300), NBD_KILLS: how often the
# process behind the device is killed while it is written to (3).
. "$(dirname "$0")/lib.sh"
vm_begin nbd
export LUNSTICK_SIM_ICOUNT=1
PROBE=${LUNSTICKD%/*}/tests/vm/nbd_probe

guest_library() {
    cat <<'END'
set -e
up_s() { cut -d. -f1 /proc/uptime; }
# until_true SECONDS WHAT COMMAND...
until_true() {
    tries=$(($1 * 10)) what=$2; shift 2
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "never: $what"; cat /run/probe.log; dmesg | tail -n 20; exit 1; }
        sleep 0.1
    done
}
said() { [ "$(grep -c "$1" /run/probe.log)" -ge "${2:-1}" ]; }
# equal WHAT WANTED GOT
equal() { [ "$2" = "$3" ] || { echo "$1: wanted $2, got $3"; cat /run/probe.log; dmesg | tail; exit 1; }; }
device() { sed -n 's/^connected //p' /run/probe.log; }
child() { sed -n 's/^child \([0-9]*\) serves/\1/p' /run/probe.log | tail -n 1; }
start() {
    dmesg -c >/dev/null
    : >/run/probe.log
    nbd_probe serve "lunstick probe" /run/disk "$@" >>/run/probe.log 2>&1 &
    probe=$!
    until_true 20 "settled" said '^settled'
    dev=$(device)
}
stop() {
    kill -TERM $probe; wait $probe
    equal "the end" gone "$(tail -n 1 /run/probe.log)"
}
kill_child() {
    n=$(grep -c '^child died' /run/probe.log || true)
    kill -9 $(child)
    until_true 5 "its death" said '^child died' $((n + 1))
}
new_child() {
    n=$(grep -c serves /run/probe.log)
    kill -USR1 $probe
    until_true 10 "a new one" said serves $((n + 1))
}
# target away|back
target() { kill -USR2 $probe; until_true 5 "target is $1" said "target is $1"; }
no_errors() { ! dmesg | grep -i 'I/O error'; }
random() { dd if=/dev/urandom of=$1 bs=1M count=${2:-1} 2>/dev/null; }
sum() { sha256sum | cut -d' ' -f1; }
END
}

# in_guest: the script on stdin, with the functions above
in_guest() { { echo '. /root/lib'; cat; } | both run -t 900 -; }

# The kernel is not to fetch it either.
the_module_is_missing() {
    in_guest <<'END'
helper=$(cat /proc/sys/kernel/modprobe)
echo /nothing >/proc/sys/kernel/modprobe
equal "without the module" "connect: the kernel has no network block devices: modprobe nbd" \
    "$(nbd_probe serve x /run/disk || true)"
echo $helper >/proc/sys/kernel/modprobe
modprobe nbd
END
}

limits_and_partitions() {
    in_guest <<'END'
truncate -s 4M /run/disk
printf 'start=64, size=2048, type=83\nstart=4096, type=c\n' | sfdisk -q --label dos /run/disk
start
equal "complaints" "settled " "$(grep settled /run/probe.log)"
equal "partitions" "${dev}p1 ${dev}p2" "$(cd /sys/block/$dev && ls -d ${dev}p* | xargs)"
cd /sys/block/$dev/queue
equal "max_sectors_kb, io_timeout, logical_block_size" "256 10000 512" \
    "$(cat max_sectors_kb io_timeout logical_block_size | xargs)"
equal "backend" "lunstick probe" "$(cat /sys/block/$dev/backend)"
equal "found" "$dev 4194304 lunstick probe" "$(nbd_probe find lunstick)"
cd /
stop
END
}

what_is_wrong_is_refused() {
    in_guest <<'END'
start
nbd_probe wrong ${dev#nbd} | tee /run/wrong
equal "errors" "-16 -1 -22 -1 -22 -2 -1" "$(sed 's/^[^:]*: \(-*[0-9]*\):.*/\1/' /run/wrong | xargs)"
grep -q "^taken.*in use.*lunstick probe" /run/wrong
grep -q "^stranger.*belongs to lunstick probe" /run/wrong
grep -q "^no right.*CAP_SYS_ADMIN" /run/wrong
equal "the device still" "lunstick probe" "$(cat /sys/block/$dev/backend)"
stop
END
}

nothing_is_left() {
    in_guest <<'END'
before=$(ls /sys/block | xargs)
start
[ -e /sys/block/$dev ]
stop
until_true 5 "nothing is left" test ! -e /sys/block/$dev
equal "block devices" "$before" "$(ls /sys/block | xargs)"
start 0
equal "the one that was asked for" nbd0 $dev
stop
equal "block devices" "$before" "$(ls /sys/block | xargs)"
equal "its size" 0 "$(cat /sys/block/nbd0/size)"
END
}

# A request that comes while nobody is there, and those that were under way.
dd_waits_for_a_new_process() {
    in_guest <<'END'
random /run/data 4
start
kill_child
dd if=/run/data of=/dev/$dev bs=64k count=32 oflag=direct 2>/run/dd & writer=$!
sleep 60
kill -0 $writer
new_child
wait $writer
target away
dd if=/run/data of=/dev/$dev bs=1M skip=2 seek=2 count=2 oflag=direct 2>/run/dd & writer=$!
sleep 2
kill_child
new_child
began=$(up_s)
wait $writer
[ $(($(up_s) - began)) -le 16 ]
no_errors
equal "what is on the disk" "$(sum </run/data)" "$(dd if=/dev/$dev bs=1M iflag=direct 2>/dev/null | sum)"
equal "in the memory" "$(sum </run/data)" "$(sum </run/disk)"
stop
END
}

killed_again_and_again() {
    in_guest <<END
random /run/data 4
start
while [ ! -e /run/enough ]; do
    dd if=/run/data of=/dev/\$dev bs=256k oflag=direct 2>/run/dd || exit 1
done & writer=\$!
for i in \$(seq ${NBD_KILLS:-3}); do usleep 20000; kill_child; new_child; done
: >/run/enough; wait \$writer; rm /run/enough
no_errors
equal "what is on the disk" "\$(sum </run/data)" "\$(dd if=/dev/\$dev bs=1M iflag=direct 2>/dev/null | sum)"
stop
END
}

# Reads and writes at once, more than the socket takes.
target_away() {
    in_guest <<END
random /run/data 4
start
target away
began=\$(up_s)
dd_one() { dd if=\$1 of=\$2 bs=\$3 count=1 skip=\$4 seek=\$4 \$5 2>/run/dd & all="\$all \$!"; }
for i in 0 1; do dd_one /run/data /dev/\$dev 1M \$i oflag=direct; done
for i in 2 3; do dd_one /dev/\$dev /run/read 1M \$i iflag=direct; done
for i in 600 700; do dd_one /run/data /dev/\$dev 4k \$i oflag=direct; done
sleep $1
for p in \$all; do kill -0 \$p; done
target back
for p in \$all; do wait \$p; done
echo "away for $1 s, waited \$((\$(up_s) - began)) s"
[ \$((\$(up_s) - began)) -le $(($1 + 10)) ]
no_errors
equal "what is on the disk" "\$(dd if=/run/data bs=1M count=2 2>/dev/null | sum)" \
    "\$(dd if=/dev/\$dev bs=1M count=2 iflag=direct 2>/dev/null | sum)"
dmesg
stop
END
}

what_was_left_is_cleaned_up() {
    in_guest <<'END'
before=$(ls /sys/block | xargs)
start
kill -9 $probe
wait $probe || true
# also one that nobody ever served or opened
ALONE=1 nbd_probe serve "lunstick alone" /run/disk || true
equal "found" 2 "$(nbd_probe find lunstick | wc -l)"
nbd_probe cleanup lunstick
equal "found" "" "$(nbd_probe find lunstick)"
again() { [ "$(ls /sys/block | xargs)" = "$before" ]; }
until_true 5 "nothing is left" again
END
}

# From Linux 6.12 on the target writes them; before that the kernel does.
zeroes_are_on_the_disk() {
    in_guest <<END
modprobe nbd
random /run/data 4
start
dd if=/run/data of=/dev/\$dev bs=1M oflag=direct 2>/run/dd
nbd_probe zero /dev/\$dev 1048576 2097152
stop
equal "of the kernel" "$1" "\$(sed -n 's/^child: \(.* zeroes\)/\1/p' /run/probe.log)"
dd if=/dev/zero of=/run/data bs=1M seek=1 count=2 conv=notrunc 2>/run/dd
equal "in the memory" "\$(sum </run/data)" "\$(sum </run/disk)"
END
}

guest_start() {
    both start --add "$PROBE:/usr/bin/nbd_probe"
    guest_library >"$work/lib"
    both put "$work/lib" /root/lib
}

guest_start
test_case "nbd: without the module" the_module_is_missing
test_case "nbd: limits and partitions" limits_and_partitions
test_case "nbd: what is wrong is refused" what_is_wrong_is_refused
test_case "nbd: nothing is left of it" nothing_is_left
test_case "nbd: dd waits for a new process" dd_waits_for_a_new_process
test_case "nbd: the process killed ${NBD_KILLS:-3} times" killed_again_and_again
test_case "nbd: the target is away for ${NBD_AWAY:-300} s" target_away "${NBD_AWAY:-300}"
test_case "nbd: what a killed daemon left" what_was_left_is_cleaned_up
if [ "${LUNSTICK_SIM_SUITE:-bookworm}" = bookworm ]; then
    test_case "nbd: zeros are written" zeroes_are_on_the_disk "24 writes, 0 zeroes"
    both stop
    export LUNSTICK_SIM_SUITE=trixie
    guest_start
fi
test_case "nbd: zeros are the target's work" zeroes_are_on_the_disk "16 writes, 1 zeroes"
