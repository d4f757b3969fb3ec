#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Rough treatment of the daemon: signals at every moment of its start, children
# killed as they come up, no standard files, a log that nobody reads.
. "$(dirname "$0")/lib.sh"
vm_begin rough

both start --lunstickd "$LUNSTICKD"
target_start
tgtd_target plain 64M
# shellcheck disable=SC2016
{
    cat <<'END'
daemon() { lunstickd $URL "$@" >/run/lunstickd.log 2>&1 & echo $! >/run/lunstickd.pid; }
parent() { cat /run/lunstickd.pid; }
child() {
    for p in $(pidof lunstickd); do
        [ "$(cut -d' ' -f4 /proc/$p/stat 2>/dev/null)" != "$(parent)" ] || echo $p
    done
}
# until_true WHAT COMMAND...: for 20 s
until_true() {
    what=$1 tries=0; shift
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || { echo "never: $what"; tail -n 12 /run/lunstickd.log; exit 1; }
        sleep 0.05
    done
}
disk_there() { [ "$(cat /sys/block/sda/size 2>/dev/null || echo 0)" -gt 0 ] && [ -b /dev/sda ]; }
disk() { until_true "a disk" disk_there; }
gone() { [ -z "$(pidof lunstickd)" ]; }
another() { c=$(child); [ -n "$c" ] && [ "$c" != "$1" ]; }
reads() { dd if=/dev/sda of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null; }
nothing_left() {
    left=$(ls /sys/kernel/config/usb_gadget; grep functionfs /proc/mounts || true; ls -A /run/lunstick)
    [ -z "$left" ] || { echo "left after $1: $left"; exit 1; }
}
END
    echo "URL=$(url plain)"
    echo 'set -e'
} >"$work/lib"
both put "$work/lib" /root/lib
in_guest() { { echo '. /root/lib'; cat; } | both run -t 200 -; }
# A test that failed must not spoil the next.
afresh() { both run 'killall -9 lunstickd; sleep 1; lunstick cleanup'; } >/dev/null 2>&1

