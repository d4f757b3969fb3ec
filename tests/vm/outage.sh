#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The stall contract: what a host sees while its target is away. Everything is in
# one guest that skips idle time: two disks of one tgtd, one that says "write
# through" and one that says "write back", a writer on each (records.c), and the
# fault in the network namespace of the target. For each fault, length and disk
# there is a row in the table of faults; and
#
#   up to 150 s   no error, no USB reset, no offline disk: the host only pauses
#   more          the disk stays what it is, and works within 5 s of the return
#   always        no acknowledged record lost, none stale
#
# OUTAGES: "FAULT SECONDS, ..." instead of the short list; `all`: every fault for
# 5, 20, 60, 120, 150 and 300 s.
. "$(dirname "$0")/lib.sh"
vm_begin outage
export LUNSTICK_SIM_ICOUNT=1 LUNSTICK_SIM_PACKAGES="tgt iproute2" LUNSTICK_SIM_MODULES="veth tcp_diag"

short="kill 60, freeze 300, cut 150, silence 20, reset 5, loss 5, moved 5, names 20"
faults="kill freeze cut silence reset loss moved names"
declare -A fault_name=(
    [kill]="target killed, started again"
    [freeze]="target stopped (SIGSTOP)"
    [cut]="link down"
    [silence]="every packet lost"
    [reset]="TCP reset, again and again"
    [loss]="5 % of the packets lost"
    [moved]="killed, back at the 2nd address"
    [names]="killed; no name resolved since"
)

# shellcheck disable=SC2016
guest_library() {
    cat <<'END'
# busybox's shell would take its own of these names
ip() { /usr/bin/ip "$@"; }
tc() { /usr/sbin/tc "$@"; }
set -e
up_ms() { cut -d' ' -f1 /proc/uptime | tr -d . | sed 's/$/0/'; }
# until_true SECONDS WHAT COMMAND...
until_true() {
    tries=$(($1 * 10)) what=$2; shift 2
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "never: $what"; tail -n 15 /run/lunstickd-*.log; dmesg | tail; exit 1; }
        sleep 0.1
    done
}

# ---- the target, in a network namespace of its own ----

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
    ip netns exec target tgtd -f -C 1 >>/run/tgtd.log 2>&1 &
    until_true 10 "tgtd" adm --op show --mode target >/dev/null 2>&1
    lun 1 through
    lun 2 back
}
target_off() { killall -9 tgtd; while pidof tgtd >/dev/null; do sleep 0.01; done; }
address() { ip -n target address $1 10.9.0.$2/24 dev far; }
hosts() {
    { echo "127.0.0.1 localhost"; for a; do echo "10.9.0.$a disk.test"; done; } >/etc/hosts.new
    mv /etc/hosts.new /etc/hosts
}
both_ways() {
    tc qdisc $1 dev near root netem $2
    ip netns exec target /usr/sbin/tc qdisc $1 dev far root netem $2
}

# ---- the faults; behind `off` the target can be had again ----

kill_on() { target_off; }
kill_off() { target_on; }
freeze_on() { killall -STOP tgtd; }
freeze_off() { killall -CONT tgtd; }
cut_on() { ip -n target link set far down; }
cut_off() { ip -n target link set far up; }
silence_on() { both_ways add 'loss 100%'; }
silence_off() { both_ways del; }
reset_on() { while :; do ss -HK dst 10.9.0.0/24 >/dev/null; sleep $every; done & echo $! >/run/resetter; }
reset_off() { kill $(cat /run/resetter); rm /run/resetter; }
loss_on() { both_ways add 'loss 5%'; }
loss_off() { both_ways del; }
# It has one of its two addresses and goes to the other one; nothing answers at
# the old one.
moved_on() {
    from=$(cat /run/address) to=$((4 - from))
    hosts 1 3
    target_off; address del $from
}
moved_off() { address add $to; echo $to >/run/address; target_on; }
# The name server's address is one that swallows packets.
names_on() {
    ip route replace 10.9.1.0/24 via 10.9.0.$(cat /run/address)
    echo "nameserver 10.9.1.1" >/etc/resolv.conf
    hosts
    target_off
}
names_off() { target_on; }

