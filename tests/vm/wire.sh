#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What goes over the wires: CDBs and sense pass unchanged between the CBW, seen
# by usbmon in the host, and the iSCSI PDU, seen by tcpdump in the network; and a
# READ streams although the network is slow.
. "$(dirname "$0")/lib.sh"
vm_begin wire
export LUNSTICK_SIM_MODULES="usbmon sch_netem" LUNSTICK_SIM_PACKAGES=fio
need_packages tcpdump python3 jq

target_start
tgtd_target plain 64M thin
both start --lunstickd "$LUNSTICKD"
daemon_start both "$(url plain)"

# capture NAME COMMAND: both captures around a command in the guest
capture() {
    local name=$1 tcpdump_pid
    net exec tcpdump -q -U --immediate-mode -s 0 -i br0 -w "$work/$name.pcap" tcp port 3260 >"$work/tcpdump.log" 2>&1 &
    tcpdump_pid=$!
    until grep -q 'listening on' "$work/tcpdump.log"; do sleep 0.05; done
    both run 'cat /sys/kernel/debug/usb/usbmon/0u >/run/usbmon & echo $! >/run/usbmon.pid; sleep 0.2'
    both run -t 30 "$2" || echo "($2: exit $?)"
    both run 'sleep 0.3; kill $(cat /run/usbmon.pid)'
    both get /run/usbmon "$work/$name.usbmon"
    kill "$tcpdump_pid"
    wait "$tcpdump_pid" || true
}

# cdbs NAME OPCODE: prints "USB-CDB ISCSI-CDB" (hex) of the last command with it
cdbs() { python3 "$root/tests/vm/wire.py" "$work/$1.usbmon" "$work/$1.pcap" cdb "$2"; }

passes() {
    local name=$1 opcode=$2 command=$3 usb iscsi
    capture "$name" "$command"
    read -r usb iscsi < <(cdbs "$name" "$opcode")
    echo "CBW   $usb"
    echo "iSCSI $iscsi"
    [ -n "$usb" ] && [ "$usb" = "$iscsi" ]
}

verify_passes() { passes verify 2f 'sg_raw /dev/sda 2f 00 00 00 01 23 05 00 08 00'; }
unmap_passes() {
    both run 'printf "\\0\\026\\0\\020\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\1\\0\\0\\0\\0\\010\\0\\0\\0\\0" >/run/unmap'
    passes unmap 42 'sg_raw -s 24 -i /run/unmap /dev/sda 42 00 00 00 00 00 00 00 18 00'
}
write_same_passes() {
    passes writesame 93 'sg_raw -s 512 -i /dev/zero /dev/sda 93 08 00 00 00 00 00 00 02 00 00 00 00 10 00 00'
}
unknown_passes() { passes unknown c1 'sg_raw /dev/sda c1 aa bb cc dd ee ff 01 02 03 04 05'; }

sense_is_the_targets() {
    local usb iscsi
    capture sense 'sg_raw -r 512 /dev/sda 28 00 00 0f 00 00 00 00 01 00'
    read -r usb iscsi < <(python3 "$root/tests/vm/wire.py" "$work/sense.usbmon" "$work/sense.pcap" sense 28)
    echo "REQUEST SENSE $usb"
    echo "iSCSI         $iscsi"
    [ -n "$usb" ] && [ "$usb" = "${iscsi:0:${#usb}}" ]
    same "sense key and ASC" "05 21" "${usb:4:2} ${usb:24:2}"
}

# one_buffer COMMAND DIRECTION: the address that FunctionFS was given for the
# command's data is the one that libiscsi was given.
one_buffer() {
    local usb iscsi
    both run "$1"
    both run 'lunstick status --json' >"$work/status.json"
    usb=$(jq -r ".usb.last_$2_buf" "$work/status.json")
    iscsi=$(jq -r .luns[0].session.last_iov_base "$work/status.json")
    echo "USB $usb, iSCSI $iscsi"
    [ "$usb" != 0x0 ] && [ "$usb" = "$iscsi" ]
}

read_uses_one_buffer() { one_buffer 'dd if=/dev/sda of=/dev/null bs=4k count=1 skip=77 iflag=direct' in; }
write_uses_one_buffer() { one_buffer 'dd if=/dev/zero of=/dev/sda bs=4k count=1 seek=77 oflag=direct' out; }

streams() {
    local first last
    both run '/usr/sbin/tc qdisc add dev eth0 root netem delay 20ms'
    both run 'dd if=/dev/sda of=/dev/null bs=120k count=4 skip=9 iflag=direct'
    both run 'lunstick status --json' >"$work/status.json"
    both run '/usr/sbin/tc qdisc del dev eth0 root'
    jq .luns[0].io.last_streamed_read "$work/status.json"
    same bytes 122880 "$(jq .luns[0].io.last_streamed_read.bytes "$work/status.json")"
    first=$(jq .luns[0].io.last_streamed_read.first_to_host_us "$work/status.json")
    last=$(jq .luns[0].io.last_streamed_read.last_segment_us "$work/status.json")
    [ "$first" -ge 20000 ] && [ "$first" -lt "$last" ]
}


# A command longer than what the port has outstanding: the host cannot have sent
# all of it before the first segment was full.
write_streams() {
    local first last
    both run 'echo 2048 >/sys/block/sda/device/max_sectors
        echo 1024 >/sys/block/sda/queue/max_sectors_kb
        dd if=/dev/zero of=/dev/sda bs=1M count=2 oflag=direct'
    both run 'lunstick status --json' >"$work/status.json"
    jq .luns[0].io.last_streamed_write "$work/status.json"
    same bytes 1048576 "$(jq .luns[0].io.last_streamed_write.bytes "$work/status.json")"
    first=$(jq .luns[0].io.last_streamed_write.first_to_target_us "$work/status.json")
    last=$(jq .luns[0].io.last_streamed_write.last_from_host_us "$work/status.json")
    [ "$first" -gt 0 ] && [ "$first" -lt "$last" ]
}

# At high speed: at SuperSpeed dummy_hcd cannot send merged requests whose pieces
# are no multiples of 1024 bytes; it fails with the kernel's own gadget as well.
fio_verifies() {
    both run -t 240 'fio --name=v --filename=/dev/sda --direct=1 --rw=randrw --ioengine=libaio \
        --iodepth=4 --bsrange=512-256k --bs_unaligned=0 --blockalign=512 --size=24m --verify=crc32c \
        --verify_fatal=1 --do_verify=1 --randseed=11 --minimal >/dev/null'
}

test_case "wire: the disk appears" disk_wait both
both run 'mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null; modprobe usbmon'
test_case "wire: VERIFY(10) passes byte for byte" verify_passes
test_case "wire: UNMAP passes byte for byte" unmap_passes
test_case "wire: WRITE SAME(16) passes byte for byte" write_same_passes
test_case "wire: an unknown opcode passes byte for byte" unknown_passes
test_case "wire: the target's sense for an LBA out of range" sense_is_the_targets
test_case "wire: a READ uses one buffer from network to USB" read_uses_one_buffer
test_case "wire: a WRITE uses one buffer from USB to network" write_uses_one_buffer
test_case "wire: a READ streams with 20 ms of delay" streams
test_case "wire: a WRITE leaves for the target before its last bytes came" write_streams
test_case "wire: fio verifies mixed block sizes" fio_verifies
