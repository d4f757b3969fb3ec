#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# lunstick map --root: a machine whose root is on the disk. A tmpfs in the Pi is its
# initramfs; pivot_root(2) puts a file system of the disk in its place, and then each
# process behind the disk is killed, with nothing of the disk in the page cache.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
vm_begin map_root
need_packages fdisk jq

pi start --lunstickd "$LUNSTICKD" --add "$RECORDS:usr/bin/records"
target_start
# 1 to 47 MiB are the records'; then the root
truncate -s 112M "$work/disk.img"
printf 'label: dos\n48M,,L\n' | sfdisk -q "$work/disk.img"
tgtd_target disk 112M
tgtd_target closed 16M chap=me:right-secret

echo not-the-secret >"$work/secret"
chmod 600 "$work/secret"
cat >"$work/other-disk" <<'END'
#!/bin/sh
echo "seen from $(cat /where), console $(readlink /proc/$$/fd/2)" >/run/other-disk
while [ ! -e /run/go ]; do sleep 1; done
exec /lib/lunstick/other-disk
END
chmod 755 "$work/other-disk"

# What an initramfs has, in /mnt.
initramfs_made() {
    pi run 'modprobe ext4; modprobe nbd nbds_max=0; mount -t tmpfs first /mnt && cd /mnt &&
        mkdir -p bin dev lib/lunstick proc sys run sysroot tmp && cp /usr/bin/busybox bin/ && cp /usr/sbin/lunstickd bin/ &&
        ln -s lunstickd bin/lunstick && for name in sh dd cat pivot_root readlink reboot sleep; do ln -s busybox bin/$name; done &&
        mount -t proc proc proc && mount -t sysfs sys sys && mount -t devtmpfs dev dev && mount -t tmpfs run run &&
        echo "the initramfs" >where'
    pi put "$work/secret" /mnt/secret
    pi put "$work/other-disk" /mnt/other-disk
    pi put "$root/boot/initramfs/lib/other-disk" /mnt/lib/lunstick/other-disk
}

# inside COMMAND...: in the initramfs; behind the change, in the new root
inside() { pi run -t 60 "PATH=/bin chroot /mnt $*"; }

# For the guest's shell: its processes, the child first, then its parent, then that one's.
cat >"$work/chain" <<'END'
#!/bin/sh
pid=$(PATH=/bin chroot /mnt lunstick status --json root | sed 's/.*"pid":\([0-9]*\).*/\1/')
above() { cut -d' ' -f4 "/proc/$1/stat"; }
echo "$pid" "$(above "$pid")" "$(above "$(above "$pid")")"
END
chmod 755 "$work/chain"
pi put "$work/chain" /usr/bin/chain

# fails STATUS TEXT COMMAND...: in the initramfs, with one line that has the text
fails() {
    local want=$1 text=$2 got=0
    shift 2
    inside "$@" >"$work/fails" 2>&1 || got=$?
    cat "$work/fails"
    same status "$want" "$got"
    same lines 1 "$(wc -l <"$work/fails")"
    grep -q -- "$text" "$work/fails"
    same processes '' "$(pi run 'pidof lunstickd || true')"
}

wrong_use_is_told() {
    fails 2 'no target of this name' lunstick map --root --name root "$(url nothing)"
    fails 2 'authentication' lunstick map --root --name root --secret-file /secret \
        "$(url closed | sed 's#//#//me@#')"
    fails 1 'no disk within 2 s: .*refuses the connection' lunstick map --root --name root --timeout 2 \
        "iscsi://$PORTAL:1/iqn.2026-01.test:disk/1"
    fails 2 'allowed: 1 to 86400' lunstick map --root --timeout soon "$(url disk)"
    same "run directory" '' "$(pi run 'ls /mnt/run/lunstick')"
}

mapped() { inside lunstick map --root --name root --on-other-disk /other-disk "$(url disk)"; }

appears() {
    same device /dev/nbd0 "$(mapped)"
    pi run -t 20 'until [ -b /dev/nbd0p1 ]; do sleep 0.1; done; ls -l /proc/$(pidof lunstickd | cut -d" " -f1)/fd'
    pi run dmesg | grep 'lunstickd: the disk is /dev/nbd0'
}

