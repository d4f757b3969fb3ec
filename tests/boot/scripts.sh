#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/boot/scripts.sh: the functions of the initramfs's scripts, in dash: those that
# read a disk, on images made here, held against util-linux; the network, with
# programs that only write down what they were told; what happens after a failure.
# BUILD: of lunstick.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${here%/tests/boot}
# shellcheck source=../../hw/common.sh
. "$root/hw/common.sh"
# shellcheck source=../lib.sh
. "$root/tests/lib.sh"
need_packages dash fdisk bsdextrautils
program=$(readlink -f "${BUILD:-$root/build/dev}/lunstick-boot" || true)
[ -x "$program" ] || die "lunstick-boot is not built" "cmake --preset dev && cmake --build --preset dev"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
top=$work/top
mkdir "$work/programs"
ln -s "$program" "$work/programs/lunstick-boot"

# in_sh SCRIPT: with the scripts' functions, on $work/disk; what the console gets is on
# stdout
in_sh() {
    PATH=$work/programs:$PATH top=$top dash -uc "for lib in '$root'/boot/initramfs/lib/*.sh; do . \"\$lib\"; done
        device=$work/disk
        say() { echo \"lunstick: \$*\"; }
        $1"
}

equal() { [ "$1" = "$2" ] || { diff <(echo "$1") <(echo "$2"); return 1; }; }

# machine FILE...: nothing but these files, which are empty
machine() {
    local file
    rm -rf "$top"
    mkdir -p "$top/run/lunstick/lease"
    for file; do
        mkdir -p "$top/${file%/*}"
        : >"$top/$file"
    done
}

# partuuids_are LABEL BLOCK_BYTES FDISK_LETTERS: label, and what each partition needs
# behind "new"
partuuids_are() {
    local block=$2 number want
    rm -f "$work/disk"
    truncate -s 64M "$work/disk"
    # shellcheck disable=SC2086
    { echo "$1"; for number in 1 2 3; do printf '%s\n' n ${3:-} $number '' +8M; done; echo w; } |
        fdisk -b "$block" -w always "$work/disk" >/dev/null || return
    for number in 1 2 3; do
        case $1 in
        g) want=$(fdisk -b "$block" -lo Device,UUID "$work/disk" | sed -n "s/^${work//\//\\/}\/disk$number *//p") ;;
        o) want=$(fdisk -b "$block" -l "$work/disk" | sed -n "s/^Disk identifier: 0x\(.*\)/\1-0$number/p") ;;
        esac
        [ -n "$want" ] && [ "${want,,}" = "$(in_sh "block_bytes() { echo $block; }; partuuid $number")" ] ||
            { echo "partition $number should be $want"; return 1; }
    done
}

no_table_has_none() {
    rm -f "$work/disk"
    truncate -s 1M "$work/disk"
    [ -z "$(in_sh 'block_bytes() { echo 512; }; partuuid 1' || true)" ]
}

# ---- what the disk is said to have

odd_labels_are_told() {
    equal "nbd0p1 (vfat, Anna's), nbd0p2 (unknown)" "$(in_sh 'volumes() { echo nbd0p1 nbd0p2; }
        volume_has() { case $* in
            "nbd0p1 TYPE") echo vfat ;;
            "nbd0p1 LABEL") echo "Anna'"'"'s" ;;
        esac; }
        volumes_told')"
}

nothing_moves_the_cursor() {
    machine dev/console
    top=$top dash -uc ". '$root/boot/initramfs/lib/console.sh'; say \"\$1\"" - $'a \033[2J\r\tb\177\302\265' || return
    equal "lunstick: a [2Jb"$'\302\265' "$(cat "$top/dev/console")"
}

# image_options OWN_WORDS: which type and flags root gets, of an image that has both
image_options() {
    machine image/boot/cmdline.txt
    echo 'root=PARTUUID=aa-02 rootfstype=ext4 rootflags=noatime ro' >"$top/image/boot/cmdline.txt"
    echo "$1" >"$work/words"
    in_sh "eval \"\$(lunstick-boot words --cmdline $work/words --defaults /dev/null)\""'
        mount_boot() { :; }
        umount() { :; }
        image_words
        echo "$image_root_by $image_root_value $root_type $root_flags"'
}

