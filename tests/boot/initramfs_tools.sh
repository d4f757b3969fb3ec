#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/boot/initramfs_tools.sh: the hook in Debian's initramfs-tools, which run in a
# directory with their packages, on the arm64 kernel's modules. tests/vm boots such an
# initramfs. LUNSTICK_SIM_SUITE as in hw/sim/kernel.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=${here%/tests/boot}
# shellcheck source=../../hw/common.sh
. "$top/hw/common.sh"
# shellcheck source=../lib.sh
. "$top/tests/lib.sh"
suite=${LUNSTICK_SIM_SUITE:-bookworm}
build=$top/build/musl-arm64
[ "$(id -u)" -eq 0 ] || { skip "initramfs-tools" "needs root for chroot"; exit 0; }
[ -x "$build/lunstickd" ] && [ -x "$top/build/musl-amd64/lunstick-boot" ] ||
    die "the static programs are not there" "build the presets musl-arm64 and musl-amd64"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# Where `check` calls, `set -e` does not hold: steps are joined by &&.

{ read -r _; read -r modules; } < <("$top/hw/sim/kernel")
version=${modules##*/}
mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
ln -s usr/bin usr/sbin usr/lib usr/lib64 "$root"
fetch_debs_with_deps "$suite" amd64 "$LUNSTICK_CACHE/sim/debs" initramfs-tools zstd dash bash coreutils \
    sed grep findutils gzip dpkg mount util-linux debianutils libc-bin tar mawk >"$work/debs"
while read -r deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root" \
        --exclude ./usr/share/doc --exclude ./usr/share/man --exclude ./usr/share/locale
done <"$work/debs"
ln -sf dash "$root/usr/bin/sh"
ln -sf mawk "$root/usr/bin/awk"
mkdir -p "$root"/{boot,dev,etc/lunstick,proc,tmp,var/tmp} "$root/usr/lib/modules/$version"
printf 'CONFIG_RD_%s=y\n' ZSTD GZIP >"$root/boot/config-$version"
sed -i 's/^MODULES=.*/MODULES=list/' "$root/etc/initramfs-tools/initramfs.conf"
DESTDIR=$root cmake --install "$build" --prefix /usr >/dev/null
# what the hook itself calls runs here
cp "$top/build/musl-amd64/lunstick-boot" "$root/usr/lib/lunstick/boot/bin/"

# inside COMMAND...: with the kernel's modules, in a mount namespace of its own
inside() {
    unshare -m bash -c 'root=$1 modules=$2; shift 2
        mount --bind "$modules" "$root/usr/lib/modules/${modules##*/}" &&
            mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev" && exec chroot "$root" "$@"' \
        - "$root" "$modules" "$@"
}

# hook VERSION: alone, into /tmp/DESTDIR
hook() {
    rm -rf "$root/tmp/dest" && mkdir -p "$root/tmp/dest" &&
        inside env DESTDIR=/tmp/dest version="$1" __MODULES_TO_ADD=/tmp/added \
            /usr/share/initramfs-tools/hooks/lunstick
}

only_if_wanted() { rm -f "$root"/etc/lunstick/* && hook "$version" && [ -z "$(ls "$root/tmp/dest")" ]; }

made() {
    printf '%s\n' '# where the disks are' 'lunstick.portal=192.0.2.1 # the server' 'lunstick.timeut=5' \
        >"$root/etc/lunstick/initramfs"
    echo secret >"$root/etc/lunstick/initramfs.secret"
    inside mkinitramfs -o /tmp/initramfs "$version" >"$work/said" 2>&1 || { cat "$work/said"; return 1; }
    inside unmkinitramfs /tmp/initramfs /tmp/image || return
    # in parts, perhaps: early, main
    image=$(dirname "$(find "$root/tmp/image" -maxdepth 2 -type d -name lunstick)")
    ln -s "$image" "$work/image"
}

# As in the initramfs of boot/build-initramfs, below /lunstick.
files() {
    local file dir=$work/image/lunstick
    for file in init shutdown; do cmp "$top/boot/initramfs/$file" "$dir/$file" || return; done
    for file in "$top"/boot/initramfs/lib/*; do cmp "$file" "$dir/lib/lunstick/${file##*/}" || return; done
    for file in busybox kexec sh modprobe switch_root pivot_root lunstick lunstick-boot; do
        [ -x "$dir/bin/$file" ] || { echo "no $file"; return 1; }
    done
    cmp "$root/usr/sbin/lunstickd" "$dir/bin/lunstickd" && [ -f "$dir/etc/passwd" ] &&
        [ -f "$dir/usr/share/lunstick/configfs-templates/disk.scheme" ] &&
        cmp "$top/boot/initramfs-tools/script" "$work/image/scripts/lunstick"
}

has_modules() {
    local name
    for name in nbd genet smsc95xx lan78xx dwc2 overlay 8021q vfat libcomposite usb_f_fs virtio_net; do
        find "$root/tmp/image" -name "$name.ko*" | grep . || { echo "no $name"; return 1; }
    done
}

words() {
    [ "$(xargs <"$work/image/lunstick/etc/lunstick/defaults")" = "lunstick.portal=192.0.2.1 lunstick.timeut=5" ]
}

wrong_word() { grep -F 'did you mean lunstick.timeout?' "$work/said"; }

secret_is_kept() {
    [ "$(cat "$work/image/lunstick/etc/lunstick/secret")" = secret ] &&
        [ "$(stat -c %a "$work/image/lunstick/etc/lunstick/secret" "$root/tmp/initramfs" | xargs)" = "600 600" ]
}

no_nbd() { rm -f "$root/etc/lunstick/initramfs.secret" && hook 1.2.3 2>&1 | grep 'has no module nbd'; }

# without the hook's files the script says what to do
not_in_it() {
    inside dash -c 'panic() { echo "$*"; exit 3; }; . /usr/share/initramfs-tools/scripts/lunstick; mountroot' \
        >"$work/said"
    [ $? -eq 3 ] && grep -F 'touch /etc/lunstick/initramfs' "$work/said"
}

check "initramfs-tools: nothing unless /etc/lunstick/initramfs is there" only_if_wanted
check "initramfs-tools: mkinitramfs takes the hook" made
check "initramfs-tools: our files in it" files
check "initramfs-tools: the modules of every board" has_modules
check "initramfs-tools: the words of /etc/lunstick/initramfs, without comments" words
check "initramfs-tools: a wrong word is told, with the nearest right one" wrong_word
check "initramfs-tools: the secret is root's, and so is the image" secret_is_kept
check "initramfs-tools: a kernel without nbd is told" no_nbd
check "initramfs-tools: boot=lunstick without its files says what to do" not_in_it
