#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/boot/build.sh: what boot/build-initramfs makes of Debian's kernels and of
# packages made here in the form of Raspberry Pi OS's; what it refuses, and how.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=${here%/tests/boot}
# shellcheck source=../../hw/common.sh
. "$top/hw/common.sh"
# shellcheck source=../lib.sh
. "$top/tests/lib.sh"
need_packages cpio kmod xz-utils zstd qemu-user-static
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

# Where `check` calls, `set -e` does not hold: steps are joined by &&.

equal() { [ "$2" = "$3" ] || { echo "$1: not as it should be"; diff <(echo "$2") <(echo "$3"); return 1; }; }

# build OUT ARG...: to $work/OUT; what it says is in $work/OUT.said.
build() {
    "$top/boot/build-initramfs" -o "$work/$1" "${@:2}" >"$work/$1.said" 2>&1 ||
        { cat "$work/$1.said"; return 1; }
}

# unpacked OUT: below $work/OUT.d, once.
unpacked() {
    [ ! -d "$work/$1.d" ] || return 0
    mkdir "$work/$1.d"
    case $(head -c 4 "$work/$1" | od -An -tx1) in
    ' 28 b5 2f fd') zstd -qdc "$work/$1" ;;
    ' fd 37 7a 58') xz -dc "$work/$1" ;;
    esac | (cd "$work/$1.d" && cpio -i --quiet --no-absolute-filenames)
}

# refused WANTED ARG...: it ends with an error, in which WANTED is, and makes nothing.
refused() {
    local wanted=$1
    ! build refused "${@:2}" >"$work/said" || { echo "not refused"; return 1; }
    grep -qF -e "$wanted" "$work/said" || { echo "should say: $wanted"; cat "$work/said"; return 1; }
    [ ! -e "$work/refused" ]
}

# ---- Debian's kernels

# debian OUT SUITE: everything for a Pi 4.
debian() { LUNSTICK_SIM_SUITE=$2 build "$1" --board pi4; }

fits() {
    local bytes
    bytes=$(stat -c %s "$work/$1")
    echo "$bytes bytes"
    [ "$bytes" -le 2000000 ]
}

contents() {
    unpacked "$1" && equal "mode" 644 "$(stat -c %a "$work/$1")" && equal "files beside the modules" "$(sort <<END
bin/busybox 755
bin/kexec 755
bin/lunstick-boot 755
bin/lunstickd 755
bin/unzstd 755
etc/group 644
etc/lunstick/defaults 644
etc/passwd 644
init 755
shutdown 755
usr/share/lunstick/configfs-templates/disk.scheme 644
$(cd "$top/boot/initramfs" && find lib -type f -printf 'lib/lunstick/%f 755\n')
lib/lunstick/modules 644
END
    )" "$(cd "$work/$1.d" && find . -path ./lib/modules -prune -o -type f -printf '%P %m\n' | sort)" &&
        equal "links" "$({ echo 'bin/lunstick lunstickd'
            qemu-aarch64-static "$work/$1.d/bin/busybox" --list | sed 's#.*#bin/& busybox#'; } | sort)" \
            "$(cd "$work/$1.d" && find . -type l -printf '%P %l\n' | sort)"
}

programs_are_static() {
    local program
    for program in busybox kexec lunstick-boot lunstickd unzstd; do
        equal "$program" "AArch64 0" "$(readelf -hlW "$work/$1.d/bin/$program" |
            awk '/Machine:/ { machine = $2 } /INTERP|DYNAMIC/ { n++ } END { print machine, n + 0 }')" || return
    done
    qemu-aarch64-static "$work/$1.d/bin/busybox" true &&
        qemu-aarch64-static "$work/$1.d/bin/kexec" --version &&
        equal unzstd words "$(echo words | zstd -q | qemu-aarch64-static "$work/$1.d/bin/unzstd")" &&
        qemu-aarch64-static "$work/$1.d/bin/lunstick" --version
}

# The scripts' own commands, as far as they stand at the beginning of one, and what a
# shell on the console needs.
applets() {
    local list missing
    list=$(qemu-aarch64-static "$work/$1.d/bin/busybox" --list)
    missing=$(printf '%s\n' sh ash mount umount switch_root pivot_root modprobe insmod rmmod lsmod ip \
        udhcpc findfs blkid blockdev hexdump od cpio gzip gunzip zcat xz unxz xzcat sed awk find grep \
        sort head tail tr cut cat cp mv rm ln mkdir rmdir mknod ls chmod chroot sleep date echo printf \
        test kill killall ps dmesg reboot poweroff halt sync setsid cttyhack uname readlink realpath \
        stat mountpoint ping ping6 nslookup wc xargs env timeout tee md5sum sha256sum |
        grep -vxFf <(echo "$list") || true)
    equal "applets that busybox lacks" '' "$missing"
}

