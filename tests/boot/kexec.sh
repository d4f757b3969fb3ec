#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/boot/kexec.sh: what the initramfs does before kexec, in dash, on a machine and
# an image that are made here: refusals, the image's modules in all their packings,
# the second initramfs, the kernel, the order of the end. BUILD: of lunstick.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${here%/tests/boot}
# shellcheck source=../../hw/common.sh
. "$root/hw/common.sh"
# shellcheck source=../lib.sh
. "$root/tests/lib.sh"
need_packages dash cpio xz-utils zstd
program=$(readlink -f "${BUILD:-$root/build/dev}/lunstick-boot" || true)
[ -x "$program" ] || die "lunstick-boot is not built" "cmake --preset dev && cmake --build --preset dev"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
top=$work/top
dtb=$top/sys/firmware/devicetree/base

# in_sh SCRIPT: with the scripts' functions; what the console gets is on stdout.
in_sh() {
    PATH=$work/programs:$PATH top=$top dash -uc "for lib in '$root'/boot/initramfs/lib/*.sh; do . \"\$lib\"; done
        say() { echo \"lunstick: \$*\"; }
        boot='' link=eth0
        $1"
}

# says LINE SCRIPT: fails, with this line on the console.
says() {
    local out
    ! out=$(in_sh "$2") || { echo "no failure; it says: $out"; return 1; }
    [ "$out" = "lunstick: error: $1" ] || { echo "should say: $1"; echo "says: $out"; return 1; }
}

equal() { [ "$1" = "$2" ] || { diff <(echo "$1") <(echo "$2"); return 1; }; }

# ---- a machine: an Ethernet interface by a driver, a serial port, four processors

machine() {
    rm -rf "$work/top" "$work/programs"
    mkdir -p "$work/programs" "$top"/{bin,etc/lunstick,lib/{lunstick,modules/1.0},usr,run/lunstick,image/boot} \
        "$top"/proc/sys/kernel "$top"/sys/{kernel,class/{net,tty,block}} "$top"/sys/devices/system/cpu \
        "$top"/sys/devices/{soc/eth/net/eth0,soc/uart/uart:0/uart:0.0/tty/ttyAMA0} "$dtb"/{aliases,cpus/cpu@0,soc/serial@1}
    ln -s "$program" "$work/programs/lunstick-boot"
    # shellcheck disable=SC2016
    printf '%s\n' '#!/bin/sh' "printf '%s\n' \"\$*\" >>$work/kexec" '[ "$1" != -e ]' >"$work/programs/kexec"
    chmod 755 "$work/programs/kexec"
    : >"$work/kexec"
    ln -s "$dtb" "$top/proc/device-tree"
    echo 0 >"$top/sys/kernel/kexec_loaded"
    echo 0 >"$top/proc/sys/kernel/kexec_load_disabled"
    echo 0-3 >"$top/sys/devices/system/cpu/possible"
    printf 'psci\0' >"$dtb/cpus/cpu@0/enable-method"
    printf '/soc/serial@1\0' >"$dtb/aliases/serial0"
    ln -s "$dtb/soc/serial@1" "$top/sys/devices/soc/uart/of_node"
    ln -s ../../devices/soc/uart/uart:0/uart:0.0/tty/ttyAMA0 "$top/sys/class/tty/ttyAMA0"
    ln -s ../.. "$top/sys/devices/soc/uart/uart:0/uart:0.0/tty/ttyAMA0/device"
    ln -s ../../devices/soc/eth/net/eth0 "$top/sys/class/net/eth0"
    ln -s ../../../eth "$top/sys/devices/soc/eth/net/eth0/device"
    echo 'of:NethT(null)Cmaker,mac' >"$top/sys/devices/soc/eth/modalias"
    echo "console=ttyAMA0 scsipub.mode=kexec scsipub.iqn=iqn.2025-01.pub:a nr_cpus=1" >"$top/proc/cmdline"
    echo "/dev/nbd0p2 $top/image/root ext4 ro 0 0" >"$top/proc/mounts"
    # the initramfs
    echo busybox >"$top/bin/busybox"
    ln -s busybox "$top/bin/sh"
    ln -s lunstickd "$top/bin/lunstick"
    ln -s busybox "$top/bin/cat"
    echo 'hunter2hunter2' >"$top/etc/lunstick/secret"
    chmod 600 "$top/etc/lunstick/secret"
    touch "$top/init" "$top/shutdown" "$top/lib/lunstick/net.sh" "$top/lib/modules/1.0/old.ko"
    printf '%s\n' '# the list' 'need all nbd  # the local disk' 'need pi9 far-driver # far' \
        'want all ext4 gone' 'usb-disk all gadget' >"$top/lib/lunstick/modules"
}

# ---- an image: kernel 6.6, which has each of its modules in another packing

module() {
    local file=$1 text=$2 dir=$top/image/root/lib/modules/6.6
    mkdir -p "$dir/${file%/*}"
    case $file in
    *.xz) echo "$text" | xz ;;
    *.zst) echo "$text" | zstd -q ;;
    *.gz) echo "$text" | gzip ;;
    *) echo "$text" ;;
    esac >"$dir/$file"
}

