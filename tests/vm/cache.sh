#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A disk that comes back: after lost connections, as an older copy of itself, as
# another one, and without what its volatile cache held. Nothing that was
# acknowledged is lost in silence, and no write lands on the wrong disk. And one
# that two boards want for themselves: reservations at the kernel's own target
# (LIO), in the guest; those at tgtd are tests/target/test_reconnect.c's.
#
#   CACHE_LOGINS=N   connections cut under a mounted ext4 (default 20)
#   CACHE_KILLS=N    power cuts of the target with a cache (default 2)
. "$(dirname "$0")/lib.sh"
vm_begin cache
need_packages gcc jq
export LUNSTICK_SIM_PACKAGES=iproute2 LUNSTICK_SIM_MODULES="tcp_diag inet_diag"
logins=${CACHE_LOGINS:-20} kills=${CACHE_KILLS:-2}

gcc -std=c11 -D_GNU_SOURCE -O2 -I"$root" -o "$work/cached" \
    "$root"/tests/target/cache{d,_target}.c "$root"/bridge/{opcode,sense}.c
target_start
tgtd_target plain 16M
plain=$TGTD_IMAGE
both start --lunstickd "$LUNSTICKD" --add "$RECORDS:/usr/bin/records"

# Many logins in a row look like two bridges of one name, which wait longer and longer.
bridge_start() {
    both run "printf 'url = \"%s\";\nbackoff_max_ms = 100;\n%s' '$1' '${2:-}' >/run/cache.conf"
    daemon_start both --config /run/cache.conf
    disk_wait both
}

log_says() { both run "grep -c '$1' /run/lunstickd.log || true"; }
log_wait() { both run -t "${2:-30}" "until grep -q '$1' /run/lunstickd.log; do sleep 0.1; done"; }

# ---- connections cut under a file system ----

# A removable disk with ext4: Linux fails the I/O of such a disk on any unit
# attention, and ext4 then goes read-only.
lives_through_logins() {
    bridge_start "$(url plain)"
    both run 'modprobe tcp_diag; dmesg -c >/dev/null; mkfs.ext4 -q -F /dev/sda &&
        mount -t ext4 -o errors=remount-ro /dev/sda /mnt &&
        { i=0; while [ ! -e /run/enough ]; do
            i=$((i + 1))
            dd if=/dev/urandom of=/mnt/f$((i % 40)) bs=4k count=1 conv=fsync 2>/dev/null || break
            echo $i >/run/done.new; mv /run/done.new /run/done
        done & echo $! >/run/load.pid; }'
    both run -t $((150 + logins * 4)) - <<END
until [ "\$(cat /run/done 2>/dev/null || echo 0)" -gt 5 ]; do sleep 0.1; done
for cut in \$(seq $logins); do
    ss -K -tn dst $PORTAL >/dev/null
    files=\$(cat /run/done)
    until [ "\$(cat /run/done)" -gt \$((files + 1)) ]; do sleep 0.05; done
done
touch /run/enough
while kill -0 \$(cat /run/load.pid) 2>/dev/null; do sleep 0.1; done
echo "files written: \$(cat /run/done)"
(cd /mnt && sha256sum f*) >/run/sums
END
    both run 'dmesg' >"$work/dmesg"
    same "dmesg" "" "$(grep -iE 'error|reset|disconnect|offline|read-only|attention' "$work/dmesg" || true)"
    [ "$(both run 'lunstick status --json' | jq '.luns[0].session.logins')" -gt "$logins" ]
    same "sessions at the target" 1 "$(tgtd_connections 1 | grep -c Session)"
    both run 'umount /mnt && e2fsck -fn /dev/sda && mount -t ext4 /dev/sda /mnt &&
        (cd /mnt && sha256sum -c -s /run/sums) && umount /mnt'
    same "medium changes" 0 "$(log_says 'new medium')"
}

# ---- another disk behind the same name ----

