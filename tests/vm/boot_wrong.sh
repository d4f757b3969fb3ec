#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Booting where something is wrong: a clear line on the console within the time that
# lunstick.timeout= gives, then what lunstick.on-failure= says. And networks that are
# not the plain one: a static address, a VLAN, IPv6. The system behind is the small one.
#
# BOOT=all: more of it.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
. "$root/tests/vm/boot_lib.sh"
vm_begin boot-wrong
export LUNSTICK_SIM_MEMORY=192
boot_begin
target disk busybox
target empty busybox
dd if=/dev/zero of="$work/empty.img" bs=1M count=1 conv=notrunc status=none

# An image for a PC: its init is one of this machine's programs.
foreign_image() {
    truncate -s 0 "$work/other-init"
    cp -L /bin/true "$work/other-init"
    debugfs -w -f - "$work/foreign.img?offset=$BOOT_ROOT" <<END >/dev/null 2>&1
rm /usr/sbin/init
write $work/other-init /usr/sbin/init
set_inode_field /usr/sbin/init mode 0100755
END
}
target foreign busybox
foreign_image
# nor has it the kernel that its config.txt names
printf 'arm_64bit=1\nkernel=attic.img\n' >"$work/config.txt"
mcopy -o -i "$work/foreign.img@@1M" "$work/config.txt" ::config.txt
target kernelless busybox
debugfs -w -R "rm /boot/vmlinuz-$kernel_version" "$work/kernelless.img?offset=$BOOT_ROOT" >/dev/null 2>&1
mdel -i "$work/kernelless.img@@1M" ::kernel8.img ::config.txt

# starts GUEST WORD...: boots once; its console is over when the machine is
starts() { "$1" start "${initrd[@]}" --once lunstick.on-failure=reboot "${@:2}"; }

# told GUEST TEXT...: each is on a line of its console that ours wrote
told() {
    local text
    for text in "${@:2}"; do
        console "$1" | grep -- '^lunstick: ' | grep -qF -- "$text" || { echo "$1 is not told: $text"; return 1; }
    done
}

# ends GUEST TEXT...: told, and that was all
ends() {
    "$1" ended 100
    console "$1"
    told "$@"
}

wrong_word_and_target() {
    starts boot "$(words pivot_root nothing)" lunstick.timeot=5
    ends boot 'unknown word lunstick.timeot; did you mean lunstick.timeout?' \
        'it has no target of this name' 'reboot in 5 s (lunstick.on-failure=reboot)'
}

no_mode() {
    starts boot scsipub.iqn=iqn.2026-01.test:disk
    ends boot 'scsipub.mode= is missing; one of pivot_root, kexec, usb-disk'
}

nobody_answers() {
    starts boot "$(words pivot_root disk)" lunstick.portal=10.71.0.99 lunstick.timeout=8
    ends boot 'iscsi://10.71.0.99/iqn.2026-01.test:disk/1, as the kernel command line says' \
        'no disk within' 'lunstick.on-failure=reboot'
}

no_root() {
    starts boot "$(words pivot_root empty)"
    starts boot2 "$(words pivot_root disk)" lunstick.root=LABEL=none
    ends boot 'no Linux partition on the disk; it has nbd0 (unknown)'
    ends boot2 'no partition with label none; the disk has nbd0p1 (vfat' 'nbd0p2 (ext4'
}

another_processor() {
    starts boot "$(words pivot_root foreign)"
    ends boot 'error: /sbin/init on /dev/nbd0p2 is not for this'
}

# A shell's prompt is all that a console in a file can show of it.
no_network() {
    net exec ip link set boot1 down
    boot start "${initrd[@]}" "$(words pivot_root disk)" lunstick.timeout=6 lunstick.on-failure=shell
    says boot 60 'lunstick: error: no address from DHCP or a router on eth0 (waited 6 s)'
    says boot 20 'lunstick: a shell; its end is another attempt'
    says boot 20 '^# $'
    net exec ip link set boot1 up
}

no_interface() {
    starts boot "$(words pivot_root disk)" lunstick.iface=eth7 lunstick.timeout=4
    ends boot 'error: there is no network interface eth7 (lunstick.iface=); there is: '
}

