#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Eject and insert, plug and unplug, as a Linux host sees them: the user's, the
# host's own with each policy, under load, other disks in the same drive, several
# LUNs, read-only and fixed disks, CD-ROMs. Pi and host are one guest with three
# cables; disk UDC LUN names the host's device at the end of one.
. "$(dirname "$0")/lib.sh"
vm_begin media
need_packages jq genisoimage

# LUN 1 and 2 of target `a`, LUN 1 of `b`: the drives of the first daemon.
target_start
tgtd_target a 64M
truncate -s 16M "$work/a2.img"
tgtd_adm --op new --mode logicalunit --tid "$TGTD_TID" --lun 2 --backing-store "$work/a2.img"
tgtd_target b 32M
tgtd_target other 48M
head -c 48M /dev/urandom >"$work/other.img"
tgtd_target fixed 8M
mkdir "$work/tree"
head -c 3000000 /dev/urandom >"$work/tree/DATA.BIN"
genisoimage -quiet -o "$work/iso.img" "$work/tree"
tgtd_target iso 0
truncate -s 8M "$work/many.img"
tgtd_target many 8M
for ((i = 2; i <= 16; i++)); do
    printf 'disk %02d' "$i" >"$work/many$i.img"
    truncate -s 1M "$work/many$i.img"
    tgtd_adm --op new --mode logicalunit --tid "$TGTD_TID" --lun "$i" --backing-store "$work/many$i.img"
done
printf 'disk 01' | dd of="$work/many.img" conv=notrunc status=none

cat >"$work/disk" <<'END'
#!/bin/sh
for d in /sys/block/s[dr]*; do
    case $(readlink -f "$d/device") in */dummy_hcd.$1/*:$2) echo "${d##*/}" ;; esac
done
END
chmod 755 "$work/disk"
cat >"$work/lunstick.conf" <<END
udc = "dummy_udc.0";
luns = (
    { url = "$(url a)"; },
    { url = "$(url b)"; reinsert = "never"; },
    { url = "iscsi://$PORTAL/iqn.2026-01.test:a/2"; reinsert = "after"; reinsert_after = 2; }
);
END
cat >"$work/kinds.conf" <<END
udc = "dummy_udc.1";
luns = (
    { url = "$(url fixed)"; removable = false; access = "exclusive"; },
    { url = "$(url iso)"; cdrom = true; }
);
END
{
    echo 'udc = "dummy_udc.2";'
    echo 'luns = ('
    for ((i = 1; i <= 16; i++)); do
        echo "{ url = \"iscsi://$PORTAL/iqn.2026-01.test:many/$i\"; }$([ "$i" = 16 ] || echo ,)"
    done
    echo ');'
} >"$work/many.conf"
conf=/etc/lunstick
both start --lunstickd "$LUNSTICKD" --add "$work/disk:/usr/bin/disk" --add "$work/lunstick.conf:$conf/lunstick.conf" \
    --add "$work/kinds.conf:$conf/kinds.conf" --add "$work/many.conf:$conf/many.conf"
both run 'modprobe -a sr_mod isofs'
daemon_start both