# ---- the disks, number 1 and 2 ----

# usbip-vudc of 6.1 follows a null pointer when a request is cancelled, as it is
# when a daemon ends: these run as long as the guest does.

daemons() {
    n=0
    for disk in through back; do
        lunstickd --name $disk --udc usbip-vudc.$n iscsi://disk.test/iqn.2026-01.test:$disk/1 \
            >/run/lunstickd-$disk.log 2>&1 &
        usbip_cable $n
        n=$((n + 1))
        until_true 20 "the disk $disk" disk_there $n
    done
}
disk_of() { ls -d /sys/devices/platform/vhci_hcd.0/usb*/*-$1/*/host*/target*/*/block/* 2>/dev/null; }
disk_there() { d=$(disk_of $1) && [ -b "/dev/${d##*/}" ] && [ "$(cat $d/size)" -gt 0 ]; }
disk_state() { d=$(disk_of $1); echo ${d##*/} $(cat $d/dev $d/diskseq $d/device/state); }
usb_resets() { lunstick status --json $1 | sed 's/.*"resets":\([0-9]*\).*/\1/'; }
record() { records show /run/log-$1 | sed "s/.*$2 \([0-9]*\).*/\1/"; }
has_records() { [ "$(record $1 acknowledged)" -ge $2 ]; }
ok_after() { [ "$(record $1 ok_ms)" -gt $2 ]; }

# What an outage leaves that was given up in the middle, also from outside: its
# script, its writers, its fault.
afresh() {
    kill $(cat /run/script) $(cat /run/resetter) || true
    killall -9 records || true
    echo $$ >/run/script
    both_ways del || true
    cut_off
    if pidof tgtd; then freeze_off; else ip -n target address flush dev far; address add 1; echo 1 >/run/address; target_on; fi
    hosts $(cat /run/address)
} >/dev/null 2>&1

# outage FAULT SECONDS: prints a line for each disk
outage() {
    n=0 pace=25 every=0.5
    # These never idle.
    case $1 in reset | loss) pace=150; [ $2 -le 20 ] || pace=500 every=2 ;; esac
    killall records 2>/dev/null || true # of a case that ended early
    while pidof records >/dev/null; do sleep 0.1; done
    dmesg -c >/dev/null
    for disk in through back; do
        n=$((n + 1)) d=$(disk_of $n)
        disk_state $n >/run/state-$disk
        usb_resets $disk >/run/resets-$disk
        rm -f /run/log-$disk
        records write /dev/${d##*/} /run/log-$disk -r 2 -p $pace -e 1000000 -t $(up_ms)$n \
            >/run/writer-$disk.log 2>&1 &
        echo $! >/run/writer-$disk
    done
    for disk in through back; do until_true 30 "a record" has_records $disk 8; done
    ${1}_on; sleep $2; ${1}_off
    return_ms=$(up_ms)
    for disk in through back; do until_true 60 "a record after the return" ok_after $disk $return_ms; done
    n=0
    for disk in through back; do
        n=$((n + 1)) back_ms=$(($(record $disk resumed_ms) - return_ms))
        until_true 30 "more records" has_records $disk $(($(record $disk acknowledged) + 8))
        kill $(cat /run/writer-$disk); wait $(cat /run/writer-$disk) || true
        d=$(disk_of $n)
        set -- "$@" "back_ms $((back_ms > 0 ? back_ms : 0))
            kernel $(dmesg | grep -c "I/O error, dev ${d##*/}\|Internal error" || true)
            resets $(($(usb_resets $disk) - $(cat /run/resets-$disk) +
                $(dmesg | grep -c "usb [0-9]*-$n: \(reset\|USB disconnect\)" || true)))
            offline $(dmesg | grep -c offline || true)
            same $([ "$(disk_state $n)" = "$(cat /run/state-$disk)" ] && echo 1 || echo 0)
            $(records verify /run/$disk.img /run/log-$disk || true)"
        cat /run/writer-$disk.log >&2
    done
    shift 2
    for line; do echo "row" $line; done
}
END
}

# in_guest: the script on stdin, with the functions above
in_guest() { { echo '. /root/lib'; cat; } | both run -t 1200 -; }

# One outage of the list, and its two rows of the table.
outage() {
    local fault=$1 seconds=$2 line rows=0
    in_guest <<<"afresh; outage $fault $seconds; rm /run/script" | tee "$work/outage"
    while read -r _ line; do
        rows=$((rows + 1))
        # shellcheck disable=SC2086
        fault_row "${fault_name[$fault]}" 1 "$seconds" $line
        promised "$fault" "$seconds"
    done < <(grep '^row' "$work/outage")
    same "disks judged" 2 "$rows"
}

# What the design promises of the values in v.
promised() {
    [ "${v[acknowledged]}" -ge 16 ]
    same "lost, stale, misread" "0 0 0" "${v[lost]} ${v[stale]} ${v[misread]}"
    same "USB resets, offline disks, the same disk" "0 0 1" "${v[resets]} ${v[offline]} ${v[same]}"
    [ "$2" -gt 150 ] || same "errors" 0 "${v[errors]}"
    case $1 in
    reset | loss) [ "${v[pause_ms]}" -le 10000 ] ;;
    *)
        # it was an outage; what waited may have begun shortly after it
        [ "${v[pause_ms]}" -ge $(($2 * 1000 - 500)) ]
        [ "${v[back_ms]}" -le 5000 ]
        ;;
    esac
}