# The target goes, a WRITE waits, and the target comes back with what is in $1.
# Sets nothing: what it saw is in files of the guest.
swap_while_a_write_waits() {
    tgtd_kill
    both run 'dmesg -c >/dev/null; : >/run/waiting
        { tr "\0" X </dev/zero | dd of=/dev/sda bs=4k count=1 seek=3000 iflag=fullblock oflag=direct 2>/run/dd.err
          echo $? >/run/dd.status; rm /run/waiting; } & sleep 1; [ -e /run/waiting ]'
}

write_failed_and_disk_is_untouched() {
    local before=$1
    both run -t 60 'while [ -e /run/waiting ]; do sleep 0.1; done; cat /run/dd.err; [ "$(cat /run/dd.status)" -ne 0 ]'
    log_wait "$2"
    same "image" "$before" "$(sha <"$plain")"
    both run 'cat /run/lunstickd.log | grep "new medium"; : >/run/lunstickd.log'
    # The host knows, and goes on with the new one.
    both run -t 30 'until dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; do sleep 0.2; done
        ! dmesg | grep -iE "reset (high|super)|disconnect|offlined"'
    both run 'dd if=/dev/zero of=/dev/sda bs=4k count=1 seek=3000 oflag=direct conv=notrunc 2>/dev/null'
}

# To Linux, a fixed disk with a unit attention was reset, and it repeats the WRITE.
fixed_disk_is_gone_until_replugged() {
    local before=$1
    both run -t 60 'while [ -e /run/waiting ]; do sleep 0.1; done; cat /run/dd.err; [ "$(cat /run/dd.status)" -ne 0 ]'
    both run '! dd if=/dev/zero of=/dev/sda bs=4k count=1 seek=3000 oflag=direct 2>/dev/null'
    same "image" "$before" "$(sha <"$plain")"
    both run 'lunstick status' | tee "$work/status"
    grep -q 'lunstick unplug' "$work/status"
    both run 'lunstick unplug && sleep 1.5 && lunstick plug'
    both run -t 40 'until dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; do sleep 0.2; done'
}

# ---- a cache that is lost ----

cached_start() {
    net exec "$work/cached" "$work/cached.img" "$PORTAL" 3261 "$1" cached-0001 >"$work/cached.log" 2>&1 &
    local pid=$!
    disown "$pid"
    echo "$pid" >"$work/cached.pid" # tests run in subshells
    until grep -q ready "$work/cached.log" 2>/dev/null; do
        [ -e "/proc/$pid" ] || { cat "$work/cached.log"; return 1; }
        sleep 0.02
    done
}

cached_cut() {
    local pid
    pid=$(<"$work/cached.pid")
    kill -9 "$pid"
    while grep -q '^State:.*[^Z] (' "/proc/$pid/status" 2>/dev/null; do sleep 0.02; done
}

cache_begin() {
    truncate -s 0 "$work/cached.img" && truncate -s 64M "$work/cached.img"
    cached_start "$1"
    both run ': >/run/lunstickd.log; : >/run/records.out'
    bridge_start "iscsi://$PORTAL:3261/iqn.2026-01.test:cached/1"
    both run 'dmesg -c >/dev/null'
}

