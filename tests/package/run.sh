#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/package/run.sh: the .deb of a built preset, and the relinking kit of a
# static one. BUILD names the build directory (default build/musl-arm64; release
# works, too). Installs nothing of it; writes to BUILD only what packing writes.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=../../hw/common.sh
. "$top/hw/common.sh"
# shellcheck source=../lib.sh
. "$top/tests/lib.sh"

build=${BUILD:-$top/build/musl-arm64}
case $build in /*) ;; *) build=$PWD/$build ;; esac
[ -e "$build/CPackConfig.cmake" ] || die "$build has no package" "build the preset first" 2
need_packages binutils systemd
grep -q '^LUNSTICK_STATIC:.*=ON' "$build/CMakeCache.txt" && static=1 || static=''
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:.*=//p' "$build/CMakeCache.txt")
case $(readelf -h "$build/lunstickd" | sed -n 's/.*Machine: *//p') in
AArch64) arch=arm64 ;;
*X86-64) arch=amd64 ;;
*) die "$build/lunstickd is for no architecture that is packaged" ;;
esac
# how a program of that architecture runs here
run=()
if [ "$arch" != "$(dpkg --print-architecture)" ]; then
    need_packages qemu-user-static
    run=(qemu-aarch64-static)
fi
[ -n "$static" ] || need_packages dpkg-dev file
[ "$static$arch" = 1arm64 ] && boot=1 || boot=''

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
deb=$work/lunstick_${version}_$arch.deb
root=$work/root

# Where `check` calls, `set -e` does not hold: steps are joined by &&.

# equal WHAT WANTED GOT
equal() { [ "$2" = "$3" ] || { echo "$1:"; diff <(echo "$2") <(echo "$3"); return 1; }; }

field() { dpkg-deb -f "$deb" "$1"; }

pinned() { grep -v '^#' "$top/hw/static/sources"; }
# of the programs that the static arm64 package has for the initramfs
pinned_programs() { [ -z "$boot" ] || grep -v '^#' "$top/hw/static/programs/sources"; }

# The umask of whoever packs must not show in the package.
pack() {
    (umask 077 && cpack -G DEB -B "$work" --config "$build/CPackConfig.cmake") &&
        dpkg-deb -x "$deb" "$root" && dpkg-deb -e "$deb" "$work/control"
}

control_fields() {
    equal Package lunstick "$(field Package)" &&
        equal Version "$version" "$(field Version)" &&
        equal Architecture "$arch" "$(field Architecture)" &&
        [ -n "$(field Maintainer)" ] && [ -n "$(field Description)" ]
}

dependencies() {
    local lib
    if [ -n "$static" ]; then
        equal Depends '' "$(field Depends)"
        return
    fi
    for lib in libc6 libiscsi libusbgx libaio libconfig; do
        [[ " $(field Depends)" = *" $lib"* ]] || { echo "no $lib in: $(field Depends)"; return 1; }
    done
}

# boot=lunstick of initramfs-tools
boot_contents() {
    [ -n "$boot" ] || return 0
    cat <<END
drwxr-xr-x root/root ./usr/lib/lunstick/
drwxr-xr-x root/root ./usr/lib/lunstick/boot/
-rw-r--r-- root/root ./usr/lib/lunstick/boot/applets
drwxr-xr-x root/root ./usr/lib/lunstick/boot/bin/
-rwxr-xr-x root/root ./usr/lib/lunstick/boot/bin/busybox
-rwxr-xr-x root/root ./usr/lib/lunstick/boot/bin/kexec
-rwxr-xr-x root/root ./usr/lib/lunstick/boot/bin/lunstick-boot
-rwxr-xr-x root/root ./usr/lib/lunstick/boot/bin/unzstd
drwxr-xr-x root/root ./usr/lib/lunstick/boot/etc/
-rw-r--r-- root/root ./usr/lib/lunstick/boot/etc/group
-rw-r--r-- root/root ./usr/lib/lunstick/boot/etc/passwd
-rwxr-xr-x root/root ./usr/lib/lunstick/boot/init
drwxr-xr-x root/root ./usr/lib/lunstick/boot/lib/
drwxr-xr-x root/root ./usr/lib/lunstick/boot/lib/lunstick/
$(cd "$top/boot/initramfs/lib" &&
  printf -- '-rwxr-xr-x root/root ./usr/lib/lunstick/boot/lib/lunstick/%s\n' *)
-rw-r--r-- root/root ./usr/lib/lunstick/boot/modules
-rwxr-xr-x root/root ./usr/lib/lunstick/boot/shutdown
drwxr-xr-x root/root ./usr/share/initramfs-tools/
drwxr-xr-x root/root ./usr/share/initramfs-tools/conf-hooks.d/
-rw-r--r-- root/root ./usr/share/initramfs-tools/conf-hooks.d/lunstick
drwxr-xr-x root/root ./usr/share/initramfs-tools/hooks/
-rwxr-xr-x root/root ./usr/share/initramfs-tools/hooks/lunstick
drwxr-xr-x root/root ./usr/share/initramfs-tools/scripts/
-rw-r--r-- root/root ./usr/share/initramfs-tools/scripts/lunstick
END
}

