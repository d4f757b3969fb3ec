#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The local block device (lunstick map) beside the kernel's own initiator (iscsi_tcp,
# logged in by iscsistart), in one guest that counts instructions: an instruction is a
# nanosecond, so that the figures do not depend on the machine. Each has a RAM disk
# of its own behind the kernel's target (LIO) on 127.0.0.1; netem on lo makes the
# round-trip time. Prints a table; its last column is ours / the kernel's.
#
#   SPEED_ROUNDS=N   runs of each, in turns; the table has the medians (default 1)
#   SPEED_MB=N       so much for each sequential run (default 16, at most 64)
#   SPEED_RTT_US=N   round-trip time (default 300)
#   SPEED_FLOOR=X    a lower ratio is a failure (default 0.6)
#   SPEED_FLOOR_4K=X for 4 KiB (default 0.7)
#   SPEED_LOGIN=X    so much of its time may the login take (default 1.15)
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
vm_begin boot-speed
export LUNSTICK_SIM_ICOUNT=1 LUNSTICK_SIM_PACKAGES="iproute2 open-iscsi"
rounds=${SPEED_ROUNDS:-1} mb=${SPEED_MB:-16} rtt_us=${SPEED_RTT_US:-300}
floor=${SPEED_FLOOR:-0.6} floor_4k=${SPEED_FLOOR_4K:-0.7} most_login=${SPEED_LOGIN:-1.15}
LOAD=${LUNSTICKD%/*}/tests/vm/block_load

# One for each, alike.
targets_start() {
    both run - <<END
set -e
modprobe -a target_core_mod iscsi_target_mod iscsi_tcp sch_netem sd_mod crc32c_generic
cd /sys/kernel/config/target
for port in 3260 3261; do
    disk=core/rd_mcp_0/disk\$port
    mkdir -p \$disk
    echo rd_pages=16384 >\$disk/control
    echo 1 >\$disk/enable
    echo "speed \$port" >\$disk/wwn/vpd_unit_serial # without it there are no VPD pages
    group=iscsi/iqn.2026-01.test:disk\$port/tpgt_1
    mkdir -p \$group/lun/lun_1
    ln -s /sys/kernel/config/target/\$disk \$group/lun/lun_1/disk
    echo 0 >\$group/attrib/authentication
    echo 0 >\$group/attrib/demo_mode_write_protect
    echo 1 >\$group/attrib/generate_node_acls
    echo 1 >\$group/attrib/cache_dynamic_acls
    mkdir \$group/np/127.0.0.1:\$port
    echo 1 >\$group/enable
done
# a connection stays as it is between the runs
echo 0 >/proc/sys/net/ipv4/tcp_slow_start_after_idle
/usr/sbin/tc qdisc add dev lo root netem delay $((rtt_us / 2))us limit 100000
END
}

# The last line: until the disk was there, hundredths of a second of each.
log_in() {
    both run -t 60 - <<'END'
set -e
# there DISK
there() {
    until [ "$(cat /sys/block/$1/size 2>/dev/null || echo 0)" -gt 0 ] && [ -b /dev/$1 ]; do usleep 1000; done
    cut -d' ' -f1 /proc/uptime | tr -d .
}
start=$(cut -d' ' -f1 /proc/uptime | tr -d .)
iscsistart -i iqn.2026-01.test:initiator -t iqn.2026-01.test:disk3260 -g 1 -a 127.0.0.1 -p 3260 \
    >/run/iscsistart.log 2>&1 || { cat /run/iscsistart.log; exit 1; }
kernel=$(there sda)
lunstick map --name speed iscsi://127.0.0.1:3261/iqn.2026-01.test:disk3261/1
ours=$(there nbd0)
sleep 1 # the queue is set up behind that
# and until its window has grown the target sends in other pieces
for d in sda nbd0; do block_load /dev/$d read 1048576 48 >/dev/null; done
for d in sda nbd0; do
    cd /sys/block/$d/queue
    echo "$d: $(tr ' ' '\n' <scheduler | grep '\['), nr_requests $(cat nr_requests)," \
        "max_sectors_kb $(cat max_sectors_kb), read_ahead_kb $(cat read_ahead_kb)"
done
echo $((kernel - start)) $((ours - kernel))
END
}

# From the start of the program until the disk is there. What is before that, from
# power-on, is the same for both.
login() {
    awk -v most="$most_login" -v table="$work/table" 'END {
        printf "%-24s %10d %10d %-4s %6.2f\n", "login", $1 * 10, $2 * 10, "ms", $1 / $2 >>table
        exit $2 > most * $1
    }' "$work/logins"
}

median() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

# row NAME FLOOR UNIT MODE BYTES COUNT: UNIT is MB/s or IOPS
row() {
    local name=$1 least=$2 unit=$3 round ratio
    shift 3
    for ((round = 0; round < rounds; round++)); do
        both run -t 300 "echo 3 >/proc/sys/vm/drop_caches; block_load /dev/sda $*" >>"$work/$name.sda"
        both run -t 300 "echo 3 >/proc/sys/vm/drop_caches; block_load /dev/nbd0 $*" >>"$work/$name.nbd0"
    done
    ratio=$(awk -v name="$name" -v unit="$unit" -v bytes="$2" -v count="$3" -v table="$work/table" \
            -v k="$(median <"$work/$name.sda")" -v o="$(median <"$work/$name.nbd0")" '
        function rate(us) { return unit == "IOPS" ? count / us * 1e6 : bytes * count / us }
        BEGIN {
            printf "%-24s %10.1f %10.1f %-4s %6.2f\n", name, rate(k), rate(o), unit, k / o >>table
            printf "%.2f", k / o
        }')
    echo "$ratio of the kernel's; at least $least is wanted"
    awk -v r="$ratio" -v least="$least" 'BEGIN { exit r < least }'
}

both start --lunstickd "$LUNSTICKD" --add "$LOAD:/usr/bin/block_load"
targets_start
log_in >"$work/logins"
sed '$d' "$work/logins" >"$work/queues"
printf '%-24s %10s %10s %-4s %6s\n' "RTT $rtt_us us" iscsi_tcp lunstick '' ratio >"$work/table"
test_case "boot speed: login" login
test_case "boot speed: read 1 MiB" row "read 1 MiB" "$floor" MB/s read 1048576 "$mb"
test_case "boot speed: write 1 MiB" row "write 1 MiB" "$floor" MB/s write 1048576 "$mb"
test_case "boot speed: 4 KiB random read" row "4 KiB random read" "$floor_4k" IOPS randread 4096 200
test_case "boot speed: 4 KiB random write" row "4 KiB random write" "$floor_4k" IOPS randwrite 4096 200
test_case "boot speed: read ahead" row "read ahead" "$floor" MB/s bufread 1048576 "$mb"
test_case "boot speed: write behind, fsync" row "write behind, fsync" "$floor" MB/s bufwrite 1048576 "$mb"
cat "$work/queues" "$work/table"