# Those that systemd leaves alone, and the kernel, too.
processes_are_spared() {
    pi run - >"$work/processes" <<'END'
chain=$(chain)
for pid in $chain; do
    awk -v pid="$pid" -v adj="$(cat /proc/$pid/oom_score_adj)" -v name="$(head -c 1 /proc/$pid/cmdline)" \
        -v session="$(cut -d' ' -f6 /proc/$pid/stat)" '
        /^Uid:/ {user = $2; effective = $3} /^VmLck:/ {locked = $2 > 0} /^Cap(Prm|Eff):/ {rights = $2}
        END {print name, adj, user, locked, session, effective, rights}' /proc/$pid/status
done
set -- $chain
echo session "$3" below "$(cut -d' ' -f4 /proc/$3/stat)"
END
    cat "$work/processes"
    local session
    session=$(sed -n 's/^session \(.*\) below 1$/\1/p' "$work/processes")
    same processes 3 "$(grep -c "^@ -1000 0 1 $session " "$work/processes")"
    # the child has none of root's rights
    same child "65534 0000000000000000" "$(head -n 1 "$work/processes" | cut -d' ' -f6-)"
    ! pi run dmesg | grep -E 'lunstickd.*(may stall|oom_score_adj|not locked)'
}

# root in its own file system
root_changes() {
    pi run -t 90 - <<'END'
set -e
mount -t ext4 /dev/nbd0p1 /mnt/sysroot
cd /mnt/sysroot
mkdir -p dev proc sys run tmp etc
[ -d bin ] || cp -a /mnt/bin .
cp /usr/bin/records bin/
echo 'root:x:0:0:root:/:/bin/sh' >etc/passwd
for dir in proc sys dev run; do mount --move /mnt/$dir $dir; done
mkdir run/initramfs
chroot /mnt /bin/busybox sh -c "cd /sysroot && /bin/pivot_root . run/initramfs"
grep ' /mnt ext4 ' /proc/mounts
END
}

becomes_root() {
    pi run -t 60 'mkfs.ext4 -q -F /dev/nbd0p1'
    root_changes
    pi run 'for pid in $(chain); do
            for of in root cwd; do readlink /proc/$pid/$of; done; ls -l /proc/$pid/fd; done' >"$work/processes"
    cat "$work/processes"
    # the child has its empty directory
    same roots 4 "$(grep -c '^/mnt$' "$work/processes")"
    same "child's" 2 "$(grep -c '^/mnt/run/lunstick/root/empty$' "$work/processes")"
    same "only for the program" 2 "$(grep -c initramfs "$work/processes")"
}

# The programs that do it are on the disk; and the records beside it.
load_starts() {
    pi run 'cat >/mnt/load <<"END"
#!/bin/sh
while :; do
    n=$((n + 1))
    dd if=/bin/busybox of=/file bs=64k conv=fsync 2>/dev/null && cat /file >/run/file && echo $n >/run/done
done
END
    chmod 755 /mnt/load; rm -f /run/records
    chroot /mnt /load >/run/load.said 2>&1 &
    records write /dev/nbd0 /run/records -b 1 -r 46 >/run/records.said 2>&1 &'
    pi run -t 30 "$(records_wait 20)"
}

# goes_on COMMAND: both loads, after that was done to the chain ($1, $2, $3)
goes_on() {
    pi run -t 90 "
        mark() { records show /run/records | cut -d' ' -f4; cat /mnt/run/done; }
        set -- \$(chain)
        $1
        set -- \$(mark)
        until [ \$(mark | head -n 1) -gt \$((\$1 + 10)) ] && [ \$(cat /mnt/run/done) -gt \$((\$2 + 1)) ]; do sleep 0.2; done
        chain"
    ! pi run dmesg | grep -iE 'I/O error|EXT4-fs error|Aborting journal'
}

# killed N: of the chain, with nothing of the disk in memory but what is locked
killed() {
    local before after
    before=$(pi run chain)
    after=$(goes_on "sync; echo 3 >/proc/sys/vm/drop_caches; kill -9 \$$1")
    echo "$before, then $after"
    [ "${before%% *}" != "${after%% *}" ]
    same supervisor "${before##* }" "${after##* }"
}