# Mode, owner and place of everything, and nothing else.
contents() {
    equal "the package's contents" "$(grep . <<END | LC_ALL=C sort -k3
drwxr-xr-x root/root ./usr/
drwxr-xr-x root/root ./usr/bin/
lrwxrwxrwx root/root ./usr/bin/lunstick -> ../sbin/lunstickd
drwxr-xr-x root/root ./usr/lib/
drwxr-xr-x root/root ./usr/lib/modules-load.d/
-rw-r--r-- root/root ./usr/lib/modules-load.d/lunstick.conf
drwxr-xr-x root/root ./usr/lib/systemd/
drwxr-xr-x root/root ./usr/lib/systemd/system/
-rw-r--r-- root/root ./usr/lib/systemd/system/lunstick-map@.service
-rw-r--r-- root/root ./usr/lib/systemd/system/lunstickd@.service
drwxr-xr-x root/root ./usr/lib/sysusers.d/
-rw-r--r-- root/root ./usr/lib/sysusers.d/lunstick.conf
drwxr-xr-x root/root ./usr/sbin/
-rwxr-xr-x root/root ./usr/sbin/lunstickd
drwxr-xr-x root/root ./usr/share/
drwxr-xr-x root/root ./usr/share/doc/
drwxr-xr-x root/root ./usr/share/doc/lunstick/
-rw-r--r-- root/root ./usr/share/doc/lunstick/THIRD-PARTY.md
-rw-r--r-- root/root ./usr/share/doc/lunstick/copyright
drwxr-xr-x root/root ./usr/share/doc/lunstick/examples/
-rw-r--r-- root/root ./usr/share/doc/lunstick/examples/config.txt
-rw-r--r-- root/root ./usr/share/doc/lunstick/examples/lunstick.conf
drwxr-xr-x root/root ./usr/share/lunstick/
drwxr-xr-x root/root ./usr/share/lunstick/configfs-templates/
$(cd "$top/configfs-templates" &&
  printf -- '-rw-r--r-- root/root ./usr/share/lunstick/configfs-templates/%s\n' *.scheme)
$(boot_contents)
END
    )" "$(dpkg-deb -c "$deb" | sed -E 's/^(\S+ \S+) +\S+ \S+ \S+ /\1 /' | LC_ALL=C sort -k3)"
}

maintainer_scripts() {
    local script
    equal "the control files" "control md5sums postinst postrm prerm" \
        "$(cd "$work/control" && echo *)" || return 1
    for script in postinst postrm prerm; do
        equal "mode of $script" 755 "$(stat -c %a "$work/control/$script")" &&
            sh -n "$work/control/$script" || return 1
    done
}

program() {
    local file=$root/usr/sbin/lunstickd
    equal "symbols and debug sections" '' \
        "$(readelf -SW "$file" | grep -oE '\.symtab|\.debug_info' || true)" &&
        equal "--version" "lunstickd $version" "$("${run[@]}" "$file" --version)" || return 1
    [ -n "$static" ] || return 0
    equal "loader and libraries" '' "$(readelf -ldW "$file" | grep -E 'INTERP|NEEDED' || true)" &&
        [ "$(stat -c %s "$file")" -le 450000 ]
}

# No path of the machine that it was built on.
no_build_paths() {
    local found
    # busybox has musl's own default of PATH
    found=$(grep -raoP "(?<![\w.-])(\Q$top\E|\Q$build\E|/usr/local)/[\w.\/-]*" "$root" "$work/control" |
            grep -v '/bin/busybox:/usr/local/bin$' || true)
    equal "paths of the build, with their files" '' "${found//"$root"/}"
}

# Who is not root is told that, once the file was found right.
example() {
    local said as=()
    [ "$(id -u)" -ne 0 ] || as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    chmod 755 "$work" &&
        said=$("${as[@]}" "${run[@]}" "$root/usr/sbin/lunstickd" \
               --config "$root/usr/share/doc/lunstick/examples/lunstick.conf" 2>&1 || true) &&
        equal "the daemon's answer" \
            "lunstickd: error: must be started by root, who makes the USB gadget (try sudo), or after \
lunstickd --prepare" "$said"
}

# Every licence that the file speaks of has its text, every library its place.
copyright() {
    local file=$root/usr/share/doc/lunstick/copyright name library
    for name in $(sed -n 's/^License: //p' "$file" | sed 's/ and / /g' | sort -u); do
        grep -A1 -xF "License: $name" "$file" | grep -q '^ .' ||
            { echo "no text of the licence $name"; return 1; }
    done
    while read -r _ library _; do
        grep -qxF "Files: $library/*" "$file" || { echo "no word of $library"; return 1; }
    done < <(pinned; pinned_programs; echo . musl; echo . libgcc)
    grep -F 'lunstickd-relink-' "$file"
}

