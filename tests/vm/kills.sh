#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Killed at random moments under load: the target, again and again, and the daemon,
# parent or child, which comes back as systemd would start it. Two disks, one that
# says "write through" and one that says "write back", and a writer on each
# (records.c). No acknowledged record is lost or stale, and the disks work
# afterwards. While only the target is killed the host sees no error.
#
# One guest in virtual time, with the target inside: a seed repeats a run.
# KILLS_TARGET (20), KILLS_DAEMON (5), KILLS_SEED (random, printed). The daemons log
# in again soon, which makes for more kills in the midst of it.
. "$(dirname "$0")/lib.sh"
vm_begin kills
export LUNSTICK_SIM_ICOUNT=1 LUNSTICK_SIM_PACKAGES=tgt
of_target=${KILLS_TARGET:-20} of_daemon=${KILLS_DAEMON:-5} seed=${KILLS_SEED:-$RANDOM}
batch=20

# shellcheck disable=SC2016
guest_library() {
    cat <<'END'
set -e
until_true() {
    tries=$(($1 * 20)) what=$2; shift 2
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "never: $what"; tail -n 15 /run/lunstickd-*.log /run/writer-*.log; dmesg | tail; exit 1; }
        pause_ms 50
    done
}
# random BELOW: into $r; the seed is kept from call to call
random() {
    read -r seed </run/seed
    seed=$(((seed * 1103515245 + 12345) & 0x7fffffff))
    echo $seed >/run/seed
    r=$(((seed >> 8) % $1))
}
pause_ms() { usleep $(($1 * 1000)); }

adm() { tgtadm -C 1 --lld iscsi "$@"; }
lun() {
    adm --op new --mode target --tid $1 --targetname iqn.2026-01.test:$2
    adm --op new --mode logicalunit --tid $1 --lun 1 --bstype rdwr --backing-store /run/$2.img
    adm --op update --mode logicalunit --tid $1 --lun 1 --params scsi_sn=$2
    # the caching mode page without WCE
    [ $2 = back ] || adm --op update --mode logicalunit --tid $1 --lun 1 \
        --params mode_page=8:0:18:0x10:0:0xff:0xff:0:0:0xff:0xff:0xff:0xff:0x80:0x14:0:0:0:0:0:0
    adm --op bind --mode target --tid $1 --initiator-address ALL
}
target_on() {
    tgtd -f -C 1 --iscsi portal=127.0.0.1:3260 >>/run/tgtd.log 2>&1 &
    until_true 10 "tgtd" adm --op show --mode target >/dev/null 2>&1
    lun 1 through
    lun 2 back
}
target_off() { killall -9 tgtd; while pidof tgtd >/dev/null; do sleep 0.01; done; }

# As systemd does: what is left is removed, and soon it is started again.
service() {
    while [ ! -e /run/end ]; do
        lunstickd --name $1 --udc dummy_udc.$2 --config /run/$1.conf >>/run/lunstickd-$1.log 2>&1 &
        echo $! >/run/lunstickd-$1.pid
        wait $! || true
        until lunstick cleanup $1 >/dev/null 2>&1; do sleep 0.1; done
        sleep 1
    done
}
# Into $parent and, behind it, $child; with few processes, which are slow here.
parent() { read parent </run/lunstickd-$1.pid; }
child() {
    for child in $(pidof lunstickd); do
        ! read pid name state of rest </proc/$child/stat 2>/dev/null || [ $of != $parent ] || return 0
    done
    false
}