own_options_come_first() {
    equal "partuuid aa-02 ext4 noatime" "$(image_options '')" &&
        equal "partuuid aa-02 btrfs subvol=a" "$(image_options 'rootfstype=btrfs rootflags=subvol=a')"
}

overlay_has_its_own_fstab() {
    machine sysroot/etc/fstab
    printf '%s\n' '# comment' '/dev/mmcblk0p2 / ext4 defaults 0 1' 'PARTUUID=1-01	/boot/firmware vfat defaults 0 2' \
        'UUID=2 none swap sw 0 0' 'tmpfs /tmp tmpfs nosuid' >"$top/sysroot/etc/fstab"
    in_sh own_fstab && equal "# comment
# /dev/mmcblk0p2 / ext4 defaults 0 1
PARTUUID=1-01 /boot/firmware vfat defaults,ro,nofail 0 0
# UUID=2 none swap sw 0 0
tmpfs /tmp tmpfs nosuid" "$(cat "$top/sysroot/etc/fstab")" &&
        equal "lunstick: error: the image's /etc/fstab cannot be changed (lunstick.overlay=tmpfs)" \
            "$(in_sh 'cat() { false; }; own_fstab || :')"
}

# ---- links of the image

# init_is FILE: what the image's init is found to be
init_is() {
    equal "/sbin/init $top/sysroot$1" "$(in_sh 'root=nbd0p2 init=""
        runs_here() { :; }
        find_init && echo "$init_found $file"')"
}

init_in_linked_directories() {
    machine sysroot/usr/lib/systemd/systemd
    chmod 755 "$top/sysroot/usr/lib/systemd/systemd"
    mkdir "$top/sysroot/usr/sbin"
    ln -s /usr/lib "$top/sysroot/lib"
    ln -s ../../usr/sbin "$top/sysroot/sbin"
    ln -s ../../lib/systemd/systemd "$top/sysroot/usr/sbin/init"
    init_is /usr/lib/systemd/systemd
}

# /sbin/init is a directory, and the next one leads to this machine's.
no_init() {
    machine sysroot/sbin/init/file
    mkdir "$top/sysroot/bin"
    ln -s /bin/sh "$top/sysroot/bin/init"
    equal "lunstick: error: no init on /dev/nbd0p2: is it the root of a system? lunstick.root= names another" \
        "$(in_sh 'root=nbd0p2 init=""; find_init || :')" &&
        equal "lunstick: error: init=/sbin/init: the image has no such program" \
            "$(in_sh 'root=nbd0p2 init=/sbin/init; find_init || :')"
}

# ---- the network

bad_root_path_is_told() {
    machine
    echo "iscsi:192.0.2.1:17::0:iqn.2001-04.com.example:a" >"$top/run/lunstick/lease/rootpath"
    in_sh 'plan_with_lease' | grep -x "lunstick: DHCP's root path: protocol '17' is not 6, which is TCP"
}

# told SCRIPT: what programs are told, a line each, and the console
told() {
    in_sh 'for name in ip kill modprobe mount umount udhcpc; do
            eval "$name() { echo $name \"\$@\"; }"
        done
        '"$1"
}

another_attempt_asks_anew() {
    machine run/lunstick/lease/ip
    equal "kill 77
ip -4 addr flush dev eth0.5" "$(told 'net=eth0.5 lease_keeper=77; forget_lease')" && [ ! -e "$top/run/lunstick/lease" ] &&
        equal "" "$(told 'net=eth0; forget_lease')"
}

address_not_taken() {
    machine
    equal "lunstick: error: eth0 does not take the address fd00::2/64 (lunstick.ip=)" \
        "$(in_sh 'ip() { false; }; net=eth0 ip_client=fd00::2 ip_prefix=64 ip_gateway=""; static_address || :')"
}

