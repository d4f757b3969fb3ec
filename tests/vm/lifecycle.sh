#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Starting, dying and coming back: the target later than the Pi, the child and
# the daemon killed, wrong use that only a machine with a UDC can show.
. "$(dirname "$0")/lib.sh"
vm_begin life

both start --lunstickd "$LUNSTICKD" --add "$RECORDS:/usr/bin/records"

# The host only pauses while the target is away: no error, no reset. The target is
# started outside of the test's subshell; this is what a writer saw of it.
pauses_without_errors() {
    local before
    before=$(acknowledged both)
    both run -t 20 "$(records_wait $((before + 20)))" || true
    both run 'killall records; while pidof records >/dev/null; do sleep 0.1; done; dmesg' >"$work/dmesg"
    records_fault "target killed, real time" 6 both "$work/plain.img"
    same "errors, resets" "0 0" "${v[errors]} ${v[resets]}"
    acked_records_are_on_the_target "$before"
    ! grep -iE 'offline' "$work/dmesg"
}

configfs_entries() { both run 'ls /sys/kernel/config/usb_gadget | wc -l'; }
mounts() { both run 'grep -c functionfs /proc/mounts || true'; }

waits_for_its_target() {
    both run -t 20 'until grep -qi refuse /run/lunstickd.log; do sleep 0.1; done'
    same "no disk before its time" "" "$(both run 'ls /sys/block | grep sda || true')"
    both run 'lunstick status'
}

# A writer notes what the disk acknowledged; afterwards the target has all of it.
# Another may be under way when the disk goes: it may be there or not.
survives_kill() {
    both run 'records write /dev/sda /run/records >/run/records.log 2>&1 &'
    both run -t 20 "$(records_wait 30)"
    both run "kill -9 $1"
}

acked_records_are_on_the_target() {
    both run -t 20 'while pidof records; do sleep 0.1; done; cat /run/records.log'
    [ "$(acknowledged both)" -gt "${1:-30}" ]
    records_verify both "$work/plain.img"
    both run 'rm /run/records'
}

child_pid='$(for p in $(pidof lunstickd); do [ "$(cut -d" " -f4 /proc/$p/stat)" = "$(cat /run/lunstickd.pid)" ] && echo $p; done)'

# The next child is often there before the host has noticed: then it resets the
# port and goes on. Otherwise its disk goes and comes.
child_killed() {
    local before
    before=$(both run "echo $child_pid")
    survives_kill "$child_pid"
    both run -t 30 'until dmesg | grep -q "USB disconnect"; do sleep 0.1; done'
    both run -t 30 "until [ $child_pid -ne $before ] 2>/dev/null; do sleep 0.1; done"
    disk_wait both
    both run '! dmesg | grep "reset high-speed"'
    acked_records_are_on_the_target
}

daemon_killed() {
    survives_kill '$(cat /run/lunstickd.pid)'
    disk_gone both
    both run -t 10 'while pidof lunstickd; do sleep 0.1; done'
    acked_records_are_on_the_target
    both run 'lunstick cleanup'
    same "gadgets left" 0 "$(configfs_entries)"
    same "mounts left" 0 "$(mounts)"
    daemon_start both "$(url plain)"
    disk_wait both
}

starts_over_its_own_leftovers() {
    both run 'kill -9 $(cat /run/lunstickd.pid)'
    disk_gone both
    daemon_start both "$(url plain)"
    disk_wait both
}

cleanup_leaves_the_living_alone() {
    not both run 'lunstick cleanup'
    both run 'dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct'
}

stops_cleanly() {
    daemon_stop both
    disk_gone both
    same "gadgets left" 0 "$(configfs_entries)"
    same "mounts left" 0 "$(mounts)"
    same "processes left" "" "$(both run 'pidof lunstickd || true')"
}

# refused STATUS WORDS COMMAND: exit status and a word of the message
refused() {
    local want=$1 words=$2 status=0
    both run -t 30 "$3" >"$work/refused" 2>&1 || status=$?
    cat "$work/refused"
    same "exit status" "$want" "$status"
    grep -qi -e "$words" "$work/refused"
    same "gadgets" "${4:-0}" "$(configfs_entries)"
}

one_udc_two_daemons() {
    daemon_start both "$(url plain)" --udc dummy_udc.0
    disk_wait both
    refused 1 'lunstick' "lunstickd $(url plain) --name second --udc dummy_udc.0" 1
    grep -qi 'dummy_udc.0' "$work/refused"
    refused 1 'already\|cleanup\|running' "lunstickd $(url plain)" 1
}

udc_unknown() { refused 1 dummy_udc.0 "lunstickd $(url plain) --udc nosuch"; }

permanent_faults_end_it() {
    refused 2 'iqn.2026-01.test:nosuch' "lunstickd iscsi://$PORTAL/iqn.2026-01.test:nosuch/1"
    refused 2 LUN "lunstickd iscsi://$PORTAL/iqn.2026-01.test:plain/7"
    refused 1 refuse "lunstickd --once iscsi://$PORTAL:3999/iqn.2026-01.test:plain/1"
}

no_udc_at_all() {
    both run 'for m in dummy_hcd; do rmmod $m; done; ls /sys/class/udc; lsmod | grep dummy; [ -z "$(ls /sys/class/udc)" ]'
    refused 1 'UDC' "lunstickd $(url plain)"
    both run 'lunstick doctor || true' | tee "$work/doctor"
    grep -q "^FIX  *USB device" "$work/doctor"
}

daemon_start both "$(url plain)"
test_case "life: a Pi that boots before its target waits, and says why" waits_for_its_target
target_start
tgtd_target plain 64M
test_case "life: its disk appears when the target does" disk_wait both
both run 'records write /dev/sda /run/records >/run/records.log 2>&1 &
    sleep 1; dmesg -c >/dev/null'
tgtd_kill
sleep 6
target_start
tgtd_target plain 64M
test_case "life: the target away for 6 s: a pause, no error, nothing lost" pauses_without_errors
test_case "life: the child killed under load: unplug and replug, nothing lost" child_killed
test_case "life: the daemon killed under load: nothing lost, cleanup leaves nothing" daemon_killed
test_case "life: a start over the leftovers of a killed daemon" starts_over_its_own_leftovers
test_case "life: cleanup leaves a running daemon alone" cleanup_leaves_the_living_alone
test_case "life: SIGTERM leaves nothing behind" stops_cleanly
test_case "life: two daemons on one UDC, two of one name" one_udc_two_daemons
daemon_stop both
test_case "life: an unknown UDC" udc_unknown
test_case "life: permanent faults end with 2, transient ones end --once with 1" permanent_faults_end_it
test_case "life: no UDC at all" no_udc_at_all