# Each module with what it needs: modprobe, from the initramfs's own index.
closed() {
    local dir=$work/$1.d/lib/modules module needs
    unpacked "$1" && cd "$dir"/* && [ "$(find . -name '*.ko' | wc -l)" -ge 30 ] &&
        while read -r module needs; do
            for module in "${module%:}" $needs; do
                [ -f "$module" ] || { echo "$module is in modules.dep and not there"; return 1; }
            done
        done <modules.dep &&
        equal "modules in the index" "$(find . -name '*.ko' -printf '%P\n' | sort)" \
            "$(cut -d: -f1 modules.dep | sort)" &&
        ! find . -name '*.ko' -exec head -c 4 {} \; | tr -d '\177' | sed 's/ELF//g' | grep .
}

# has OUT MODULE...: as files or built in.
has() {
    local name
    unpacked "$1" || return
    for name in "${@:2}"; do
        find "$work/$1.d/lib/modules" -name "$name.ko" | grep -q . ||
            grep -q "/$name\.ko\$" "$work/$1.d"/lib/modules/*/modules.builtin ||
            { echo "no module $name"; return 1; }
    done
}

# devices OUT MODALIAS...: what a Pi's devices say finds a driver.
devices() {
    local alias name pattern found
    for alias in "${@:2}"; do
        found=''
        while read -r _ pattern name; do
            # shellcheck disable=SC2053
            [[ $alias != $pattern ]] || found=$name
        done < <(cat "$work/$1.d"/lib/modules/*/modules.alias)
        [ -n "$found" ] || { echo "no driver for $alias"; return 1; }
    done
}

papers() {
    local dir=$work/6.1.licences tarball sum
    while read -r _ tarball _ sum; do
        sha256sum --check <<<"$sum  $(echo "$dir/${tarball}"_*.orig.tar.*)" &&
            grep -F " $sum |" "$top/THIRD-PARTY.md" || return
    done < <(grep -v '^#' "$top/hw/static/programs/sources")
    for sum in busybox-LICENSE kexec-COPYING; do
        grep -q 'GNU GENERAL PUBLIC LICENSE' "$dir/$sum" || return
    done
    cmp "$dir/programs/unzstd.c" "$top/hw/static/programs/unzstd.c" &&
        grep -q '^BSD License' "$dir/libzstd-LICENSE" &&
        cmp "$dir/programs/busybox.config" "$top/hw/static/programs/busybox.config" &&
        grep -q '^CONFIG_PIVOT_ROOT=y' "$dir/programs/busybox.config.all" && [ -s "$dir/musl-copyright" ] &&
        tar -tf "$dir/lunstickd-relink-aarch64.tar.gz" | grep '/relink.sh$' &&
        grep -F 'lib/modules/6.1.' "$dir/README.md"
}

image_beside() {
    cmp "$work/6.1.vmlinuz" "$({ LUNSTICK_SIM_SUITE=bookworm "$top/hw/sim/kernel"; } | head -n 1)" &&
        equal "device trees" "$(printf 'bcm2711-rpi-%s.dtb d00dfeed\n' 4-b 400 cm4-io)" \
            "$(cd "$work/6.1.dtbs" && for file in *; do echo "$file $(head -c 4 "$file" | od -An -tx1 | tr -d ' ')"; done)"
}

check "initramfs: for a Pi 4 with Debian's 6.1" debian 6.1 bookworm
check "initramfs: for a Pi 4 with Debian's 6.12" debian 6.12 trixie
check "initramfs: for a Pi 4 with 6.1 at most 2.0 MB" fits 6.1
check "initramfs: for a Pi 4 with 6.12 at most 2.0 MB" fits 6.12
check "initramfs: its files and their modes" contents 6.1
check "initramfs: its programs are static, for arm64, and run" programs_are_static 6.1
check "initramfs: busybox has what the scripts need" applets 6.1
pi4=(nbd genet broadcom libphy dwc2 phy-generic xhci-pci reset-raspberrypi bcm2835_wdt usb_f_fs
     libcomposite configfs 8021q ext4 vfat nls_cp437 nls_ascii overlay)
devices=('of:NethernetT(null)Cbrcm,bcm2711-genet-v5' 'mdio:01100000000011011000010010100010'
         'of:NusbT(null)Cbrcm,bcm2835-usb' 'of:NphyT(null)Cusb-nop-xceiv' 'platform:bcm2835-wdt')
for version in 6.1 6.12; do
    check "initramfs: $version: each module has what it needs, not compressed" closed $version
    check "initramfs: $version: the modules of a Pi 4" has $version "${pi4[@]}"
    check "initramfs: $version: a Pi 4's devices find their drivers" devices $version "${devices[@]}"
done
check "initramfs: licences, sources and relinking kit beside it" papers
check "initramfs: Debian's kernel and its device trees beside it" image_beside

# ---- a package in the form of Raspberry Pi OS's: modules in .xz, for two processors,
# ---- the Pi's own drivers built in

rpi=6.12.25+rpt-rpi-v8
pi() {
    local tree version file name to=$work/rpi/lib/modules/$rpi builtin=(macb broadcom libphy ipv6)
    tree=$(LUNSTICK_SIM_SUITE=bookworm "$top/hw/sim/kernel" | tail -n 1)
    mkdir -p "$to/kernel" "$work/rpi/boot" "$work/rpi/DEBIAN"
    LUNSTICK_SIM_SUITE=bookworm "$top/hw/sim/kernel" modules nbd ext4 overlay libcomposite usb_f_fs dwc2 >"$work/files"
    while read -r file; do
        name=$to/${file#"$tree"/}.xz
        mkdir -p "${name%/*}"
        xz -0 -c "$file" >"$name"
    done <"$work/files"
    find "$to" -name '*.ko.xz' -printf '%P\n' >"$to/modules.order"
    printf 'kernel/drivers/%s.ko\n' "${builtin[@]}" >"$to/modules.builtin"
    printf '%s\0' macb.alias='of:N*T*Craspberrypi,rp1-gemC*' macb.alias='of:N*T*Craspberrypi,rp1-gem' \
        >"$to/modules.builtin.modinfo"
    printf 'CONFIG_%s=y\n' RD_XZ RD_ZSTD NBD >"$work/rpi/boot/config-$rpi"
    # 40 is a 32-bit Arm's
    version=$work/rpi/lib/modules/${rpi%8}7/kernel
    mkdir -p "$version"
    { head -c 18 "$file"; printf '\050\000'; tail -c +21 "$file"; } >"$version/nbd.ko"
    printf '%s\n' "Package: linux-image-$rpi" "Version: 1:6.12.25-1+rpt1" 'Architecture: arm64' \
        'Maintainer: nobody <nobody@lunstick.invalid>' 'Description: a kernel' >"$work/rpi/DEBIAN/control"
    dpkg-deb -Zgzip -b "$work/rpi" "$work/rpi.deb"
}

options=(--board pi5 --compress=xz --secret-file "$work/secret" --portal 192.0.2.1:3261 --mode pivot_root
         --words 'lunstick.on-failure=next-target scsipub.iqn=iqn.2001-04.com.example:a')
echo 'secret of the disk' >"$work/secret"

pi5() {
    build pi5 --kernel "$work/rpi.deb" "${options[@]}" &&
        grep "$rpi: [0-9]* modules for pi5" "$work/pi5.said" &&
        grep "left out: ${rpi%8}7 has no modules for arm64" "$work/pi5.said"
}

built_in_is_told() {
    unpacked pi5 && equal "modules.builtin" \
        "$(printf 'kernel/drivers/%s.ko\n' macb ipv6)" "$(cat "$work/pi5.d/lib/modules/$rpi/modules.builtin")"
}

xz_for_the_kernel() { [[ $(xz --robot -l "$work/pi5") == *CRC32* ]]; }

secret() {
    equal "mode" 600 "$(stat -c %a "$work/pi5")" && unpacked pi5 &&
        cmp "$work/secret" "$work/pi5.d/etc/lunstick/secret" &&
        equal "mode and owner in it" "-rw------- root root" \
            "$(xz -dc "$work/pi5" | cpio -tv --quiet etc/lunstick/secret | awk '{ print $1, $3, $4 }')"
}

words() {
    equal "defaults" "lunstick.portal=192.0.2.1:3261 scsipub.mode=pivot_root lunstick.on-failure=next-target \
scsipub.iqn=iqn.2001-04.com.example:a" "$(cat "$work/pi5.d/etc/lunstick/defaults")"
}

package_is_named() { grep -F "linux-image-$rpi 1:6.12.25-1+rpt1" "$work/pi5.licences/README.md"; }

# From somewhere else, with another umask and the kernel from a directory.
again() (
    umask 077
    mkdir "$work/elsewhere" && cd "$work/elsewhere" && export TMPDIR=$PWD &&
        build again --kernel "$work/rpi" "${options[@]}" && cmp "$work/pi5" "$work/again"
)

# A tree without an index, which is left without one; and a package.
two_kernels() {
    local other=6.12.30-v8+
    mkdir -p "$work/tree/usr/lib/modules" &&
        cp -r "$work/rpi/lib/modules/$rpi" "$work/tree/usr/lib/modules/$other" &&
        build two --kernel "$work/tree" --kernel "$work/rpi.deb" && unpacked two &&
        grep "$other will not do for pi3" "$work/two.said" && grep "$other: [0-9]* modules for pi5" "$work/two.said" &&
        equal "module trees" "$(printf '%s\n' "$rpi" "$other" | sort)" "$(ls "$work/two.d/lib/modules")" &&
        has two nbd && [ ! -e "$work/tree/usr/lib/modules/$other/modules.dep" ]
}

check "initramfs: a package like Raspberry Pi OS's is made" pi
check "initramfs: its 64-bit modules, for the board that it has drivers for" pi5
check "initramfs: what is built in is told to modprobe" built_in_is_told
check "initramfs: xz as the kernel reads it" xz_for_the_kernel
check "initramfs: a secret is nobody else's" secret
check "initramfs: the builder's words" words
check "initramfs: the kernel's package is named" package_is_named
check "initramfs: the same input makes the same bytes" again
check "initramfs: several kernels, from a package and a directory" two_kernels

# ---- what it refuses

tree=$work/rpi
without() {
    rm -rf "$work/without"
    cp -r "$work/rpi" "$work/without"
    find "$work/without" -name "$1.ko*" -delete
    sed -i "/CONFIG_$1=/d" "$work"/without/boot/config-*
}
lacks_nbd() { without nbd && refused "the local disk (nbd)" --kernel "$work/without" --board pi5; }
lacks_gadget() {
    without usb_f_fs && refused "USB gadgets (usb_f_fs)" --kernel "$work/without" --board pi5 --mode usb-disk
}
lacks_zstd() { without RD_ZSTD && refused "fix: --compress xz" --kernel "$work/without" --board pi5; }
only_32_bit() {
    mkdir -p "$work/32/lib/modules" && cp -r "$work/rpi/lib/modules/${rpi%8}7" "$work/32/lib/modules/" &&
        refused "there is no kernel for arm64" --kernel "$work/32"
}
not_a_package() { echo no >"$work/no.deb" && refused "no.deb cannot be unpacked" --kernel "$work/no.deb"; }

check "initramfs: refuses a board that it does not know" refused "did you mean pi4?" --board pi4b
check "initramfs: refuses a mode that it does not know" refused "did you mean pivot_root?" --mode pivotroot
check "initramfs: refuses an option that it does not know" refused "did you mean --board?" --bord pi4
check "initramfs: refuses an option without its value" refused "--kernel needs a value" --kernel
check "initramfs: refuses a compression that it does not know" refused "one of: zstd xz" --compress lz4
check "initramfs: refuses a wrong word, with the nearest right one" \
    refused "did you mean lunstick.timeout?" --kernel "$tree" --words lunstick.timeut=5
check "initramfs: refuses a kernel without the board's Ethernet" \
    refused "the Ethernet of a Pi 4" --kernel "$tree" --board pi4,pi5
check "initramfs: says which boards are left" refused "or --board pi5" --kernel "$tree" --board pi4,pi5
check "initramfs: refuses a kernel without nbd" lacks_nbd
check "initramfs: refuses a kernel without USB gadgets for usb-disk" lacks_gadget
check "initramfs: refuses a kernel that cannot read it" lacks_zstd
check "initramfs: refuses kexec with a kernel that cannot" refused "CONFIG_KEXEC" --kernel "$tree" --mode kexec
check "initramfs: refuses a kernel that is there twice" \
    refused "is given twice" --kernel "$tree" --kernel "$work/rpi.deb"
check "initramfs: refuses a kernel for 32 bits" only_32_bit
check "initramfs: refuses a file that is no package" not_a_package
check "initramfs: refuses a directory without modules" refused "has no kernel modules" --kernel "$work"
check "initramfs: refuses a kernel that is not there" refused "there is no" --kernel "$work/nowhere"
check "initramfs: refuses a secret that is not there" refused "can be read" --secret-file "$work/nowhere"
