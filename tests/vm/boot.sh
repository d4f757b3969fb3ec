#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A machine without a disk has its root on a LUN: Debian's arm64 kernel, our
# initramfs, a Debian with systemd behind tgtd. What is told of the booted system
# it tells itself, through its agent. It has 256 MB.
#
# BOOT_OUTAGES: for how many seconds the target is killed under a writer (5);
# 5,60,300 takes its time. BOOT_MEMORY: how many times its memory is exhausted (1).
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
. "$root/tests/vm/boot_lib.sh"
vm_begin boot
export LUNSTICK_SIM_MEMORY=256
boot_begin
target disk debian 64 # the additional ones are for records

came_up() {
    is_running boot
    same "kernel" "$kernel_version" "$(boot run 'uname -r')"
    same "root" "/dev/nbd0p2 ext4" "$(boot run 'findmnt -no SOURCE,FSTYPE /' | xargs)"
    same "sessions" 1 "$(sessions disk)"
    chain | tee "$work/chain"
    same "processes" 3 "$(wc -w <"$work/chain")"
    same "behind the device" "$(cut -d' ' -f2 "$work/chain")" "$(boot run 'cat /sys/block/nbd0/pid')"
    boot run 'findmnt -n /run/initramfs && ls -l /run/initramfs/shutdown'
    boot run 'cat /proc/sys/kernel/random/boot_id' >"$work/boot_id"
}

# The processes behind root, once all three are there: the child, its parent, and the
# one that is left.
chain() {
    boot run -t 30 'chain() {
            all=" $(cd /proc && grep -l "^@" [0-9]*/cmdline | cut -d/ -f1 | xargs) "
            child=$(/run/initramfs/bin/lunstick status --json root | sed "s/.*\"pid\":\([0-9]*\).*/\1/")
            parent=$(cut -d" " -f4 "/proc/$child/stat")
            third=${all/ $child / } third=${third/ $parent / }
            echo $child $parent $third
        }
        until set -- $(chain) && [ $# = 3 ]; do sleep 0.2; done 2>/dev/null
        echo $*'
}

boots() {
    boot start "${initrd[@]}" scsipub.mode=pivot_root
    came_up
    console boot | grep "lunstick: iscsi://$PORTAL/iqn.2026-01.test:disk/1, as DHCP's root path says"
}

# Numbered lines, each on the disk before it is counted, and the records.
load_starts() {
    boot put "$RECORDS" /run/agent/records
    boot run 'cat >/run/agent/lines <<"END"
#!/bin/sh
while :; do
    n=$((n + 1))
    echo $n >>/var/tmp/lines && sync /var/tmp/lines && echo $n >/run/lines.new && mv /run/lines.new /run/lines
done
END
        chmod 755 /run/agent/lines
        cd /run
        systemd-run -q -E PATH=/run/agent:/bin --unit=lines /run/agent/lines
        systemd-run -q --unit=records /run/agent/records write /dev/nbd0 /run/records -b 577 -r 60'
    load_goes_on
}

# Both of them do, from here on.
load_goes_on() {
    boot run -t 120 'marks() { records show /run/records 2>/dev/null | cut -d" " -f4; cat /run/lines 2>/dev/null || echo 0; }
        set -- $(marks)
        echo "records and lines: $*"
        until set -- ${1:-0} ${2:-0} $(marks) && [ ${3:-0} -gt $(($1 + 10)) ] && [ ${4:-0} -gt $(($2 + 10)) ]; do
            set -- $1 $2
            sleep 0.2
        done'
    no_io_error boot
}

# killed N: the Nth of the chain, with nothing of the disk in memory but what is in use
killed() {
    local before after
    before=$(chain)
    boot run "echo 3 >/proc/sys/vm/drop_caches; set -- $before; kill -9 \$$1"
    load_goes_on
    after=$(chain)
    echo "$before, then $after"
    [ "$before" != "$after" ]
}

# Something allocates until the kernel ends it, beside three writers, one of which writes
# more than there is memory for then.
memory_exhausted() {
    boot run -t $((120 + $1 * 120)) "set -e
        for i in \$(seq $1); do
            dd if=/dev/zero of=/var/tmp/zero bs=1M count=80 2>/dev/null & dd=\$!
            tail /dev/zero || true
            wait \$dd
        done
        rm /var/tmp/zero"
    boot run 'dmesg' >"$work/dmesg"
    same "of tail" "$1" "$(grep -c 'Out of memory: Killed process .*(tail)' "$work/dmesg")"
    same "of others" "$1" "$(grep -c 'Out of memory: Killed process' "$work/dmesg")"
    load_goes_on
    same "systemd" running "$(boot run 'systemctl is-system-running')"
}

load_ends() {
    boot run -t 60 'systemctl stop lines records; records show /run/records'
    boot run 'records show /run/records' | grep ' errors 0 '
    records_verify boot "$work/disk.img"
    boot run 'cat /run/lines' >"$work/lines"
}

reboots() {
    local start=$SECONDS
    cp "$work/boot_id" "$work/boot_id.before"
    boot run 'systemctl reboot'
    says boot 80 'reboot: Restarting system'
    echo "down after $((SECONDS - start)) s"
    says boot 1 'lunstick: logged out'
    came_up
    ! cmp "$work/boot_id" "$work/boot_id.before" || return 1
    # what the file system says that was not unmounted
    ! boot run dmesg | grep -i recover
}

switches_off() {
    switched_off boot disk
    debugfs -R 'cat /var/tmp/lines' "$work/disk.img?offset=$BOOT_ROOT" >"$work/lines.disk"
    echo "lines: $(cat "$work/lines"), on the disk $(wc -l <"$work/lines.disk")"
    head -n "$(cat "$work/lines")" "$work/lines.disk" | cmp - <(seq "$(cat "$work/lines")")
}

test_case "boot: Debian comes up from the LUN that DHCP names" boots
test_case "boot: load on its root" load_starts
outages=${BOOT_OUTAGES:-5}
for seconds in ${outages//,/ }; do
    # outside of the tests' subshells: the target is this shell's
    tgtd_kill || true
    sleep "$seconds"
    target_start
    tgtd_target disk 0
    test_case "boot: the target killed for $seconds s under load" load_goes_on
done
test_case "boot: the process behind root killed under load" killed 1
test_case "boot: the one above it" killed 2
test_case "boot: the one that watches both" killed 3
test_case "boot: memory exhausted under load" memory_exhausted "${BOOT_MEMORY:-1}"
test_case "boot: nothing is lost" load_ends
test_case "boot: reboot logs out, and it comes up again" reboots
test_case "boot: poweroff logs out, and the file systems are clean" switches_off