# cache_round back|through NUMBER: a writer of records; at some moment the target's
# power is cut; then each record that was flushed, or written with FUA, is there.
cache_round() {
    local before
    # A flush that fails tells of writes of the round before; then a new one begins.
    both run -t 30 "until dd if=/dev/zero of=/dev/sda bs=4k count=1 conv=fsync 2>/dev/null; do sleep 0.2; done
        rm -f /run/records; dmesg -c >/dev/null
        records write /dev/sda /run/records -r 8 -b $(($2 * 8 % 56)) -t $2 >>/run/records.out 2>&1 & echo \$! >/run/records.pid"
    both run -t 60 "$(records_wait 20)"
    sleep "0.$((RANDOM % 10))"
    cached_cut
    cached_start "$1"
    # It ends with the news of another medium, or goes on.
    before=$(acknowledged both)
    both run -t 60 "until ! kill -0 \$(cat /run/records.pid) 2>/dev/null ||
        [ \"\$(records show /run/records | cut -d' ' -f4)\" -gt $((before + 20)) ]; do sleep 0.1; done
        kill \$(cat /run/records.pid) 2>/dev/null; while kill -0 \$(cat /run/records.pid) 2>/dev/null; do sleep 0.1; done"
    records_fault "target with $1 cache: power cut" - both "$work/cached.img"
    same "resets" 0 "${v[resets]}"
}

lost_cache_is_told() {
    local round changes
    for round in $(seq "$kills"); do
        cache_round back "$round"
    done
    # And once with nothing flushed for sure: then the next fsync is no success.
    both run 'dd if=/dev/urandom of=/dev/sda bs=4k count=4 seek=100 oflag=direct conv=notrunc 2>/dev/null'
    cached_cut
    cached_start back
    both run -t 30 '! dd if=/dev/zero of=/dev/sda bs=4k count=1 conv=fsync,notrunc 2>/dev/null'
    both run -t 30 'until dd if=/dev/zero of=/dev/sda bs=4k count=1 conv=fsync,notrunc 2>/dev/null; do sleep 0.2; done'
    changes=$(log_says 'new medium')
    echo "power cuts $((kills + 1)), medium changes $changes"
    [ "$changes" -gt 0 ]
    both run 'records show /run/records' | grep -q 'cache back'
    both run '! dmesg | grep -iE "reset (high|super)|disconnect|offlined"'
}

nothing_is_lost_without_a_cache() {
    local round
    for round in $(seq "$kills"); do
        cache_round through "$round"
        both run 'records show /run/records' | grep 'errors 0 .* cache through'
    done
    same "medium changes" 0 "$(log_says 'new medium')"
}

# ---- two boards and one disk ----

lio=/sys/kernel/config/target/core/fileio_0/lio
lio_start() {
    both run - <<END
set -e
modprobe -a target_core_mod target_core_file iscsi_target_mod
truncate -s 16M /run/lio.img
mkdir -p /var/target/pr $lio # where it keeps what shall persist
echo fd_dev_name=/run/lio.img,fd_dev_size=16777216 >$lio/control
echo 1 >$lio/enable
cd /sys/kernel/config/target
mkdir -p iscsi/iqn.2026-01.test:lio/tpgt_1/lun/lun_1
cd iscsi/iqn.2026-01.test:lio/tpgt_1
ln -s $lio lun/lun_1/disk
echo 0 >attrib/authentication
echo 0 >attrib/demo_mode_write_protect
echo 1 >attrib/generate_node_acls
echo 1 >attrib/cache_dynamic_acls
mkdir np/127.0.0.1:3260
echo 1 >enable
cat >/run/access.conf <<CONF
url = "iscsi://127.0.0.1/iqn.2026-01.test:lio/1";
access = "exclusive";
backoff_max_ms = 100;
CONF
END
}

board_is() { both run "echo $1 >/etc/machine-id"; }
held() { both run 'lunstick status --json' | jq -r .luns[0].access_held; }
held_wait() {
    both run -t 30 "until lunstick status --json | grep -q '\"access_held\": *$1'; do sleep 0.1; done"
}

is_reserved_and_stays_so() {
    lio_start
    board_is 0123456789abcdef0123456789abcdef
    daemon_start both --config /run/access.conf
    disk_wait both
    both run 'sg_persist --in --read-reservation /dev/sda' | tee "$work/persist"
    grep -q 'type: Exclusive Access' "$work/persist"
    both run 'modprobe tcp_diag; ss -K -tn dst 127.0.0.1 dport = 3260 >/dev/null'
    both run -t 30 'until grep -q "was lost" /run/lunstickd.log; do sleep 0.1; done'
    held_wait true
    both run 'dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct'
    both run 'sg_persist --in --read-keys /dev/sda' | tee "$work/persist"
    grep -q '1 registered reservation key' "$work/persist"
}

second_board_is_told_who_has_it() {
    local first status=0
    first=$(both run 'lunstick status --json' | jq -r .initiator_name)
    board_is fedcba9876543210fedcba9876543210
    both run -t 40 'lunstickd --name two --udc dummy_udc.1 --config /run/access.conf' >"$work/second" 2>&1 || status=$?
    cat "$work/second"
    same "exit status" 2 "$status"
    grep -q "reserved for $first .*--take-over" "$work/second"
    same "held by the first" true "$(held)"
}

second_board_takes_it_over() {
    both run 'lunstickd --name two --udc dummy_udc.1 --config /run/access.conf --take-over >/run/two.log 2>&1 & echo $! >/run/two.pid'
    both run -t 40 'until [ "$(cat /sys/block/sdb/size 2>/dev/null || echo 0)" -gt 0 ]; do sleep 0.1; done' ||
        { both run 'cat /run/two.log'; return 1; }
    both run 'grep "taken over" /run/two.log; dd if=/dev/zero of=/dev/sdb bs=4k count=1 oflag=direct'
    both run 'dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null & echo $! >/run/reader.pid'
    log_wait "reserved for"
    both run 'kill -0 $(cat /run/reader.pid)' # it waits
}

disk_goes_back_to_who_waits() {
    both run -t 20 'kill $(cat /run/two.pid); while kill -0 $(cat /run/two.pid) 2>/dev/null; do sleep 0.1; done'
    held_wait true
    both run -t 60 'while kill -0 $(cat /run/reader.pid) 2>/dev/null; do sleep 0.1; done; dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct'
    daemon_stop both
    both run "cat $lio/pr/res_holder" | tee "$work/holder"
    grep -qi '^no ' "$work/holder"
}

test_case "cache: a mounted ext4 lives through $logins re-logins" lives_through_logins

cp "$plain" "$work/older.img"
both run -t 30 'dd if=/dev/urandom of=/dev/sda bs=4k count=8 seek=2000 oflag=direct conv=fsync 2>/dev/null'
swap_while_a_write_waits
cp "$work/older.img" "$plain"
before=$(sha <"$plain")
target_start
tgtd_target plain 16M
test_case "cache: no write lands on an older copy of the disk, and the host is told" \
    write_failed_and_disk_is_untouched "$before" 'older copy'
swap_while_a_write_waits
before=$(sha <"$plain")
target_start
tgtd_target plain 16M serial=another
test_case "cache: no write lands on another disk behind the same name" \
    write_failed_and_disk_is_untouched "$before" 'another disk'
daemon_stop both
disk_gone both
bridge_start "$(url plain)" 'removable = false;'
swap_while_a_write_waits
before=$(sha <"$plain")
target_start
tgtd_target plain 16M serial=a-third
test_case "cache: no write lands on another disk behind a fixed disk, which is gone" \
    fixed_disk_is_gone_until_replugged "$before"
daemon_stop both
disk_gone both
tgtd_kill

cache_begin back
test_case "cache: a cache that is lost $kills times: what was flushed is there, the rest is told" lost_cache_is_told
daemon_stop both
disk_gone both
cached_cut
cache_begin through
test_case "cache: without a cache, $kills power cuts lose nothing" nothing_is_lost_without_a_cache
daemon_stop both
cached_cut
disk_gone both

test_case "access: a reserved disk is reserved again after a login" is_reserved_and_stays_so
test_case "access: a second board is refused, and told who has the disk" second_board_is_told_who_has_it
test_case "access: a second board that shall takes it, and the first waits" second_board_takes_it_over
test_case "access: what is released goes back to who waits; a stop leaves nothing reserved" disk_goes_back_to_who_waits