# THIRD-PARTY.md tells people what to get; the list that counts is another.
third_party() {
    local library version sum line
    while read -r _ library version sum; do
        line="| ${library}_$version.orig.tar.gz | $sum |"
        grep -qxF "$line" "$root/usr/share/doc/lunstick/THIRD-PARTY.md" ||
            { echo "not in THIRD-PARTY.md: $line"; return 1; }
    done < <(pinned)
    while read -r _ library version sum; do
        grep "${library}_$version.orig.tar.* | $sum |" "$root/usr/share/doc/lunstick/THIRD-PARTY.md" ||
            { echo "not in THIRD-PARTY.md: $library $version"; return 1; }
    done < <(pinned_programs)
}

# unit_is_good NAME
unit_is_good() {
    local out
    mkdir -p "$work/units"
    sed -e "s#/usr/sbin/lunstickd#$root/usr/sbin/lunstickd#" \
        -e "s#/usr/bin/lunstick #$root/usr/sbin/lunstickd #" \
        "$root/usr/lib/systemd/system/$1@.service" >"$work/units/$1@.service"
    # of this machine's other units it may say what it likes
    out=$(systemd-analyze verify --man=no "$work/units/$1@demo.service" 2>&1) ||
        { echo "$out"; return 1; }
    equal "what systemd says of the unit" '' "$(grep -F lunstick <<<"$out" || true)"
}

# exposure NAME TENTHS: what systemd holds against the unit. What is left is the
# network, which an iSCSI daemon needs, and the real-time clock that ProtectClock
# lets be read; of a block device the rights to make it.
exposure() {
    systemd-analyze security --offline=true --no-pager --threshold="$2" "$work/units/$1@.service" |
        grep -E '✗|Overall'
}

# So that the disk is back after the next boot.
enabled_at_boot() {
    local link=$root/etc/systemd/system/multi-user.target.wants/$1@demo.service
    systemctl --root="$root" enable "$1@demo" && [ -L "$link" ] &&
        systemctl --root="$root" disable "$1@demo" && [ ! -L "$link" ]
}

user() {
    mkdir -p "$root/etc" && systemd-sysusers --root="$root" lunstick.conf &&
        grep '^lunstick:.*:/usr/sbin/nologin$' "$root/etc/passwd" && grep '^lunstick:' "$root/etc/group"
}

# The names and sizes of a program's parts. Their order, and so every address,
# is the linker's affair.
parts() { readelf -sW "$1" | awk '$8 != "" && $4 != "FILE" { print $3, $4, $5, $8 }' | LC_ALL=C sort; }

relink() {
    cmake --build "$build" --target relink-kit && tar -C "$work" -xf "$build/$kit.tar.gz" &&
        "$work/$kit/relink.sh" &&
        equal "parts of the program" "$(parts "$build/lunstickd")" "$(parts "$work/$kit/lunstickd")" &&
        [ "$(parts "$build/lunstickd" | wc -l)" -gt 1000 ] &&
        equal "--version" "lunstickd $version" "$("${run[@]}" "$work/$kit/lunstickd" --version)"
}

# Any text of the library will do.
relink_with_a_change() {
    local old='Failed to connect to iSCSI socket' new='Failed to connect to ISCSI SOCKET'
    grep -qaF "$old" "$work/$kit/lunstickd" && sed -i "s/$old/$new/" "$work/$kit/libs/libiscsi.a" &&
        "$work/$kit/relink.sh" && grep -qaF "$new" "$work/$kit/lunstickd"
}

kit_papers() {
    local library
    while read -r _ library _; do
        grep -lq 'GNU LESSER GENERAL PUBLIC LICENSE' "$work/$kit/licences/$library"-* ||
            { echo "no licence of $library"; return 1; }
    done < <(pinned)
    [ -s "$work/$kit/licences/musl-copyright" ] &&
        equal "the kit's list of sources" "$(pinned)" "$(grep -v '^#' "$work/$kit/sources")"
}

packed=$(check "it is packed" pack)
echo "$packed"
case $packed in FAIL*) exit 0 ;; esac      # there is nothing to look at
check "name, version, architecture" control_fields
check "it depends on what the program links" dependencies
check "its files, their modes and owners" contents
check "maintainer scripts" maintainer_scripts
check "the program is stripped and runs" program
check "no path of the build machine" no_build_paths
check "the example configuration is accepted" example
check "every licence has its text" copyright
check "the pinned sources are told" third_party
for unit in lunstickd lunstick-map; do
    check "systemd accepts $unit@.service" unit_is_good $unit
    check "an enabled $unit@.service starts at boot" enabled_at_boot $unit
done
check "lunstickd@.service's exposure is below 2.0" exposure lunstickd 19
check "lunstick-map@.service's exposure is 2.0 at most" exposure lunstick-map 20
check "the user is made" user
if [ -n "$static" ]; then
    kit=lunstickd-relink-$([ "$arch" = arm64 ] && echo aarch64 || echo x86_64)
    check "the relinking kit makes the same program" relink
    check "a changed library is in the relinked program" relink_with_a_change
    check "the kit has licences and sources" kit_papers
fi