signals_at_every_moment() {
    in_guest <<'END'
# TERM and HUP go the same way: half the moments each
for moment in INT:0 INT:10 INT:20 INT:40 INT:80 INT:150 INT:1000 TERM:0 TERM:10 TERM:20 TERM:30 TERM:50 \
    TERM:80 TERM:150 TERM:1000 HUP:5 HUP:15 HUP:25 HUP:40 HUP:60 HUP:100 HUP:300; do
    signal=${moment%:*} ms=${moment#*:}
    daemon
    # A shell starts what is in the background with SIGINT ignored; and a
    # terminal sends it to all.
    [ $signal != INT ] || until_true "a child" another ""
    usleep $((ms * 1000))
    if [ $signal = INT ]; then kill -INT $(parent) $(child); else kill -$signal $(parent); fi
    # before the first instruction of ours it dies of it
    status=0; wait $(parent) || status=$?
    [ $status -eq 0 ] || [ ! -s /run/lunstickd.log ] || { echo "$signal $ms: $status"; cat /run/lunstickd.log; exit 1; }
    if grep -iE 'error|warning' /run/lunstickd.log; then echo "at $ms ms, $signal"; exit 1; fi
    nothing_left "$signal $ms"
done
END
}

daemon_killed_at_every_moment() {
    in_guest <<'END'
for ms in 0 5 10 15 20 25 30 40 50 60 80 100 150 300 1000; do
    daemon; usleep $((ms * 1000)); kill -9 $(parent)
    until_true "the child ends with its parent" gone
    # every other time the next start has to get along with it
    [ $((ms % 20)) -eq 0 ] || { lunstick cleanup; nothing_left $ms; }
done
daemon; disk; reads
END
}

children_killed_as_they_come_up() {
    in_guest <<'END'
disk
for ms in 0 10 20 30 50 80 200; do
    old=$(child); kill -9 $old
    until_true "another child" another $old
    usleep $((ms * 1000))
done
disk; reads
# nothing was handed over twice or forgotten
ls -l /proc/$(parent)/fd /proc/$(child)/fd
[ $(ls /proc/$(parent)/fd | wc -l) -le 7 ]
[ $(ls /proc/$(child)/fd | wc -l) -le 11 ]
[ $(grep -c functionfs /proc/mounts) -eq 1 ]
kill $(parent); until_true "its end" gone; nothing_left "the children"
END
}

without_standard_files() {
    afresh || true
    in_guest <<'END'
trap '' CHLD
lunstickd $URL <&- >&- 2>&- &
echo $! >/run/lunstickd.pid
trap - CHLD
disk
for f in 0 1 2; do [ "$(readlink /proc/$(parent)/fd/$f)" = /dev/null ]; done
old=$(child); kill -9 $old
until_true "another child, although SIGCHLD was ignored" another $old
disk; kill $(parent); until_true "its end" gone; nothing_left "a bare start"
END
}

log_nobody_reads() {
    afresh || true
    in_guest <<'END'
mkfifo /run/log; exec 3<>/run/log
timeout -s KILL 2 dd if=/dev/zero of=/run/log bs=4k 2>/dev/null || true
lunstickd --log-level debug $URL 2>/run/log & echo $! >/run/lunstickd.pid
disk; reads
kill $(parent); until_true "its end" gone; nothing_left "a full log"
END
}

# The child has what it needs as descriptors; other processes of its user, which
# ask name servers, must not find the files.
usb_files_are_roots() {
    afresh || true
    in_guest <<'END'
daemon; disk
ls -ln /run/lunstick/lunstick/ffs /run/lunstick/lunstick
[ "$(ls -ln /run/lunstick/lunstick/ffs | grep -c '^-rw------- .* 0 .* 0 .* ep[012]$')" -eq 3 ]
kill $(parent); until_true "its end" gone
END
}

doctor_knows_its_own_daemon() {
    afresh || true
    in_guest <<'END'
daemon --udc dummy_udc.0; disk
lunstick doctor --udc dummy_udc.0 $URL >/run/doctor || true
cat /run/doctor; grep '^ok.*dummy_udc.0 is in use by the gadget lunstick' /run/doctor
lunstick doctor --name lunstic --udc dummy_udc.0 $URL >/run/doctor || true
cat /run/doctor; grep '^FIX.*dummy_udc.0 is in use by the gadget lunstick' /run/doctor
kill $(parent); until_true "its end" gone
END
}

stopped_in_the_middle_of_io() {
    afresh || true
    in_guest <<'END'
for signal in TERM INT; do for way in read write; do
    daemon; disk
    if [ $way = read ]; then io='if=/dev/sda of=/dev/null iflag=direct'; else io='if=/dev/zero of=/dev/sda oflag=direct'; fi
    (while dd $io bs=64k 2>/dev/null; do :; done) & sleep 0.5
    kill -$signal $(parent) $([ $signal = TERM ] || child)
    status=0; wait $(parent) || status=$?
    [ $status -eq 0 ] || { echo "$signal $way: $status"; cat /run/lunstickd.log; exit 1; }
    if grep -iE 'error|warning' /run/lunstickd.log; then echo "$signal $way"; exit 1; fi
    nothing_left "$signal $way"
    until_true "no disk" [ ! -e /sys/block/sda ]
done; done
END
}

# What has held a secret leaves no core file, whatever the machine's settings.
no_core_files() {
    afresh || true
    in_guest <<'END'
mkdir -p /run/cores; echo /run/cores/%p >/proc/sys/kernel/core_pattern; ulimit -c unlimited
sh -c 'kill -SEGV $$' || true
[ "$(ls /run/cores | wc -l)" -eq 1 ]; rm /run/cores/*
daemon; disk
old=$(child); kill -SEGV $old; until_true "another child" another $old
kill -SEGV $(parent); until_true "the child ends with its parent" gone
[ -z "$(ls /run/cores)" ]
END
}

waits_without_work() {
    afresh || true
    in_guest <<'END'
daemon; disk; sleep 3
switches() { cat /proc/$(parent)/status /proc/$(child)/status | sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' | { read a; read b; echo $((a + b)); }; }
before=$(switches); sleep 10; after=$(switches)
echo "woke up $((after - before)) times in 10 s"
[ $((after - before)) -le 10 ]
cat /proc/$(child)/status | grep VmRSS
kill $(parent); until_true "its end" gone
END
}

test_case "rough: signals at every moment of the start end it cleanly" signals_at_every_moment
test_case "rough: killed at every moment of the start, it leaves nothing behind" daemon_killed_at_every_moment
test_case "rough: children killed as they come up: the disk comes back" children_killed_as_they_come_up
test_case "rough: no standard files, SIGCHLD ignored" without_standard_files
test_case "rough: a log that nobody reads stops nothing" log_nobody_reads
test_case "rough: the USB files belong to root" usb_files_are_roots
test_case "rough: doctor finds nothing wrong with a UDC that its own daemon holds" doctor_knows_its_own_daemon
test_case "rough: stopped in the middle of the host's I/O" stopped_in_the_middle_of_io
test_case "rough: no core file of parent or child" no_core_files
test_case "rough: waiting costs next to nothing" waits_without_work
