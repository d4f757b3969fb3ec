#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two disks on one cable, each of its own target, and one of the targets dies:
# first it stands still, then it is killed. Bulk-Only Transport carries one command
# at a time, so the dead disk must not hold the living one up: that one keeps a
# third of its throughput and never pauses for more than a second. One guest in
# virtual time, with both targets inside.
. "$(dirname "$0")/lib.sh"
vm_begin luns
export LUNSTICK_SIM_ICOUNT=1 LUNSTICK_SIM_PACKAGES=tgt
need_packages jq
rounds=${TWO_LUNS_ROUNDS:-3}

# shellcheck disable=SC2016
guest_library() {
    cat <<'END'
set -e
# target NUMBER: tgtd on port 3259 + NUMBER
target() {
    adm="tgtadm -C $1 --lld iscsi"
    tgtd -f -C $1 --iscsi portal=127.0.0.1:$((3259 + $1)) >>/run/tgtd$1.log 2>&1 &
    echo $! >/run/tgtd$1.pid
    until $adm --op show --mode target >/dev/null 2>&1; do sleep 0.05; done
    $adm --op new --mode target --tid 1 --targetname iqn.2026-01.test:$1
    $adm --op new --mode logicalunit --tid 1 --lun 1 --bstype rdwr --backing-store /run/$1.img
    $adm --op update --mode logicalunit --tid 1 --lun 1 --params scsi_sn=$1
    $adm --op bind --mode target --tid 1 --initiator-address ALL
}
disk_there() { [ -b /dev/$1 ] && [ "$(cat /sys/block/$1/size)" -gt 0 ]; }
# The host's programs that use the dying disk go on doing so.
use_sdb() {
    for i in 1 2; do
        while [ ! -e /run/stop ]; do dd if=/dev/sdb of=/dev/null bs=4k count=50 iflag=direct || sleep 0.1; done \
            >/dev/null 2>&1 &
    done
}
# rates COUNT: of sequential reads of the living disk, in KB/s, a line per round
rates() {
    i=0
    while [ $i -lt $1 ]; do
        start=$(up_cs)
        dd if=/dev/sda of=/dev/null bs=120k count=120 iflag=direct 2>/dev/null
        echo rate $((120 * 120 * 100 / ($(up_cs) - start)))
        i=$((i + 1))
    done
}
up_cs() { cut -d' ' -f1 /proc/uptime | tr -d .; }
# pause COMMAND: a writer on the living disk; the command is run in the middle of it
pause() {
    rm -f /run/log
    records write /dev/sda /run/log -p 10 -r 2 -t $(up_cs) >/dev/null &
    writer=$!
    sleep 0.5
    "$@"
    sleep 2
    kill $writer; wait $writer || true
    echo row $(records verify /run/1.img /run/log)
}
commands() { lunstick status --json | sed 's/.*"commands":\([0-9]*\).*/\1/'; } # of the second disk
END
}

in_guest() { { echo '. /root/lib'; cat; } | both run -t 600 -; }

begin() {
    both start --lunstickd "$LUNSTICKD" --add "$RECORDS:/usr/bin/records"
    guest_library >"$work/lib"
    both put "$work/lib" /root/lib
    in_guest <<'END'
truncate -s 32M /run/1.img /run/2.img
target 1; target 2
cat >/root/luns.conf <<CONF
luns = ( { url = "iscsi://127.0.0.1:3260/iqn.2026-01.test:1/1"; },
         { url = "iscsi://127.0.0.1:3261/iqn.2026-01.test:2/1"; } );
CONF
lunstickd --config /root/luns.conf >/run/lunstickd.log 2>&1 &
i=0
until disk_there sda && disk_there sdb; do sleep 0.1; i=$((i + 1)); [ $i -lt 300 ] || { cat /run/lunstickd.log; exit 1; }; done
END
}

median() { grep "^rate" "$1" | cut -d' ' -f2 | sort -n | sed -n "$(((rounds + 1) / 2))p"; }

both_live() {
    in_guest <<<"rates $rounds" | tee "$work/alone"
    alone=$(median "$work/alone")
    printf '%-34s %8d KB/s\n' "both targets live" "$alone" >>"$work/table"
    [ "$alone" -gt 1000 ]
}

# dies WHAT COMMAND: the longest pause around that moment, then the throughput
dies() {
    local alone rate
    alone=$(median "$work/alone")
    in_guest <<END | tee "$work/dead"
dmesg -c >/dev/null
rm -f /run/stop; use_sdb
pause $2
before=\$(commands)
rates $rounds
sleep 1
echo "sdb commands \$((\$(commands) - before))"
echo "kernel \$(dmesg | grep -c 'error, dev sda' || true) resets \$(dmesg | grep -c 'reset\|disconnect' || true)"
END
    rate=$(median "$work/dead")
    # shellcheck disable=SC2046
    fault_row "other LUN: $1" 1 - $(grep '^kernel' "$work/dead") $(sed -n 's/^row //p' "$work/dead")
    printf '%-34s %8d KB/s, %3d %%, longest pause %d ms\n' "$1" "$rate" $((rate * 100 / alone)) "${v[pause_ms]}" >>"$work/table"
    [ "$(sed -n 's/^sdb commands //p' "$work/dead")" -ge 2 ] # it was in use
    [ "${v[pause_ms]}" -le 1000 ]
    [ $((rate * 3)) -ge "$alone" ]
    same "resets, errors, lost, stale, misread" "0 0 0 0 0" \
        "${v[resets]} ${v[errors]} ${v[lost]} ${v[stale]} ${v[misread]}"
}

lives_again() {
    in_guest <<'END'
: >/run/stop
target 2
start=$(up_cs)
until dd if=/dev/sdb of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; do sleep 0.05; done
end=$(up_cs)
echo "back after $(((end - start) * 10)) ms"
[ $((end - start)) -le 500 ]
END
}

begin
: >"$work/table"
test_case "two LUNs: both live" both_live
test_case "two LUNs: one target stands still, the other disk goes on" \
    dies "target stands still" 'kill -STOP $(cat /run/tgtd2.pid)'
test_case "two LUNs: it is killed, the other disk goes on" \
    dies "target killed" 'kill -9 $(cat /run/tgtd2.pid)'
test_case "two LUNs: it is back, so is its disk" lives_again
cat "$work/table"