# Prints the VLAN of the first tagged frame that comes out of the machine.
first_vlan() {
    net exec timeout 60 python3 - <<'END'
import socket, struct
SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 0x10
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
s.bind(("boot1", 0))
while True:
    for level, kind, data in s.recvmsg(2048, 256)[1]:
        status, tci = struct.unpack("I", data[:4])[0], struct.unpack("H", data[16:18])[0]
        if status & TP_STATUS_VLAN_VALID:
            raise SystemExit(print(tci & 0xfff))
END
}

nobody_on_the_vlan() {
    boot start "${initrd[@]}" "$(words pivot_root disk)" lunstick.vlan=77 lunstick.timeout=6
    same "VLAN" 77 "$(first_vlan)"
    says boot 60 'lunstick: error: no address from DHCP or a router on eth0.77 (waited 6 s)'
    says boot 60 'another attempt in 5 s (lunstick.on-failure=retry)' 2
}

# came_up TEXT: the small system is there, over the address that TEXT names
came_up() {
    boot wait 100
    boot run "cat /proc/1/cmdline; ip addr; ps" | tee "$work/booted"
    grep -qF "$1" "$work/booted"
    same "root" "/dev/nbd0p2" "$(boot run "sed -n 's#^\([^ ]*\) / ext4 .*#\1#p' /proc/mounts")"
}

the_next_target() {
    boot start "${initrd[@]}" scsipub.mode=pivot_root scsipub.iqn=iqn.2026-01.test:nothing \
        scsipub.iqn=iqn.2026-01.test:disk "lunstick.portal=$PORTAL" lunstick.lun=1 lunstick.on-failure=next-target
    came_up 10.71.0.
    told boot 'it has no target of this name' 'the next target in 2 s' "iqn.2026-01.test:disk/1"
}

static_address() {
    boot start "${initrd[@]}" "$(words pivot_root disk)" lunstick.ip=10.71.0.99::10.71.0.1:24::eth0:off
    came_up 10.71.0.99
}

ipv6_from_a_router() {
    net exec ip addr add fd71::1/64 dev br0 nodad
    tgtd_adm --op new --mode portal --param 'portal=[fd71::1]:3260'
    net exec dnsmasq -k --port=0 --conf-file=/dev/null --interface=br0 --bind-dynamic --enable-ra \
        --dhcp-range=fd71::,ra-only --dhcp-leasefile="$work/leases6" >"$work/ra.log" 2>&1 &
    boot start "${initrd[@]}" "$(words pivot_root disk)" 'lunstick.portal=[fd71::1]'
    came_up 'inet6 fd71::'
    told boot 'iscsi://[fd71::1]/'
}

# Neither a kernel nor one that is named, but is not there.
no_kernel() {
    starts boot "$(words kexec kernelless)"
    starts boot2 "$(words kexec foreign)"
    ends boot 'error: the image has no kernel'
    ends boot2 'config.txt names the kernel attic.img, which is not on the image'
    same "sessions" "0 0" "$(sessions kernelless) $(sessions foreign)"
}

another_disk_is_seen() {
    boot run 'dmesg -c >/dev/null; cat /sbin/* >/numbers; sync' &
    says boot 60 'lunstickd: .*another disk'
    says boot 20 'lunstick: reboot'
    boot ended 30
    wait || true
}

test_case "boot wrong: a word, and a target that is not there" wrong_word_and_target
test_case "boot wrong: no root partition" no_root
test_case "boot wrong: an image for another processor" another_processor
test_case "boot wrong: kexec without the kernel" no_kernel
test_case "boot wrong: no network, then a shell" no_network
boot stop
test_case "boot wrong: the next target is a good one" the_next_target
boot stop
test_case "boot wrong: IPv6 from a router" ipv6_from_a_router
boot stop
if [ "${BOOT:-}" = all ]; then
    test_case "boot wrong: no mode" no_mode
    test_case "boot wrong: nobody at the portal" nobody_answers
    test_case "boot wrong: no such interface" no_interface
    test_case "boot wrong: nobody on the VLAN, then another attempt" nobody_on_the_vlan
    boot stop
    test_case "boot wrong: a static address" static_address
fi

# outside of the tests' subshells: the target is this shell's
came_up_again() {
    boot start "${initrd[@]}" --once "$(words pivot_root disk)"
    came_up 10.71.0.
}
boot stop
test_case "boot wrong: a system comes up" came_up_again
tgtd_kill || true
target_start
cp --sparse=always "$work/foreign.img" "$work/disk.img"
tgtd_target disk 0 serial=another
test_case "boot wrong: behind its root is another disk: told, and started anew" another_disk_is_seen
