#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Bulk-Only Transport of the whole line, from raw CBWs to the target: the cases
# of BOT 6.7, every reset in every phase, with commands at the target, too; a
# hostile host; resets and replugs under a writer of records.
#
#   BOT_THINGS   what the hostile host does (2000; long: 100000)
#   BOT_RESETS   resets and replugs under the writer (200; long: 10000)
#   BOT_SEED     of both (default: another each time; it is printed)
# 0 leaves that part out.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
things=${BOT_THINGS:-2000} resets=${BOT_RESETS:-200} seed=${BOT_SEED:-$((RANDOM * 32768 + RANDOM))}
programs=${LUNSTICKD%/*}/tests/vm
vm_begin bot
need_packages python3 jq

both start --lunstickd "$LUNSTICKD" --add "$RECORDS:usr/bin/records" \
    --add "$programs/usb_raw:usr/bin/usb_raw" --add "$programs/usb_hostile:usr/bin/usb_hostile" \
    --add "$programs/usb_resets:usr/bin/usb_resets"
target_start
tgtd_target bot 64M

# Stops and continues the target for a program in the guest (freezer.h).
net exec python3 - "$TGTD_PID" >"$work/freezer.log" 2>&1 <<'END' &
import os, signal, socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("10.71.0.1", 3999))
listener.listen(4)
while True:
    connection = listener.accept()[0]
    while letter := connection.recv(1):
        os.kill(int(sys.argv[1]), {b"S": signal.SIGSTOP, b"C": signal.SIGCONT}[letter])
        connection.send(letter)
    os.kill(int(sys.argv[1]), signal.SIGCONT)
END
freezer=$!
disown "$freezer"
freeze="LUNSTICK_FREEZER=$PORTAL:3999"

# The child's id, memory in KiB and open files.
child() {
    both run 'lunstick status --json' | jq .pid
}

child_holds() {
    both run "echo \$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' /proc/$1/status) \$(ls /proc/$1/fd | wc -l)"
}

gone_wrong() {
    tgtd_alive || echo "the target has died"
    return 1
}

# In rounds, each with its own seed, for the progress of the long form.
hostile_host() {
    local pid memory files memory_before files_before done=0 round
    pid=$(child)
    read -r memory_before files_before < <(child_holds "$pid")
    while [ $done -lt "$things" ]; do
        round=$((things - done < 5000 ? things - done : 5000))
        both run -t $((60 + round / 4)) "$freeze usb_hostile $round $((seed + done))" || gone_wrong
        done=$((done + round))
        [ "$things" -le 5000 ] || say "hostile host: $done of $things"
    done
    read -r memory files < <(child_holds "$pid")
    echo "child: memory $memory_before, then $memory KiB; files $files_before, then $files"
    same "child" "$pid" "$(child)"
    same "open files" "$files_before" "$files"
    [ "$memory" -le $((memory_before + 128)) ]
}

# Whatever a host does, it does not fill the journal.
log_is_short() {
    local bytes most=$((16384 + things))
    bytes=$(both run 'wc -c </run/lunstickd.log')
    echo "log: $bytes of at most $most bytes, left out and counted: $(both run 'grep -c "more like it" /run/lunstickd.log || true') times"
    [ "$bytes" -le $most ] || { both run 'tail -n 20 /run/lunstickd.log'; return 1; }
}

# In the guest: a writer that goes on with the next disk when one is pulled from
# under it, and usb_resets.
cat >"$work/resets" <<'END'
rm -f /run/stop
writer() {
    while [ ! -e /run/stop ]; do
        for d in /sys/block/sd*; do
            [ "$(cat $d/size 2>/dev/null || echo 0)" -eq 0 ] || [ ! -b /dev/${d##*/} ] ||
                records write /dev/${d##*/} /run/records -b 8 -r 48 >>/run/records.said 2>&1
        done
        sleep 0.05
    done
}
writer & writer=$!
status=0
usb_resets $1 $2 || status=$?
sleep 0.5
: >/run/stop
kill $(pidof records)
wait $writer
for d in /sys/block/sd*; do dd if=/dev/${d##*/} of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null || status=1; done
[ $status -eq 0 ] || { dmesg | tail -n 5; tail -n 5 /run/lunstickd.log; }
exit $status
END

# The child has to be the same, and every acknowledged record on the target.
resets_and_replugs() {
    local pid done=0 round said
    pid=$(child)
    while [ $done -lt "$resets" ]; do
        round=$((resets - done < 200 ? resets - done : 200))
        both run -t $((90 + round * 5)) "sh /root/resets $round $((seed + done))" || gone_wrong
        said=$(records_verify both "$work/bot.img") || { echo "$said"; return 1; }
        done=$((done + round))
        [ "$resets" -le 200 ] || say "resets and replugs: $done of $resets"
    done
    # shellcheck disable=SC2086
    fault_row "USB resets and replugs" "$resets" - kernel 0 resets "$resets" $said
    echo "$said"
    same "child" "$pid" "$(child)"
}

both put "$work/resets" /root/resets
daemon_start both --udc dummy_udc.0 "$(url bot)"
disk_wait both
both run 'rmmod uas usb_storage'
guest_tests both bot 200 "$freeze usb_raw cases invalid meaningless noise cells"
[ "$things" -eq 0 ] || test_case "bot: a hostile host, $things things, seed $seed" hostile_host
sed -n '/things\|child:/s/^/    /p' "$work/said"
test_case "bot: the log of all that is short" log_is_short
sed -n '/^log:/s/^/    /p' "$work/said"
both run 'modprobe usb-storage delay_use=0; : >/run/lunstickd.log'
[ "$resets" -eq 0 ] || test_case "bot: $resets resets and replugs under a writer, seed $seed" resets_and_replugs
sed -n '/records\|port resets/s/^/    /p' "$work/said"
kill "$freezer"
