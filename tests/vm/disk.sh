#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Data through the USB disk: usb-storage of a stock kernel, the bridge, tgtd.
# Pi and host are one guest, dummy_hcd is the cable, at SuperSpeed: fewer and
# longer commands cost less emulation. High speed is wire.sh's and cable.sh's.
. "$(dirname "$0")/lib.sh"
vm_begin disk
export LUNSTICK_SIM_PACKAGES=fio LUNSTICK_SIM_SPEED=super

target_start
tgtd_target plain 288M thin
plain=$TGTD_IMAGE
tgtd_target big 3T thin
big=$TGTD_IMAGE
tgtd_target four 64M block=4096
four=$TGTD_IMAGE
tgtd_target locked 16M readonly
locked=$TGTD_IMAGE
head -c 16M /dev/urandom >"$locked"
both start --lunstickd "$LUNSTICKD"
daemon_start both "$(url plain)"

appears() {
    disk_wait both
    both run 'lsblk -J -b -o NAME,TRAN,SIZE,SUBSYSTEMS,MODEL,RM /dev/sda' | tee "$work/lsblk"
    grep -q '"tran": *"usb"' "$work/lsblk"
    grep -q "\"size\": *$((288 << 20))" "$work/lsblk"
    grep -q 'usb' "$work/lsblk"
    same speed super "$(both run 'lunstick status --json' | jq -r .usb.speed)"
}

nothing_of_the_kernels_way() {
    both run 'lsmod' | tee "$work/lsmod"
    grep -q usb_f_fs "$work/lsmod"
    ! grep -E 'usb_f_mass_storage|iscsi_tcp|^nbd' "$work/lsmod"
}

changed_block_is_seen() {
    printf 'first' | dd of="$plain" bs=512 seek=77 conv=notrunc,sync status=none
    same first first "$(both run 'dd if=/dev/sda bs=512 skip=77 count=1 iflag=direct 2>/dev/null | head -c 5')"
    printf 'later' | dd of="$plain" bs=512 seek=77 conv=notrunc,sync status=none
    same later later "$(both run 'dd if=/dev/sda bs=512 skip=77 count=1 iflag=direct 2>/dev/null | head -c 5')"
}

# fio fills 256 MB in random order with data of a seed; the machine reads the
# target's file.
random_writes_arrive() {
    both run -t 240 'fio --name=w --filename=/dev/sda --direct=1 --rw=randwrite \
        --bsrange=64k-512k --blockalign=64k --size=256m --randseed=7 --refill_buffers --ioengine=psync --minimal >/dev/null && sync'
    local there here
    there=$(both run -t 120 'dd if=/dev/sda bs=1M iflag=direct 2>/dev/null | sha256sum' | cut -d' ' -f1)
    here=$(sha <"$plain")
    same sha256 "$here" "$there"
    # Nothing of it is zeroes any more: the writes were real.
    [ "$(tr -d '\0' <"$plain" | head -c 268000000 | wc -c)" -gt 260000000 ]
}

targets_data_are_read() {
    head -c 64M /dev/urandom | dd of="$plain" bs=1M conv=notrunc status=none
    same sha256 "$(head -c 64M "$plain" | sha)" \
        "$(both run -t 120 'dd if=/dev/sda bs=1M count=64 iflag=direct 2>/dev/null | sha256sum' | cut -d' ' -f1)"
}

ext4_holds_a_tree() {
    both run -t 120 'mkfs.ext4 -q -F /dev/sda && mount -t ext4 /dev/sda /mnt && cp -a /usr /mnt/ &&
        (cd /usr && find . -type f | sort | xargs sha256sum) >/run/sums && umount /mnt &&
        mount -t ext4 -o ro /dev/sda /mnt && (cd /mnt/usr && sha256sum -c -s /run/sums) &&
        umount /mnt && e2fsck -fn /dev/sda'
}

imager_writes_and_verifies() {
    local image=$work/image
    truncate -s 24M "$image"
    printf 'label: dos\n,16M,c\n' | sfdisk -q "$image"
    head -c 8M /dev/urandom | dd of="$image" bs=1M seek=8 conv=notrunc status=none
    both put -t 60 "$image" /run/image
    both run -t 120 'dd if=/run/image of=/dev/sda bs=1M oflag=direct 2>/dev/null &&
        dd if=/dev/sda bs=1M count=24 iflag=direct 2>/dev/null | cmp - /run/image'
    cmp -n $((24 << 20)) "$image" "$plain"
}

oscilloscope_saves_files() {
    local i
    both run -t 60 'mkfs.vfat -I /dev/sda >/dev/null && mount -t vfat -o sync /dev/sda /mnt &&
        for i in 1 2 3; do
            head -c 70000 /dev/urandom >/mnt/TRACE$i.CSV
            sha256sum </mnt/TRACE$i.CSV; sleep 0.2
        done | cut -d" " -f1; sync; umount /mnt' >"$work/sums"
    same files 3 "$(wc -l <"$work/sums")"
    for i in 1 2 3; do
        mcopy -n -i "$plain" "::TRACE$i.CSV" "$work/trace$i"
        same "TRACE$i" "$(sed -n "${i}p" "$work/sums")" "$(sha <"$work/trace$i")"
    done
}

