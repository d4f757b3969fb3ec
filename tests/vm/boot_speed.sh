#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The local block device (lunstick map) beside the kernel's own initiator (iscsi_tcp,
# logged in by iscsistart), in one guest that counts instructions: an instruction is a
# nanosecond, so that the figures do not depend on the machine. Each has a RAM disk
# of its own behind the kernel's target (LIO) on 127.0.0.1; netem on lo makes the
# round-trip time. And two machines that boot from tgtd with the same initramfs: one as
# ever, one with a script that loads the drivers that it needs, asks DHCP, and calls
# iscsistart. Prints a table; its last column is ours / the kernel's.
#
#   SPEED_ROUNDS=N   runs of each, in turns; the table has the medians (default 1)
#   SPEED_MB=N       so much for each sequential run (default 16, at most 64)
#   SPEED_RTT_US=N   round-trip time (default 300)
#   SPEED_FLOOR=X    a lower ratio is a failure (default 0.6)
#   SPEED_FLOOR_4K=X for 4 KiB (default 0.7)
#   SPEED_BOOT=X     so much of its time may it take from power-on to the disk (1.15)
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
. "$root/tests/vm/boot_lib.sh"
vm_begin boot-speed
export LUNSTICK_SIM_ICOUNT=1 LUNSTICK_SIM_PACKAGES="iproute2 open-iscsi"
rounds=${SPEED_ROUNDS:-1} mb=${SPEED_MB:-16} rtt_us=${SPEED_RTT_US:-300}
floor=${SPEED_FLOOR:-0.6} floor_4k=${SPEED_FLOOR_4K:-0.7} most_boot=${SPEED_BOOT:-1.15}
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

log_in() {
    both run -t 60 - <<'END'
set -e
iscsistart -i iqn.2026-01.test:initiator -t iqn.2026-01.test:disk3260 -g 1 -a 127.0.0.1 -p 3260 \
    >/run/iscsistart.log 2>&1 || { cat /run/iscsistart.log; exit 1; }
lunstick map --name speed iscsi://127.0.0.1:3261/iqn.2026-01.test:disk3261/1 >/dev/null
for d in sda nbd0; do
    until [ "$(cat /sys/block/$d/size 2>/dev/null || echo 0)" -gt 0 ] && [ -b /dev/$d ]; do usleep 1000; done
done
sleep 1 # the queue is set up behind that
# and until its window has grown the target sends in other pieces
for d in sda nbd0; do block_load /dev/$d read 1048576 48 >/dev/null; done
for d in sda nbd0; do
    cd /sys/block/$d/queue
    echo "$d: $(tr ' ' '\n' <scheduler | grep '\['), nr_requests $(cat nr_requests)," \
        "max_sectors_kb $(cat max_sectors_kb), read_ahead_kb $(cat read_ahead_kb)"
done
END
}

# take FILE: it, and the libraries that it needs, into the other initramfs
take() {
    local name
    [ ! -e "$work/both/other/${1##*/}" ] || return 0
    cp -L "$1" "$work/both/other/"
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r name; do
        take "$(find "$work/guest/usr/lib" -name "$name" | head -n 1)"
    done
}

# What is behind our initramfs: in /other, the other's; and that ours ends with the disk.
other_initrd() {
    local file count=100
    mkdir -p "$work/guest" "$work/both/other" "$work/both/lib/lunstick"
    "$root/hw/sim/initramfs" "$work/guest.cpio"
    (cd "$work/guest" && cpio -idm --quiet <"$work/guest.cpio")
    take "$work/guest/usr/sbin/iscsistart"
    cp -L "$work"/guest/usr/lib/ld-linux-aarch64.so.1 "$work/both/other/"
    "$root/hw/sim/kernel" modules iscsi_tcp sd_mod crc32c_generic | while read -r file; do
        count=$((count + 1)) # what is needed first
        case $file in
        *.xz) xz -dc "$file" >"$work/both/other/$count.ko" ;;
        *) cp "$file" "$work/both/other/$count.ko" ;;
        esac
    done
    cat >"$work/both/other/init" <<END
#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec >/dev/console 2>&1
modprobe -a virtio_pci virtio_net
for file in /other/*.ko; do insmod \$file; done
ip link set eth0 up
until [ "\$(cat /sys/class/net/eth0/carrier)" = 1 ]; do usleep 10000; done
udhcpc -i eth0 -n -q -f -t 4 -T 1 -S -s /other/lease >/dev/null
/other/ld-linux-aarch64.so.1 --library-path /other /other/iscsistart \
    -i iqn.2026-01.test:initiator -t iqn.2026-01.test:disk -g 1 -a $PORTAL -p 3260
until [ "\$(cat /sys/block/sda/size 2>/dev/null || echo 0)" -gt 0 ] && [ -b /dev/sda ]; do usleep 10000; done
echo "the disk is there: \$(cut -d' ' -f1 /proc/uptime)"
poweroff -f
END
    cat >"$work/both/other/lease" <<'END'
#!/bin/busybox sh
[ "$1" != bound ] || ip addr add "$ip/$mask" dev "$interface"
END
    cat >"$work/both/lib/lunstick/there.sh" <<'END'
find_root() { echo "the disk is there: $(cut -d' ' -f1 /proc/uptime)"; poweroff -f; }
END
    chmod 755 "$work"/both/other/*
    (cd "$work/both" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet) >"$1"
}

# there WORD...: hundredths of a second from power-on until the disk is there
there() {
    LUNSTICK_SIM_ICOUNT=sleep boot start "${initrd[@]}" --initrd "$work/other.initrd" --once "$@"
    boot ended 300
    console boot | sed -n 's/^the disk is there: //p' | tr -d .
}

from_power_on() {
    local kernel ours
    other_initrd "$work/other.initrd"
    kernel=$(there rdinit=/other/init)
    ours=$(there scsipub.mode=pivot_root)
    echo "$kernel $ours" | awk -v most="$most_boot" -v table="$work/table" '{
        printf "%-24s %10d %10d %-4s %6.2f\n", "power-on to the disk", $1 * 10, $2 * 10, "ms", $2 / $1 >>table
        exit !($2 > 0 && $2 <= most * $1)
    }'
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

boot_begin
tgtd_target disk 8M
both start --lunstickd "$LUNSTICKD" --add "$LOAD:/usr/bin/block_load"
targets_start
log_in >"$work/queues"
printf '%-24s %10s %10s %-4s %6s\n' "RTT $rtt_us us" iscsi_tcp lunstick '' ratio >"$work/table"
test_case "boot speed: read 1 MiB" row "read 1 MiB" "$floor" MB/s read 1048576 "$mb"
test_case "boot speed: write 1 MiB" row "write 1 MiB" "$floor" MB/s write 1048576 "$mb"
test_case "boot speed: 4 KiB random read" row "4 KiB random read" "$floor_4k" IOPS randread 4096 200
test_case "boot speed: 4 KiB random write" row "4 KiB random write" "$floor_4k" IOPS randwrite 4096 200
test_case "boot speed: read ahead" row "read ahead" "$floor" MB/s bufread 1048576 "$mb"
test_case "boot speed: write behind, fsync" row "write behind, fsync" "$floor" MB/s bufwrite 1048576 "$mb"
both stop
test_case "boot speed: from power-on" from_power_on
cat "$work/queues" "$work/table"