# reached PORTAL METHOD HAVE: whether DHCP is asked on the way to the portal, on an
# interface that has addresses of these kinds; DHCP brings none
reached() {
    machine
    in_sh "url_1='$1' ip_method=$2 have=$3 net=eth0 timeout=0 dhcp_asked=''"'
        attempt_began
        attempt_is_over() { [ -n "$dhcp_asked" ]; }
        have_ipv4() { [ "$have" = 4 ]; }
        have_ipv6() { [ "$have" = 6 ]; }
        udhcpc() { false; }
        usleep() { echo asked; }
        dynamic_address " or a router" && echo goes on' | xargs
}

# A router may be quicker than the DHCP server that has the address or the portal.
dhcp_is_asked_where_it_matters() {
    local none='lunstick: error: no address from DHCP or a router on eth0 (waited 0 s)'
    equal "goes on" "$(reached iscsi://192.0.2.1/eui.1/0 any 4)" &&
        equal "asked goes on" "$(reached iscsi://192.0.2.1:3261/eui.1/0 any 6)" &&
        equal "asked goes on" "$(reached iscsi://a.b/eui.1/0 any 6)" &&
        equal "asked goes on" "$(reached '' any 6)" &&
        equal "goes on" "$(reached 'iscsi://me@[2001:db8::1]:3261/eui.1/0' any 6)" &&
        equal "asked goes on" "$(reached 'iscsi://[2001:db8::1]/eui.1/0' any 4)" &&
        equal "asked $none" "$(reached '' any 0)"
}

# Its driver may be a module that nothing else asks for.
has_ipv6() { told 'ip_method=off; configured_interface() { :; }; network_up' | grep -x "modprobe -q ipv6"; }

configured_interface_is_taken() {
    equal "eth1 eth1" "$(in_sh 'interfaces() { echo eth0; echo eth1; echo eth2; }
        have_ipv4() { false; }
        have_ipv6() { [ $net = eth1 ]; }
        configured_interface; echo $net $link')"
}

# What managers are told is told by name. The image's udev must not give another one,
# as it can while the interface is up, since Linux 6.2.
names_are_kept() {
    machine
    told 'net=eth0.5 link=eth0 ip_dns=""; have_ipv6() { false; }; guard_network' &&
        for name in eth0 eth0.5; do
            equal "[Match]
OriginalName=$name
[Link]" "$(cat "$top/run/systemd/network/00-lunstick-$name.link")" &&
                grep -x "Name=$name" "$top/run/systemd/network/00-lunstick-$name.network" &&
                grep -x "match-device=interface-name:$name" "$top/run/NetworkManager/conf.d/lunstick-$name.conf" &&
                grep -x "$name=$name" "$top/run/network/ifstate" || return
        done
}

# networkd METHOD: what systemd-networkd is told of an interface with an IPv6 address
# that came by METHOD
networkd() {
    machine
    mkdir -p "$top/run/systemd/network"
    in_sh "ip_dns='192.0.2.1' ip_method=$1"'
        have_ipv6() { [ $net = eth0.5 ]; }
        guard_networkd eth0.5' && cat "$top/run/systemd/network/00-lunstick-eth0.5.network"
}

# It takes over from the kernel: without, that address would come to its end.
networkd_hears_routers() {
    equal "[Match]
Name=eth0.5
[Network]
KeepConfiguration=yes
DHCP=no
LinkLocalAddressing=ipv6
IPv6AcceptRA=yes
DNS=192.0.2.1
[IPv6AcceptRA]
DHCPv6Client=no" "$(networkd any)" && networkd static | grep -x 'IPv6AcceptRA=no'
}

# dhcpcd passes over what stands behind `interface` of another one.
dhcpcd_is_guarded() {
    machine sysroot/etc/dhcpcd.conf
    printf '%s\n' 'interface wlan0' 'static ip_address=10.0.0.9/8' >"$top/sysroot/etc/dhcpcd.conf"
    told 'interfaces_used="eth0.5 eth0"; guard_dhcpcd' &&
        equal "denyinterfaces eth0.5 eth0
interface wlan0
static ip_address=10.0.0.9/8" "$(cat "$top/run/lunstick/dhcpcd.conf")"
}