image() {
    local dir=$top/image/root/lib/modules/6.6
    rm -rf "$top/image/root"
    mkdir -p "$top/image/root/boot"
    { head -c 56 /dev/zero; printf 'ARM\x64'; head -c 100 /dev/zero; printf 'Linux version 6.6 (x'; } >"$top/image/root/boot/vmlinuz-6.6"
    module kernel/nbd.ko.zst nbd
    module kernel/ext4.ko.xz ext4
    module kernel/crc-16.ko.gz crc-16
    module kernel/mac.ko mac
    module kernel/gadget.ko gadget
    printf '%s\n' 'kernel/nbd.ko.zst:' 'kernel/ext4.ko.xz: kernel/crc-16.ko.gz' 'kernel/crc-16.ko.gz:' \
        'kernel/mac.ko:' 'kernel/gadget.ko:' >"$dir/modules.dep"
    printf '%s\n' 'alias of:N*T*Cmaker,mac mac' 'alias fs-ext4 ext4' 'alias usb:x gadget' \
        'alias crc16 crc_16' >"$dir/modules.alias"
    echo kernel/drivers/loop.ko >"$dir/modules.builtin"
    printf 'loop.alias=block-major-7\0' >"$dir/modules.builtin.modinfo"
}

# ---- refusals before there is a disk

refuses_without_kexec() {
    machine
    rm "$top/sys/kernel/kexec_loaded"
    says "this kernel cannot start another one (CONFIG_KEXEC); scsipub.mode=pivot_root can do without" kexec_possible
}

refuses_if_disabled() {
    machine
    echo 1 >"$top/proc/sys/kernel/kexec_load_disabled"
    says "this kernel may not start another one (kernel.kexec_load_disabled=1); scsipub.mode=pivot_root can do without" kexec_possible
}

refuses_spin_tables() {
    machine
    printf 'spin-table\0' >"$dtb/cpus/cpu@0/enable-method"
    says "the processors of this machine cannot be stopped for another kernel: boot with nr_cpus=1 (the second one has them all)" kexec_possible &&
        echo 0 >"$top/sys/devices/system/cpu/possible" && in_sh kexec_possible
}

accepts_what_can() {
    machine
    in_sh kexec_possible && rm -r "$top/proc/device-tree" && in_sh kexec_possible
}

finds_serial_port() {
    machine
    equal ttyAMA0 "$(in_sh 'serial_port 0')" && equal '' "$(in_sh 'serial_port 1')" &&
        printf '/soc/none\0' >"$dtb/aliases/serial0" && equal '' "$(in_sh 'serial_port 0')"
}

# ---- the image

takes_modules() {
    machine
    image
    in_sh 'find_kernel && take_modules' || return
    (
        cd "$top/run/lunstick/next/lib/modules/6.6" &&
            equal "$(printf '%s\n' ./kernel/{crc-16,ext4,mac,nbd}.ko ./modules.{alias,builtin,dep})" \
                "$(find . -type f | sort)" &&
            for module in crc-16 ext4 mac nbd; do equal $module "$(cat kernel/$module.ko)" || return; done &&
            equal "$(printf '%s\n' 'kernel/nbd.ko:' 'kernel/ext4.ko: kernel/crc-16.ko' 'kernel/crc-16.ko:' 'kernel/mac.ko:')" \
                "$(cat modules.dep)" &&
            equal "$(printf '%s\n' 'alias of:N*T*Cmaker,mac mac' 'alias fs-ext4 ext4' 'alias crc16 crc_16')" \
                "$(cat modules.alias)"
    )
}

# missing NAME LINE: the image without that module
missing() {
    machine
    image
    sed -i "/^kernel\/$1\./d; s| kernel/$1.*||" "$top/image/root/lib/modules/6.6/modules.dep"
    says "$2" 'find_kernel && take_modules'
}

built_in_is_there() {
    machine
    image
    sed -i '/nbd/d' "$top/image/root/lib/modules/6.6/modules.dep"
    echo kernel/drivers/block/nbd.ko >>"$top/image/root/lib/modules/6.6/modules.builtin"
    in_sh 'find_kernel && take_modules'
}