# sees SIZE_MB UDC LUN...: the host sees disks of that size; 0: drives without one.
# Without udev it looks when the device is opened.
sees() {
    local size=$(($1 * 2048)) udc=$2 lun
    shift 2
    for lun; do
        both run -t 30 "d=\$(until disk $udc $lun | grep .; do sleep 0.1; done)
            until blockdev --getsize64 /dev/\$d >/dev/null 2>&1
                [ \"\$(cat /sys/block/\$d/size)\" -eq $size ] && [ -b /dev/\$d ]; do sleep 0.2; done" || {
            both run "disk $udc $lun; grep . /sys/block/s*/size; tail -n 20 /run/lunstickd.log; dmesg | tail -n 5"
            return 1
        }
    done
}

json() { both run "lunstick status --json ${2:-}" | jq -r "$1"; }
medium() { json ".luns[$1].medium"; }

# answers STATUS WORDS COMMAND
answers() {
    local status=0
    both run -t 40 "$3" >"$work/answer" 2>&1 || status=$?
    cat "$work/answer"
    same "exit status of $3" "$1" "$status"
    grep -qe "$2" "$work/answer"
}

devnum() { both run 'cat /sys/devices/platform/dummy_hcd.0/usb*/*-1/devnum'; }

three_luns_from_two_targets() {
    sees 64 0 0
    sees 32 0 1
    sees 16 0 2
    same "removable" 1 "$(both run 'cat /sys/block/$(disk 0 0)/removable')"
    same "sessions" "2 1" "$(json '[.luns[].iqn] | group_by(.) | map(length) | join(" ")')"
    answers 2 'there are 3 disks; say which: --lun 0 to 2' 'lunstick eject'
    answers 2 'there is no LUN 3 here; allowed: 0 to 2' 'lunstick eject --lun 3'
}

# A mounted file system, at rest: nothing is lost.
user_ejects_and_inserts() {
    both run 'd=/dev/$(disk 0 0); mkfs.vfat -I $d >/dev/null && mount -t vfat $d /mnt &&
        head -c 100000 /dev/urandom >/mnt/file && sha256sum </mnt/file >/run/sum && sync'
    both run -t 20 'until lunstick eject --lun 0; do sleep 0.2; done'
    sees 0 0 0
    both run '! dd if=/dev/$(disk 0 0) of=/dev/null bs=4k count=1 iflag=direct 2>/run/dd && grep -i "medium" /run/dd'
    same medium ejected "$(medium 0)"
    json .summary | grep 'Disk 0: the host sees an empty drive: the disk was ejected here; lunstick insert'
    answers 1 'ejected already; lunstick insert' 'lunstick eject --lun 0'
    both run 'umount /mnt'
    answers 0 'Inserted: iscsi://.*:a/1, 67 MB' 'lunstick insert --lun 0'
    sees 64 0 0
    answers 1 'there is a disk in it already' 'lunstick insert --lun 0'
    both run 'mount -t vfat -o ro /dev/$(disk 0 0) /mnt && sha256sum </mnt/file | cmp - /run/sum; umount /mnt'
}

# All three at once; what each policy makes of it.
host_ejects() {
    both run 'eject -s /dev/$(disk 0 0); sg_start --eject /dev/$(disk 0 1); sg_start --eject /dev/$(disk 0 2)'
    same "on demand" "ejected by the host" "$(medium 0)"
    same never "ejected by the host" "$(medium 1)"
    json .summary | grep 'Disk 1: the host sees an empty drive: the host ejected the disk; lunstick insert'
    sees 16 0 2
    sees 0 0 0 1
    both run 'sg_start --load /dev/$(disk 0 0); ! sg_start --load /dev/$(disk 0 1)'
    sees 64 0 0
    same never "ejected by the host" "$(medium 1)"
}

# Unconfigured for longer than a reset takes: somebody pulled the plug.
replug_brings_it_back() {
    both run 'sg_start --eject /dev/$(disk 0 0)
        for d in /sys/devices/platform/dummy_hcd.0/usb*/*-1; do echo 0 >$d/authorized; sleep 2.5; echo 1 >$d/authorized; done'
    sees 64 0 0
    same "on demand" in "$(medium 0)"
    same never "ejected by the host" "$(medium 1)"
    answers 0 'Inserted: iscsi://.*:b/1, 33 MB' 'lunstick insert --lun 1'
    sees 32 0 1
}

forced_eject_under_load() {
    local pid
    pid=$(json .pid)
    both run -t 40 'd=$(disk 0 0)
        dd if=/dev/zero of=/dev/$d bs=64k count=1000 oflag=direct >/run/dd 2>&1 & dd=$!
        until grep -q "[1-9]" /sys/block/$d/inflight; do :; done
        lunstick eject --lun 0; echo "not forced: $?"
        lunstick eject --lun 0 --force; echo "forced: $?"
        wait $dd; echo "dd: $?"; cat /run/dd
        lunstick insert --lun 0; echo "inserted: $?"
        head -c 65536 /dev/urandom >/run/data
        until dd if=/run/data of=/dev/$d bs=64k oflag=direct 2>/dev/null; do sleep 0.1; done
        dd if=/dev/$d bs=64k count=1 iflag=direct 2>/dev/null | cmp - /run/data; echo "same: $?"' >"$work/said.guest" 2>&1 || true
    cat "$work/said.guest"
    grep -q 'the host is using the disk.*--force' "$work/said.guest"
    same answers "not forced: 1,forced: 0,dd: 1,inserted: 0,same: 0," "$(grep -E '^[a-z ]*: [0-9]$' "$work/said.guest" | tr '\n' ,)"
    grep -qi "error\|medium" "$work/said.guest"
    same "process" "$pid" "$(json .pid)"
}

swap_without_reenumeration() {
    local before
    before=$(devnum)
    both run -t 20 "until lunstick insert --lun 0 $(url other); do sleep 0.3; done" | tee "$work/answer"
    grep -q 'Inserted: iscsi://.*:other/1, 50 MB' "$work/answer"
    sees 48 0 0
    same sha256 "$(head -c 512K "$work/other.img" | sha)" \
        "$(both run 'dd if=/dev/$(disk 0 0) bs=64k count=8 iflag=direct 2>/dev/null | sha256sum' | cut -d' ' -f1)"
    same "USB device" "$before" "$(devnum)"
    both run 'dmesg | grep "detected capacity change from .* to 98304"'
    same "the other" in "$(medium 1)"
}

# What cannot be had is told, and the old disk is not back by itself.
wrong_disks_are_told() {
    answers 2 'the secret of the CHAP user "joe" is not known here' "lunstick insert --lun 1 iscsi://joe@$PORTAL/iqn.2026-01.test:b/1"
    same "medium" in "$(medium 1)"
    both run -t 20 "until lunstick eject --lun 1; do sleep 0.3; done"
    answers 2 'it has no target of this name' "lunstick insert --lun 1 $(url nosuch)"
    same "medium" awaited "$(medium 1)"
    json .summary | grep 'Disk 1: the host sees an empty drive, there is no disk yet: .*no target of this name'
    sees 0 0 1
    answers 0 'Inserted: iscsi://.*:b/1, 33 MB, read-only' "lunstick insert --lun 1 --read-only $(url b)"
    sees 32 0 1
}

read_only_refuses_writes() {
    same ro 1 "$(both run 'cat /sys/block/$(disk 0 1)/ro')"
    both run 'sg=$(ls /sys/block/$(disk 0 1)/device/scsi_generic)
        ! sg_raw -s 512 -i /dev/zero /dev/$sg 2a 00 00 00 00 00 00 00 01 00 2>/run/raw; cat /run/raw; grep -i "write protect" /run/raw'
    both run -t 20 'until lunstick eject --lun 1; do sleep 0.3; done; lunstick insert --lun 1'
    both run -t 20 'until [ "$(cat /sys/block/$(disk 0 1)/ro)" = 0 ]; do
        blockdev --getsize64 /dev/$(disk 0 1); sleep 0.1; done'
}

# In the background since the start of the next test; it has its time.
late_one_is_told_and_comes() {
    both run -t 30 'until [ -s /run/late.status ]; do sleep 0.1; done; cat /run/late /run/late.status' | tee "$work/late"
    grep -q "not yet: $PORTAL:3999 refuses the connection.*still trying" "$work/late"
    same "exit status" 1 "$(tail -n 1 "$work/late")"
    same medium awaited "$(medium 2)"
    answers 0 'Inserted: iscsi://.*:a/2, 16 MB' "lunstick insert --lun 2 iscsi://$PORTAL/iqn.2026-01.test:a/2"
    sees 16 0 2
}

child_killed() {
    local before
    before=$(json .pid)
    both run -t 30 "kill -9 $before; until lunstick status --json 2>/dev/null | grep -v '\"pid\":$before,' | grep -q .; do sleep 0.5; done"
}

# Ejected by the host that shall not have it again, ejected by the user, another disk.
choices_survive_the_child() {
    both run -t 20 'sg_start --eject /dev/$(disk 0 1); until lunstick eject --lun 2; do sleep 0.3; done'
    child_killed
    sees 48 0 0
    sees 0 0 1 2
    same sha256 "$(head -c 512K "$work/other.img" | sha)" \
        "$(both run 'dd if=/dev/$(disk 0 0) bs=64k count=8 iflag=direct 2>/dev/null | sha256sum' | cut -d' ' -f1)"
    same media "in ejected ejected" "$(json '[.luns[].medium] | join(" ")')"
    answers 0 'Inserted: iscsi://.*:b/1' 'lunstick insert --lun 1'
    answers 0 'Inserted: iscsi://.*:a/2' 'lunstick insert --lun 2'
    sees 32 0 1
}

unplug_and_plug() {
    local logins
    logins=$(json '[.luns[].session.logins] | add')
    answers 0 'Unplugged' 'lunstick unplug'
    both run -t 20 'while disk 0 0 | grep .; do sleep 0.1; done'
    answers 1 'unplugged already' 'lunstick unplug'
    json .summary | grep 'The host sees nothing: it was unplugged here; lunstick plug'
    same plugged "false false" "$(json '"\(.usb.plugged) \(.usb.bound)"')"
    answers 0 'Plugged in' 'lunstick plug'
    sees 48 0 0
    answers 1 'plugged in already' 'lunstick plug'
    same logins "$logins" "$(json '[.luns[].session.logins] | add')"
}

unplugged_survives_the_child() {
    both run 'lunstick unplug'
    child_killed
    both run -t 20 'until lunstick status --json | grep -o "\"state\":\"UP\"" | wc -l | grep -q 3; do sleep 0.2; done'
    same plugged "false false" "$(json '"\(.usb.plugged) \(.usb.bound)"')"
    both run '! disk 0 0 | grep .; lunstick plug'
    sees 48 0 0
}

a_fixed_disk_stays() {
    sees 8 1 0
    same "removable" 0 "$(both run 'cat /sys/block/$(disk 1 0)/removable')"
    both run '! sg_start --eject /dev/$(disk 1 0); dd if=/dev/$(disk 1 0) of=/dev/null bs=4k count=1 iflag=direct'
    answers 2 'it is a fixed disk to the host' 'lunstick eject --lun 0 kinds'
}

cdrom_is_mounted() {
    local want
    want=$(sha <"$work/tree/DATA.BIN")
    both run -t 20 'until [ -b /dev/sr0 ]; do sleep 0.1; done; mount -t iso9660 -o ro /dev/sr0 /mnt'
    same sha256 "$want" "$(both run 'cat /mnt/* | sha256sum' | cut -d' ' -f1)"
    both run 'umount /mnt; eject /dev/sr0'
    same medium "ejected by the host" "$(json '.luns[1].medium' kinds)"
    answers 0 'Inserted: iscsi://.*:iso/1.*read-only' 'lunstick insert --lun 1 kinds'
    both run 'mount -t iso9660 -o ro /dev/sr0 /mnt; ls /mnt; umount /mnt'
}

unplugged_is_free_for_others() {
    same held true "$(json '.luns[0].access_held' kinds)"
    both run "lunstick probe $(url fixed)" | tee "$work/probe"
    not grep -q 'reservation  none' "$work/probe"
    both run 'lunstick unplug kinds'
    both run -t 10 'until lunstick status --json kinds | grep -q "\"access_held\":false"; do sleep 0.1; done'
    both run "lunstick probe $(url fixed)" | grep 'reservation  none'
    both run 'lunstick plug kinds'
    both run -t 10 'until lunstick status --json kinds | grep -q "\"access_held\":true"; do sleep 0.1; done'
}

sixteen_luns() {
    local i
    sees 1 2 15
    for i in 0 1 7 14 15; do
        same "disk $i" "disk $(printf %02d $((i + 1)))" \
            "$(both run "dd if=/dev/\$(disk 2 $i) bs=512 count=1 iflag=direct 2>/dev/null | head -c 7")"
    done
    same media 16 "$(json '[.luns[] | select(.medium == "in")] | length' many)"
    both run -t 20 'until lunstick eject --lun 15 many; do sleep 0.3; done; lunstick insert --lun 15 many'
    same media 16 "$(json '[.luns[] | select(.medium == "in")] | length' many)"
}

early_is_an_empty_drive() {
    both run -t 20 'for p in $(pidof lunstickd); do
            tr "\0" " " </proc/$p/cmdline | grep -q "name many" && kill $p; done
        while [ -e /run/lunstick/many ]; do sleep 0.1; done
        printf "early = true;\ngive_up_after = 2;\nudc = \"dummy_udc.2\";\n" >/etc/lunstick/early.conf'
    both run "lunstickd --name early iscsi://$PORTAL:3999/iqn.2026-01.test:other/1 >/run/early.log 2>&1 &"
    sees 0 2 0
    json .summary early | grep 'The host sees an empty drive, there is no disk yet: .*refuses the connection'
    answers 0 'Inserted' "lunstick insert early $(url a)"
    sees 64 2 0
}

given_up() {
    sees 0 2 0
    same medium "given up" "$(json '.luns[0].medium' early)"
    json .summary early | grep 'The host sees an empty drive: the disk was given up: .*; it comes back with its target'
    answers 1 'not yet' 'lunstick insert early'
}

test_case "media: 3 LUNs from 2 targets" three_luns_from_two_targets
test_case "media: the user ejects a mounted disk and inserts it" user_ejects_and_inserts
test_case "media: the host ejects: on demand, never, after a while" host_ejects
test_case "media: the plug pulled and put back brings it back on demand" replug_brings_it_back
both run "(lunstick insert --force --lun 2 iscsi://$PORTAL:3999/iqn.2026-01.test:a/2 >/run/late 2>&1; echo \$? >/run/late.status) &
    lunstickd --name kinds >/run/kinds.log 2>&1 & lunstickd --name many >/run/many.log 2>&1 &"
test_case "media: forced eject under load" forced_eject_under_load
test_case "media: another disk without re-enumeration" swap_without_reenumeration
test_case "media: a disk that cannot be had is told" wrong_disks_are_told
test_case "media: a disk that cannot be had yet is told, and another taken" late_one_is_told_and_comes
test_case "media: write protection" read_only_refuses_writes
test_case "media: the child killed: the other disk and the empty drive are there again" choices_survive_the_child
test_case "media: unplug and plug" unplug_and_plug
test_case "media: the child killed while unplugged" unplugged_survives_the_child
test_case "media: a fixed disk has no eject" a_fixed_disk_stays
test_case "media: a CD-ROM is mounted, ejected and inserted" cdrom_is_mounted
test_case "media: exclusive access is given back while unplugged" unplugged_is_free_for_others
test_case "media: 16 LUNs" sixteen_luns
test_case "media: an early drive is empty until there is a disk" early_is_an_empty_drive
target_stop
test_case "media: a target that is away for long is given up" given_up
target_start
tgtd_target a 64M
test_case "media: and its disk comes back with it" sees 64 2 0