# ---- after a failure

nothing_is_left_mounted() {
    equal "umount /sysroot
umount /lower
umount /upper
umount /image/boot
umount /image/root" "$(told 'mountpoint() { :; }; session_end')"
}

# usb_disk PROBE_STATUS TIMEOUT: what the console gets where the target cannot be had
usb_disk() {
    machine
    told "has_udc() { :; }; mountpoint() { :; }; find_secret() { :; }; keep_lease() { :; }
        lunstick() { echo 'lunstick probe: it is away' >&2; return $1; }
        lunstickd() { echo 'without end'; return 2; }
        timeout=$2 url=iscsi://192.0.2.1/iqn.2001-04.com.example:a/0 secret=''
        attempt_began
        usb_disk_mode" | grep -v ^modprobe
}

usb_disk_has_its_time() {
    equal "lunstick: error: it is away" "$(usb_disk 1 1)" && equal "lunstick: error: it is away" "$(usb_disk 2 1000)"
}

# The disk may be another one as soon as it is mapped.
other_disk_knows_what_to_do() {
    machine
    equal "lunstick: error: shell" "$(in_sh 'timeout=9 on_failure=shell url=iscsi://192.0.2.1/iqn.2001-04.com.example:a/0
        modprobe() { :; }
        lunstick() { cat "$top/run/lunstick/on-failure" >&2; return 1; }
        attempt_began
        map_disk')"
}

# ends SCRIPT: process 1 does; what it says instead of a kernel's panic
ends() {
    in_sh 'on_failure=retry
        sleep() { :; }
        reboot() { echo reboot $*; }
        console_shell() { echo "a shell until $1"; }
        trap at_end EXIT
        init_args="" root=nbd0p2 init_found=/sbin/init
        '"$1" 2>/dev/null || true
}

process_1_does_not_end() {
    machine
    equal "lunstick: error: /dev/nbd0p2 cannot be made root
lunstick: reboot in 5 s
reboot -f" "$(ends 'mount() { false; }
            mkdir() { :; }
            rm() { :; }
            change_root')" &&
        equal "lunstick: error: it cannot
a shell until a reboot
lunstick: reboot in 5 s
reboot -f" "$(ends 'on_failure=shell end_said="it cannot"; exec /not/there')"
}

check "boot scripts: PARTUUID of an MBR" partuuids_are o 512 p
check "boot scripts: PARTUUID of a GPT" partuuids_are g 512
check "boot scripts: PARTUUID of a GPT, 4096-byte blocks" partuuids_are g 4096
check "boot scripts: no partition table, no PARTUUID" no_table_has_none
check "boot scripts: odd labels are told" odd_labels_are_told
check "boot scripts: nothing moves the console's cursor" nothing_moves_the_cursor
check "boot scripts: rootfstype= and rootflags= come before the image's" own_options_come_first
check "boot scripts: fstab of an overlay" overlay_has_its_own_fstab
check "boot scripts: init behind links that lead to the image's top" init_in_linked_directories
check "boot scripts: no init" no_init
check "boot scripts: a faulty root path is told" bad_root_path_is_told
check "boot scripts: another attempt asks DHCP anew" another_attempt_asks_anew
check "boot scripts: a static address that is not taken" address_not_taken
check "boot scripts: DHCP is asked, though a router was quicker" dhcp_is_asked_where_it_matters
check "boot scripts: the module of IPv6" has_ipv6
check "boot scripts: with ip=off, the interface that has an address" configured_interface_is_taken
check "boot scripts: root's interfaces keep their names" names_are_kept
check "boot scripts: systemd-networkd renews the address that routers gave" networkd_hears_routers
check "boot scripts: dhcpcd keeps off, whatever its file has" dhcpcd_is_guarded
check "boot scripts: nothing is left mounted for the next attempt" nothing_is_left_mounted
check "boot scripts: usb-disk has lunstick.timeout= seconds for its target" usb_disk_has_its_time
check "boot scripts: on-failure= is known before there is a disk" other_disk_knows_what_to_do
check "boot scripts: process 1 does not end without a word" process_1_does_not_end