damaged_module() {
    machine
    image
    echo damaged >"$top/image/root/lib/modules/6.6/kernel/ext4.ko.xz"
    says "the image's module kernel/ext4.ko.xz cannot be taken along: xz: $top/image/root/lib/modules/6.6/kernel/ext4.ko.xz: File format not recognized" \
        'find_kernel && take_modules'
}

no_modules() {
    machine
    image
    rm -r "$top/image/root/lib/modules/6.6"
    says "the image has no modules for its kernel 6.6 (/lib/modules/6.6)" 'find_kernel && take_modules'
}

# A disk with a Linux boot partition, p2, which was taken for root, and root on p3.
finds_root_behind_boot() {
    machine
    image
    local image=$top/image
    mv "$image/root" "$work/p3"
    mkdir -p "$image/root/loader/entries"
    mv "$work/p3/boot/vmlinuz-6.6" "$image/root/"
    printf '%s\n' 'linux /vmlinuz-6.6' 'options root=LABEL=sys rootfstype=ext4 rootflags=x' >"$image/root/loader/entries/a.conf"
    # shellcheck disable=SC2016
    in_sh 'root=p2 root_by="" root_type="" work='"$work"'
        find_volume() { [ "$1 $2" = "label sys" ] && echo p3; }
        umount() { mv "$1" "$work/p2" && mkdir "$1"; }
        mount_volume() { echo "$* $root_type" >>"$work/mounts"; rmdir "$2" && mv "$work/$1" "$2"; }
        find_kernel && follow_own_root && take_modules &&
            [ "$kernel" = "$top/image/boot/vmlinuz-6.6" ] && [ "$boot $root $root_type" = "p2 p3 " ]' &&
        equal "$(printf '%s\n' "p2 $image/boot ro " "p3 $image/root ro,x ext4")" "$(cat "$work/mounts")"
}

no_kernel() {
    machine
    image
    rm "$top/image/root/boot/vmlinuz-6.6"
    says "the image has no kernel: no config.txt with one (kernel8.img), no extlinux/extlinux.conf, no loader/entries, no /boot/vmlinuz-*" \
        find_kernel
}

packs() {
    machine
    image
    in_sh 'find_kernel && take_modules && pack' || return
    equal 600 "$(stat -c %a "$top/run/lunstick/next.cpio")" || return
    mkdir "$work/unpacked"
    (
        cd "$work/unpacked"
        { cpio -idm --quiet && cpio -idm --quiet; } <"$top/run/lunstick/next.cpio" &&
            equal "$(printf '%s\n' ./bin/{busybox,cat,lunstick,sh} ./etc/lunstick/secret ./init ./lib/lunstick/{modules,net.sh} \
                ./lib/modules/6.6/kernel/{crc-16,ext4,mac,nbd}.ko ./lib/modules/6.6/modules.{alias,builtin,dep} ./sbin ./shutdown)" \
                "$(find . ! -type d | LC_ALL=C sort)" && [ -d proc ] && [ -d dev ] && [ -d usr ] &&
            equal 600 "$(stat -c %a etc/lunstick/secret)"
    )
}

unpacks_kernel() {
    machine
    image
    local kernel=$top/image/root/boot/vmlinuz-6.6 head=$work/head
    cp "$kernel" "$work/plain"
    gzip -c "$work/plain" >"$kernel"
    in_sh 'find_kernel && unpack_kernel && [ "$kernel" = "$next.kernel" ]' &&
        cmp "$work/plain" "$top/run/lunstick/next.kernel" || return
    # an EFI program around it (CONFIG_EFI_ZBOOT)
    zstd -q "$work/plain" -fo "$work/payload"
    {
        printf 'MZ\0\0zimg\0\1\0\0'
        printf "\\x$(printf %02x $(($(stat -c %s "$work/payload") & 255)))\\x00\\x00\\x00"
        printf '\0\0\0\0\0\0\0\0zstd\0'
        head -c 31 /dev/zero
        printf '\x40\0\0\0PE\0\0\x64\xaa'
    } >"$head"
    truncate -s 256 "$head"
    cat "$head" "$work/payload" - >"$kernel" <<<"and what stands behind it"
    in_sh 'find_kernel && unpack_kernel' && cmp "$work/plain" "$top/run/lunstick/next.kernel"
}

