#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The disk as a local block device: lunstick map and unmap, partitions, a file
# system, processes and targets killed under a writer of records.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
vm_begin map
need_packages fdisk jq

pi start --lunstickd "$LUNSTICKD" --add "$RECORDS:usr/bin/records"
target_start
truncate -s 64M "$work/disk.img"
printf 'label: dos\n,8M,c\n,,L\n' | sfdisk -q "$work/disk.img"
tgtd_target disk 64M
tgtd_target other 64M

device() { pi run "lunstick status --json ${1:-disk-1}" | jq -r .device; }
child() { pi run "lunstick status --json disk-1" | jq .pid; }
parent() { pi run "cut -d' ' -f4 /proc/$1/stat"; }

appears() {
    pi run "lunstick map $(url disk)" >"$work/device"
    same device /dev/nbd0 "$(cat "$work/device")"
    pi run "ln -s $(cat "$work/device") /dev/disk"
    same bytes $((64 << 20)) "$(pi run 'blockdev --getsize64 /dev/disk')"
    pi run -t 10 "until [ -b $(cat "$work/device")p1 ] && ln -sf $(cat "$work/device")p2 /dev/disk-part2 &&
        [ -b /dev/disk-part2 ]; do sleep 0.1; done"
    pi run 'lunstick status disk-1' | tee "$work/status"
    grep -q '^/dev/nbd[0-9]* is a 67 MB disk; the session to .* is up[.]$' "$work/status"
    same device "$(cat "$work/device")" "$(device)"
    # no tool of the kernel's own way has a part in it
    ! pi run lsmod | grep -E 'iscsi_tcp|usb_f_mass'
}

# fails TEXT COMMAND...: with a line that has the text
fails() {
    local text=$1
    shift
    not pi run "$@" >"$work/fails" 2>&1
    cat "$work/fails"
    grep -q -- "$text" "$work/fails"
}

wrong_use_is_told() {
    fails "disk-1 is $(cat "$work/device") already" "lunstick map $(url disk)"
    fails 'the disk is missing' 'lunstick map'
    fails 'it has no target of this name' "lunstick map $(url nothing)"
    fails 'no daemon nothing runs; running: disk-1' 'lunstick unmap nothing'
    fails 'no daemon of ours shows /dev/nbd7' 'lunstick unmap /dev/nbd7'
    fails "the disk is this machine's own" 'lunstick eject disk-1'
    fails 'early does not go with front = "nbd"' \
        "echo 'early = true; front = \"nbd\"; url = \"$(url disk)\";' >/run/x.conf; lunstickd --config /run/x.conf"
    same "what is left" "disk-1" "$(pi run 'ls -d /run/lunstick/*/ | xargs -n1 basename')"
}

# A tree on a partition; the machine reads the target's image.
file_system() {
    pi run -t 60 'mkfs.ext4 -q -F /dev/disk-part2 && mount -t ext4 /dev/disk-part2 /mnt && cp -a /usr/bin /mnt/ &&
        (cd /usr/bin && find . -type f | sort | xargs sha256sum) >/run/sums'
    fails 'is in use; unmount it' 'lunstick unmap disk-1'
    pi run -t 60 'umount /mnt && mount -t ext4 -o ro /dev/disk-part2 /mnt && (cd /mnt/bin && sha256sum -c -s /run/sums) &&
        umount /mnt && e2fsck -fn /dev/disk-part2'
    dd if="$work/disk.img" of="$work/part" bs=1M skip=9 status=none
    e2fsck -fn "$work/part"
}

# Each with a tag of its own: other records in the same places.
writer_starts() {
    pi run "rm -f /run/records; records write \$(readlink /dev/disk) /run/records -b 16 -r 32 -t $RANDOM \
        >/run/records.said 2>&1 &"
    pi run -t 20 "$(records_wait 30)"
}

# It goes on after what was done to it, and everything acknowledged is there.
writer_goes_on() {
    local before
    before=$(acknowledged pi)
    pi run -t "${1:-40}" "$(records_wait $((before + 30)))"
    pi run -t 40 'kill $(pidof records); while pidof records >/dev/null; do sleep 0.1; done; cat /run/records.said'
    pi run 'cat /run/records.said' | grep -q ' errors 0 '
    records_verify pi "$work/disk.img"
    ! pi run dmesg | grep -i 'I/O error'
}

child_killed() {
    local old
    old=$(child)
    writer_starts
    pi run "kill -9 $old"
    writer_goes_on
    [ "$(child)" != "$old" ]
}