guest_begin() {
    both start --lunstickd "$LUNSTICKD" --add "$RECORDS:/usr/bin/records" \
        --add "${RECORDS%/*}/usbip_cable:/usr/bin/usbip_cable"
    guest_library >"$work/lib"
    both put "$work/lib" /root/lib
    in_guest <<'END'
modprobe -a veth tcp_diag vhci-hcd; modprobe usbip-vudc num=2
ip netns add target
ip link add near type veth peer name far netns target
ip address add 10.9.0.2/24 dev near; ip link set near up; ip -n target link set far up
echo 1 >/run/address; address add 1; hosts 1
truncate -s 64M /run/through.img /run/back.img
target_on
daemons
END
}

both_cache_modes() {
    same "cache types" "write through write back" \
        "$(in_guest <<<'for n in 1 2; do cat $(disk_of $n)/device/scsi_disk/*/cache_type; done' | xargs)"
}

# The judge is no rubber stamp: an older block in the place of a newer one, and
# one that is gone.
judge_sees() {
    in_guest <<'END'
write() { records write /dev/$(basename $(disk_of 2)) /run/log -r 2 "$@"; }
# judged WHAT STATUS FILE: what the judge says of a copy
judged() { s=0; records verify $3 /run/log >/run/said || s=$?; echo "$1: $(cat /run/said)"; [ $s = $2 ]; }
write -n 40
cp /run/back.img /run/old.img
write -n 40
cp /run/back.img /run/new.img
judged "as it is" 0 /run/new.img
dd if=/run/old.img of=/run/new.img bs=64k count=8 conv=notrunc 2>/dev/null
judged "older blocks" 1 /run/new.img; grep -q 'stale [1-9]' /run/said
cp /run/back.img /run/new.img
dd if=/dev/zero of=/run/new.img bs=64k count=8 conv=notrunc 2>/dev/null
judged "zeroes" 1 /run/new.img; grep -q 'lost [1-9]' /run/said
rm /run/old.img /run/new.img /run/log
END
}

list=${OUTAGES:-$short}
if [ "$list" = all ]; then
    list=$(for f in $faults; do for s in 5 20 60 120 150 300; do echo "$f $s,"; done; done)
fi
guest_begin
test_case "outage: one disk says write through, one write back" both_cache_modes
test_case "outage: the judge sees lost and stale records" judge_sees
while read -r fault seconds; do
    [ -z "$fault" ] || test_case "outage: ${fault_name[$fault]}, $seconds s" outage "$fault" "$seconds"
done < <(tr ',' '\n' <<<"$list")