# What kexec is told, and that it goes only when the session has ended.
goes() {
    machine
    image
    says "the image's kernel did not start" "session_end() { echo session_end >>$work/kexec; }
        say() { case \$* in error*) echo \"lunstick: \$*\" ;; *) echo \"\$*\" >>$work/kexec ;; esac; }
        url=iscsi://192.0.2.1/iqn.2025-01.pub:b/0
        kexec_mode" || return
    equal "starting the image's kernel 6.6, as /boot/vmlinuz-6.6 says
-l $top/image/root/boot/vmlinuz-6.6 --no-checks --initrd=$top/run/lunstick/next.cpio --command-line=scsipub.mode=pivot_root \
scsipub.iqn=iqn.2025-01.pub:b lunstick.portal=192.0.2.1:3260 lunstick.lun=0 console=ttyAMA0
session_end
-e" "$(cat "$work/kexec")" && [ ! -e "$top/run/lunstick/next" ] && [ ! -e "$top/run/lunstick/next.cpio" ]
}

hands_on_device_tree() {
    machine
    image
    # an empty one: the header, and the token that ends it
    printf '\xd0\x0d\xfe\xed\0\0\0\x2c\0\0\0\x28\0\0\0\x2c\0\0\0\x28\0\0\0\x11\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\4\0\0\0\11' \
        >"$top/sys/firmware/fdt"
    # shellcheck disable=SC2016
    printf '%s\n' '#!/bin/sh' 'for word; do case $word in --dtb=*) cp "${word#--dtb=}" '"$work/dtb"' ;; esac; done' >"$work/programs/kexec"
    in_sh "session_end() { :; }
        url=iscsi://192.0.2.1/iqn.2025-01.pub:a/0
        kexec_mode" >/dev/null
    cmp "$top/sys/firmware/fdt" "$work/dtb" && echo none >"$top/sys/firmware/fdt" &&
        says "$top/sys/firmware/fdt is no device tree" "say() { case \$* in starting*) ;; *) echo \"lunstick: \$*\" ;; esac; }
            url=iscsi://192.0.2.1/iqn.2025-01.pub:a/0
            kexec_mode"
}

takes_words_of_the_image() {
    machine
    image
    mkdir -p "$top/image/root/extlinux"
    printf '%s\n' 'label a' 'kernel /boot/vmlinuz-6.6' 'append root=LABEL=r quiet nr_cpus=2' >"$top/image/root/extlinux/extlinux.conf"
    in_sh "session_end() { :; }
        url=iscsi://192.0.2.1/iqn.2025-01.pub:a/0
        kexec_mode" >/dev/null
    grep -q ' root=LABEL=r quiet$' "$work/kexec"
}

refused_kernel() {
    machine
    image
    printf '%s\n' '#!/bin/sh' 'echo "kexec_load failed: Device or resource busy"' 'echo Cannot load' 'exit 255' >"$work/programs/kexec"
    ! in_sh "session_end() { echo too early; }
        url=iscsi://192.0.2.1/iqn.2025-01.pub:a/0
        kexec_mode" >"$work/out" &&
        grep -qx "lunstick: error: kexec does not take the image's kernel: kexec_load failed: Device or resource busy" "$work/out" &&
        ! grep -q 'too early' "$work/out"
}

check "boot kexec: refused without CONFIG_KEXEC" refuses_without_kexec
check "boot kexec: refused if it is disabled" refuses_if_disabled
check "boot kexec: refused with processors in spin tables, but for one" refuses_spin_tables
check "boot kexec: not refused elsewhere" accepts_what_can
check "boot kexec: the firmware's serial0 is the kernel's ttyAMA0" finds_serial_port
check "boot kexec: modules in xz, zstd, gzip and plain, with what they need" takes_modules
check "boot kexec: nbd missing in the image's kernel" \
    missing nbd "the image's kernel has no module nbd: the local disk"
check "boot kexec: root's file system missing" \
    missing ext4 "the image's kernel has no module ext4: the file system of root"
check "boot kexec: the network's driver missing" \
    missing mac "the image's kernel has no module of:NethT(null)Cmaker,mac: the driver of eth0"
check "boot kexec: nbd built in" built_in_is_there
check "boot kexec: a damaged module" damaged_module
check "boot kexec: an image without modules" no_modules
check "boot kexec: root behind a Linux boot partition" finds_root_behind_boot
check "boot kexec: an image without kernel" no_kernel
check "boot kexec: the second initramfs" packs
check "boot kexec: kernels in gzip, and in an EFI program" unpacks_kernel
check "boot kexec: the command line, and the session's end before the jump" goes
check "boot kexec: the device tree in use" hands_on_device_tree
check "boot kexec: the image's own words" takes_words_of_the_image
check "boot kexec: a kernel that is not taken" refused_kernel