# Nobody is behind the device until the user comes.
daemon_killed() {
    local old
    old=$(child)
    writer_starts
    pi run "kill -9 $(parent "$old")"
    pi run -t 10 'while pidof lunstickd; do sleep 0.1; done; sleep 2; pidof records'
    # neither another disk of the same name nor a target that is away costs it anything
    fails 'belongs to lunstick/disk-1/' "lunstick map --name disk-1 $(url other)"
    pi run "timeout 3 lunstickd --front nbd --name disk-1 iscsi://$PORTAL:1/iqn.2026-01.test:disk/1 || true"
    pi run 'pidof records'
    same device "$(cat "$work/device")" "$(pi run -t 40 "lunstick map $(url disk)")"
    writer_goes_on
}

# The child that knew is gone as well; the device waits for the right disk.
older_copy_is_refused() {
    pi run -t 40 'until grep -q "blocks that it acknowledged read differently" /run/lunstick/disk-1.log; do sleep 0.2; done'
    pi run 'sleep 2; pidof records'
    same "older copy" "$(sha <"$work/older.img")" "$(sha <"$work/disk.img")"
}

memory_is_safe() {
    local process
    for process in $(child) $(parent "$(child)"); do
        pi run "cat /proc/$process/oom_score_adj /proc/$process/status" >"$work/process"
        same oom_score_adj -1000 "$(head -n 1 "$work/process")"
        grep -E '^VmLck:[[:space:]]+[1-9]' "$work/process"
    done
    ! pi run 'cat /run/lunstick/disk-1.log' | grep -E 'IO_FLUSHER|oom_score_adj|not locked'
}

goes_away() {
    pi run 'sync'
    same said "$(cat "$work/device") is gone." "$(pi run -t 30 "lunstick unmap $(cat "$work/device")")"
    same daemons '' "$(pi run 'pidof lunstickd || true')"
    same "run directory" '' "$(pi run 'ls -d /run/lunstick/*/ 2>/dev/null || true')"
    pi run '[ ! -b "$(readlink /dev/disk)" ]'
    same sessions '' "$(tgtd_connections "$TGTD_TID")"
}

read_only() {
    local device
    device=$(pi run "lunstick map --ro --name mine $(url disk)")
    same ro 1 "$(pi run "cat /sys/block/${device#/dev/}/ro")"
    same sha256 "$(sha <"$work/disk.img")" "$(pi run -t 60 "sha256sum <$device" | cut -d' ' -f1)"
    pi run 'lunstick unmap mine'
}

# A daemon that nobody starts again.
cleaned_up() {
    local device
    device=$(pi run "lunstick map --name gone $(url disk)")
    pi run "mkdir -p /mnt && mount -t ext4 -o ro,noload ${device}p2 /mnt"
    pi run "kill -9 $(parent "$(pi run 'lunstick status --json gone' | jq .pid)"); while pidof lunstickd; do sleep 0.1; done"
    fails 'is mounted, and waits for the daemon gone' 'lunstick cleanup gone'
    pi run -t 30 "umount /mnt; lunstick cleanup gone" | tee "$work/cleanup"
    grep -q 'the block device, the run directory' "$work/cleanup"
    pi run "[ ! -b $device ]"
}

test_case "map: the disk is a local block device, with its partitions" appears
test_case "map: wrong use is told" wrong_use_is_told
test_case "map: ext4 on a partition; unmap refuses while it is mounted" file_system
test_case "map: its processes are not the kernel's victims" memory_is_safe
test_case "map: the process behind it killed under a writer" child_killed
test_case "map: the whole daemon killed under a writer, and mapped again" daemon_killed
# outside of the tests' subshells: the target is this shell's
writer_starts
tgtd_kill || true
sleep 5
target_start
tgtd_target disk 64M
test_case "map: the target killed for 5 s under a writer" writer_goes_on
cp --sparse=always "$work/disk.img" "$work/older.img"
writer_starts
tgtd_kill || true
pi run "kill -9 $(child)"
cp --sparse=always "$work/disk.img" "$work/right.img"
cp --sparse=always "$work/older.img" "$work/disk.img"
target_start
tgtd_target disk 64M
test_case "map: an older copy is refused, also by a child that never saw the disk" older_copy_is_refused
tgtd_kill || true
mv "$work/right.img" "$work/disk.img"
target_start
tgtd_target disk 64M
test_case "map: the right disk back, and the writer goes on" writer_goes_on
test_case "map: unmap leaves nothing" goes_away
test_case "map: read-only, with another name" read_only
test_case "map: what a killed daemon left is removed, unless it is mounted" cleaned_up