# The disk of the gadget on dummy_udc.N, its name below /dev, into $disk; fails if there is none.
disk() {
    for disk in /sys/devices/platform/dummy_hcd.$1/usb*/*-1/*/host*/target*/*/block/*; do
        [ -e $disk/size ] && read size <$disk/size && [ $size -gt 0 ] || continue
        disk=${disk##*/}
        [ ! -b /dev/$disk ] || return 0
    done 2>/dev/null
    false
}
# writer NAME NUMBER: whenever there is a disk, until /run/stop
writer() {
    while [ ! -e /run/stop ]; do
        disk $2 || { sleep 0.1; continue; }
        records write /dev/$disk /run/log-$1 -r 2 -p $pace -t $(cat /run/seed) >>/run/writer-$1.log 2>&1 &
        echo $! >/run/writer-$1.pid
        wait $! || true
    done
}
acknowledged() { set -- $(records show /run/log-$1); echo $4; }
has_records() { [ -e /run/log-$1 ] && [ $(acknowledged $1) -ge $2 ]; }
writers_start() {
    rm -f /run/stop /run/log-* /run/writer-*
    dmesg -c >/dev/null
    writer through 0 & writer back 1 &
    for n in through back; do until_true 60 "a record" has_records $n 8; done
}
# They go on, then they end, and the judge speaks: a line for each disk.
writers_end() {
    for n in through back; do until_true 120 "records after all kills" has_records $n $(($(acknowledged $n) + 16)); done
    : >/run/stop
    for n in through back; do kill $(cat /run/writer-$n.pid); done
    until_true 30 "the end of the writers" sh -c '! pidof records'
    i=0
    for n in through back; do
        disk $i || true
        usb=$(echo /sys/devices/platform/dummy_hcd.$i/usb*)
        echo "row kernel $(dmesg | grep -c "I/O error, dev $disk" || true)" \
            "resets $(dmesg | grep -c "usb ${usb##*usb}-1: \(reset\|USB disconnect\)" || true)" \
            "works $(dd if=/dev/$disk of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null && echo 1 || echo 0)" \
            "$(records verify /run/$n.img /run/log-$n || true)"
        i=$((i + 1))
    done
}

# Mostly in the middle of the writing, and sometimes while the daemon comes back.
kill_target() {
    random 4
    if [ $r -gt 0 ]; then
        for n in through back; do until_true 60 "records" has_records $n $(($(acknowledged $n) + 2)); done
    fi
    random 60; pause_ms $r
    target_off
    random 400; pause_ms $((r % 4 == 0 ? 0 : r))
    target_on
}
# Any of the four processes, while they serve.
kill_daemon() {
    random 800; pause_ms $r
    random 4
    n=through i=$((r / 2)); [ $i = 0 ] || n=back
    until_true 60 "disk $n" serves $n $i none
    [ $((r % 2)) = 0 ] && killed=$parent || killed=$child
    kill -9 $killed
    until_true 60 "disk $n" serves $n $i $killed
}
# serves NAME NUMBER PID: there is a disk, and it is not the work of this process
serves() { disk $2 && parent $1 && [ "$parent" != $3 ] && child $1 && [ $child != $3 ]; }
END
}

in_guest() { { echo '. /root/lib'; cat; } | both run -t 3000 -; }

begin() {
    both start --lunstickd "$LUNSTICKD" --add "$RECORDS:/usr/bin/records"
    guest_library >"$work/lib"
    both put "$work/lib" /root/lib
    in_guest <<END
echo $seed >/run/seed
truncate -s 16M /run/through.img /run/back.img
for n in through back; do
    printf 'url = "iscsi://127.0.0.1/iqn.2026-01.test:%s/1";\nbackoff_max_ms = 100;\n' \$n >/run/\$n.conf
done
target_on
service through 0 & service back 1 &
for i in 0 1; do until_true 60 "disk \$i" disk \$i; done
END
}

# killed WHAT PACE COUNT: kills COUNT times; the writers wait for PACE ms between two
# records
killed() {
    local line
    in_guest <<END | tee "$work/batch"
pace=$2
writers_start
k=0; while [ \$k -lt $3 ]; do kill_$1; k=\$((k + 1)); done
writers_end
END
    while read -r _ line; do judge "$1" "$3" "$line"; done < <(grep '^row' "$work/batch")
    same "disks judged" 2 "$(grep -c '^row' "$work/batch")"
}

# batches WHAT PACE COUNT: the same, a test for each batch
batches() {
    local done=0 now
    while [ "$done" -lt "$3" ]; do
        now=$(($3 - done < batch ? $3 - done : batch))
        test_case "kills: of the $1, $((done + 1)) to $((done + now)) of $3, seed $seed" killed "$1" "$2" "$now"
        done=$((done + now))
    done
}

# judge WHAT KILLS ROW
judge() {
    # shellcheck disable=SC2086
    fault_row "$1 killed at random moments" "$2" - $3
    same "lost, stale, misread" "0 0 0" "${v[lost]} ${v[stale]} ${v[misread]}"
    same "the disk works" 1 "${v[works]}"
    [ "${v[acknowledged]}" -ge 32 ]
    [ "$1" = daemon ] || same "errors, resets" "0 0" "${v[errors]} ${v[resets]}"
}

begin
batches target 15 "$of_target"
batches daemon 60 "$of_daemon"