child_has_no_powers() {
    both run 'for p in $(pidof lunstickd); do [ "$(cut -d" " -f4 /proc/$p/stat)" = "$(cat /run/lunstickd.pid)" ] &&
        cat /proc/$p/status; done; true' >"$work/status"
    grep -E '^(Uid|Cap|NoNewPrivs|Seccomp:)' "$work/status"
    grep -q '^NoNewPrivs:.1$' "$work/status"
    grep -q '^Seccomp:.2$' "$work/status"
    [ "$(grep -c '^Cap[A-Z][a-z]*:.0000000000000000$' "$work/status")" -eq 5 ]
    ! grep -q '^Uid:.0' "$work/status"
}

small_enough() {
    local size rss
    cp "$LUNSTICKD" "$work/stripped"
    aarch64-linux-gnu-strip "$work/stripped"
    size=$(stat -c %s "$work/stripped")
    rss=$(both run 'for p in $(pidof lunstickd); do grep VmRSS /proc/$p/status; done' |
        awk '{ s += $2 } END { print s }')
    echo "binary $size bytes, resident $rss KB"
    [ "$size" -le 450000 ] && [ "$rss" -le $((12 * 1024)) ]
}

status_counts_what_moved() {
    local before after
    before=$(json read_bytes)
    both run 'dd if=/dev/sda of=/dev/null bs=120k count=8 iflag=direct 2>/dev/null'
    after=$(json read_bytes)
    same bytes $((8 * 120 * 1024)) $((after - before))
}
json() { both run 'lunstick status --json' | jq ".luns[0].io.$1"; }

another() {
    daemon_stop both
    disk_gone both
    daemon_start both "$@"
    disk_wait both
}

three_terabytes() {
    another "$(url big)"
    same size $((3 << 40)) "$(both run 'blockdev --getsize64 /dev/sda')"
    both run 'printf lastblock | dd of=/dev/sda bs=512 seek=6442450943 conv=sync oflag=direct 2>/dev/null'
    same last lastblock "$(tail -c 512 "$big" | head -c 9)"
}

four_kilobyte_blocks() {
    another "$(url four)"
    same block 4096 "$(both run 'blockdev --getss /dev/sda')"
    both run -t 60 'head -c 8388608 /dev/urandom >/run/data && dd if=/run/data of=/dev/sda bs=64k seek=16 oflag=direct 2>/dev/null'
    same sha256 "$(both run 'sha256sum </run/data' | cut -d' ' -f1)" \
        "$(dd if="$four" bs=64k skip=16 count=128 status=none | sha)"
}

read_only_lun() {
    another "$(url locked)"
    same ro 1 "$(both run 'cat /sys/block/sda/ro')"
    same sha256 "$(sha <"$locked")" "$(both run -t 60 'dd if=/dev/sda bs=1M iflag=direct 2>/dev/null | sha256sum' | cut -d' ' -f1)"
    another --ro "$(url four)"
    same ro 1 "$(both run 'cat /sys/block/sda/ro')"
    # through sg: the block device of a read-only disk cannot be opened for it
    not both run 'sg_raw -s 4096 -i /dev/zero /dev/$(ls /sys/block/sda/device/scsi_generic) 2a 00 00 00 00 00 00 00 01 00' \
        2>"$work/raw"
    grep -i 'write protect' "$work/raw"
}

scheme_string_reaches_the_host() {
    sed 's/iSCSI disk/a wondrous disk/' "$root/configfs-templates/disk.scheme" >"$work/edited.scheme"
    not cmp -s "$work/edited.scheme" "$root/configfs-templates/disk.scheme"
    both put "$work/edited.scheme" /run/edited.scheme
    another --scheme /run/edited.scheme "$(url plain)"
    same product "a wondrous disk" "$(both run 'cat /sys/block/sda/device/../../../../product')"
}

need_packages mtools fdisk jq
test_case "disk: appears with its size, at SuperSpeed" appears
test_case "disk: no usb_f_mass_storage, iscsi_tcp or nbd" nothing_of_the_kernels_way
test_case "disk: a block changed on the target is seen" changed_block_is_seen
test_case "disk: the child has no capability, user, or free system call" child_has_no_powers
test_case "disk: binary and resident memory are small" small_enough
test_case "disk: status counts the bytes that moved" status_counts_what_moved
test_case "disk: 256 MB written at random places are on the target" random_writes_arrive
test_case "disk: the target's data are read, sha256 equal" targets_data_are_read
test_case "disk: ext4 holds a tree, fsck is clean" ext4_holds_a_tree
test_case "disk: an imager writes with O_DIRECT and verifies" imager_writes_and_verifies
test_case "disk: an oscilloscope saves files on FAT" oscilloscope_saves_files
test_case "disk: a LUN of 3 TiB" three_terabytes
test_case "disk: a LUN of 4096-byte blocks" four_kilobyte_blocks
test_case "disk: read-only LUNs" read_only_lun
test_case "disk: an edited scheme is what the host sees" scheme_string_reaches_the_host