# It starts another parent, and the parent another of it: whichever is left.
supervisor_killed() {
    local before after
    before=$(pi run chain)
    after=$(goes_on 'sync; echo 3 >/proc/sys/vm/drop_caches
        all() { [ $(pidof lunstickd | wc -w) = 3 ]; }
        kill -9 $3; until ! kill -0 $3 2>/dev/null && all; do sleep 0.1; done
        kill -9 $2; until ! kill -0 $2 2>/dev/null && all; do sleep 0.1; done')
    echo "$before, then $after"
    same processes 6 "$(printf '%s\n' $before $after | sort -u | wc -l)"
}

signals_end_nothing() {
    local before after
    before=$(pi run chain)
    after=$(goes_on 'kill $*; kill -HUP $*')
    same processes "$before" "$after"
}

# Nothing is written to it, nothing fails, and nobody takes the device over.
another_disk_ends_it() {
    pi run -t 30 'until [ -e /mnt/run/other-disk ]; do sleep 0.2; done'
    pi log | grep -a '^lunstick: the disk behind / is another one now (blocks that it acknowledged read differently)'
    pi run 'cat /mnt/run/other-disk' | tee "$work/program"
    grep -q '^seen from the initramfs, console .*/dev/console$' "$work/program"
    pi run 'pidof records; sleep 3; cat /sys/block/nbd0/pid'
    pi run dmesg | not grep -iE 'I/O error|EXT4-fs error|Aborting journal'
    same "older copy" "$(sha <"$work/older.img")" "$(sha <"$work/disk.img")"
}

# The machine does not come up again in here.
machine_starts_anew() {
    pi run 'touch /mnt/run/go'
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        ! grep -aq 'reboot: Restarting system' "$work/console-pi.log" || break
        sleep 0.3
    done
    pi log | tail -n 5
    pi log | grep -aq '^lunstick: reboot'
    pi log | grep -aq 'reboot: Restarting system'
}

goes_away() {
    pi run -t 60 'kill $(pidof records) $(pidof load) $(pidof sh | tr " " "\n" | while read -r pid; do
            [ "$(readlink /proc/$pid/root)" = /mnt ] && echo $pid; done)
        while pidof records; do sleep 0.1; done; sync; mount -o remount,ro /mnt'
    pi run 'cat /run/records.said' | grep -q ' errors 0 '
    records_verify pi "$work/disk.img"
    pi run 'dmesg -c >/dev/null'
    same said "/dev/nbd0 is gone." "$(inside /run/initramfs/bin/lunstick unmap --force root)"
    pi run -t 10 'while pidof lunstickd; do sleep 0.1; done'
    same "what the log has against it" '' "$(pi run 'dmesg | grep -E "lunstickd: (error|warning)" || true')"
    same sessions '' "$(tgtd_connections 1)"
    dd if="$work/disk.img" of="$work/part" bs=1M skip=48 status=none
    e2fsck -fn "$work/part"
}

initramfs_made
test_case "map --root: what goes wrong is told, and nothing stays" wrong_use_is_told
test_case "map --root: the device is there, the log is the kernel's" appears
test_case "map --root: neither the kernel nor systemd kills its processes" processes_are_spared
test_case "map --root: pivot_root(2) takes the processes along" becomes_root
load_starts
test_case "map --root: signals end nothing" signals_end_nothing
test_case "map --root: the child killed under load, caches dropped" killed 1
test_case "map --root: the parent killed under load, caches dropped" killed 2
test_case "map --root: the supervisor killed, then the parent" supervisor_killed
test_case "map --root: unmap --force, and the file system is clean" goes_away

pi run -t 20 'umount -l /mnt; while [ -e /sys/block/nbd0 ]; do sleep 0.1; done'
initramfs_made
mapped
pi run -t 20 'until [ -b /dev/nbd0p1 ]; do sleep 0.1; done'
root_changes
cp --sparse=always "$work/disk.img" "$work/older.img"
load_starts
pi run 'kill -9 $(chain | cut -d" " -f3)' # its successor knows all of it, too
tgtd_kill || true
cp --sparse=always "$work/older.img" "$work/disk.img"
target_start
tgtd_target disk 112M
test_case "map --root: an older copy ends it, and stays as it is" another_disk_ends_it
test_case "map --root: and the initramfs's program starts the machine anew" machine_starts_anew
