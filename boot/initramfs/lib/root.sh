# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# pivot_root: the LUN's root becomes this machine's root.

# The partition that lunstick.root= names; else the image's own root=, from the
# kernel command line or from the cmdline.txt on its boot partition; else the
# first Linux partition. Sets $root.
find_root() {
    if [ -n "$root_by" ]; then
        root=$(find_volume "$root_by" "$root_value") ||
            fail "lunstick.root=: no partition with $root_by $root_value; the disk has $(volumes_told)"
        return
    fi
    [ -n "$image_root_by" ] || image_words
    case $image_root_by in
    '' | other) ;;
    *)
        root=$(find_volume "$image_root_by" "$image_root_value") && return
        say "root=: no partition with $image_root_by $image_root_value; the first Linux partition is taken"
        ;;
    esac
    root=$(find_volume linux '') ||
        fail "no Linux partition on the disk; it has $(volumes_told); lunstick.root= names one"
}

# root= from the image's own command line, and its options where ours has none
image_words() {
    mount_boot || return
    type=$root_type flags=$root_flags
    for name in cmdline.txt current/cmdline.txt; do
        [ -r "$top/image/boot/$name" ] || continue
        eval "$(lunstick-boot words --cmdline "$top/image/boot/$name" --defaults /dev/null 2>/dev/null |
            grep -E '^(image_root_|root_type|root_flags)')"
        break
    done
    root_type=${type:-$root_type} root_flags=${flags:-$root_flags}
    umount "$top/image/boot"
}

# The image's boot partition, of which nothing is needed but to be read.
mount_boot() {
    boot=$(find_volume fat '') && mkdir -p "$top/image/boot" &&
        mount -t vfat -o ro "/dev/$boot" "$top/image/boot" 2>/dev/null
}

# What kexec looks for its kernel on: /image/root, and /image/boot if there is one.
mount_image() {
    map_disk --ro && find_root || return
    mkdir -p /image/root
    mount_volume "$root" /image/root "ro${root_flags:+,$root_flags}" || return
    mount_boot || boot=''
}

# The image may be for another processor: byte 18 of an ELF file is its machine.
runs_here() {
    ours=$(hexdump -n 2 -s 18 -e '1/2 "%d"' /bin/busybox)
    theirs=$(hexdump -n 2 -s 18 -e '1/2 "%d"' "$1" 2>/dev/null)
    [ "$(head -c 4 "$1" | tail -c 3)" = ELF ] || return 0
    # a 64-bit Arm kernel also runs 32-bit programs
    [ "$theirs" = "$ours" ] || [ "$ours $theirs" = "183 40" ]
}

find_init() {
    for program in ${init:+"$init"} /sbin/init /etc/init /bin/init /bin/sh; do
        file=$(lunstick-boot path --root "$top/sysroot" --path "$program")
        [ ! -f "$file" ] || [ ! -x "$file" ] || { init_found=$program; break; }
        [ "$program" != "$init" ] || { fail "init=$init: the image has no such program"; return; }
        file=''
    done
    [ -n "$file" ] || { fail "no init on /dev/$root: is it the root of a system? lunstick.root= names another"; return; }
    runs_here "$file" || fail "$init_found on /dev/$root is not for this machine's processor ($(uname -m))"
}

mount_root() {
    if [ "$overlay" != tmpfs ]; then
        mount_volume "$root" /sysroot "${access:-ro}${root_flags:+,$root_flags}"
        return
    fi
    mount_volume "$root" /lower "ro${root_flags:+,$root_flags}" || return
    modprobe -q overlay
    { mount -t tmpfs -o mode=755 upper /upper && mkdir /upper/data /upper/work &&
        mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work lunstick /sysroot; } 2>/run/lunstick/mount.said ||
        { fail "no overlay can be mounted; has this kernel overlayfs? $(tail -n 1 /run/lunstick/mount.said) (lunstick.overlay=tmpfs)"; return; }
    own_fstab
}

# The image's file systems are read-only, and root is mounted already.
own_fstab() {
    [ -r "$top/sysroot/etc/fstab" ] || return 0
    awk '/^[ \t]*(#|$)/ { print; next }
        $2 == "/" || $3 == "swap" { print "# " $0; next }
        $1 ~ /^(UUID|PARTUUID|LABEL|PARTLABEL)=|^\/dev\// { print $1, $2, $3, $4 ",ro,nofail", 0, 0; next }
        { print }' "$top/sysroot/etc/fstab" >"$top/run/lunstick/fstab" &&
        cat "$top/run/lunstick/fstab" >"$top/sysroot/etc/fstab" ||
        fail "the image's /etc/fstab cannot be changed (lunstick.overlay=tmpfs)"
}

pivot_root_mode() {
    if [ "$overlay" = tmpfs ]; then map_disk --ro; else map_disk; fi || return
    find_root && mount_root && find_init || return
    [ -d /sysroot/run ] && [ -d /sysroot/proc ] && [ -d /sysroot/dev ] && [ -d /sysroot/sys ] ||
        { fail "/dev/$root has no /dev, /proc, /run or /sys: is it the root of a system?"; return; }
    guard_network
    say "/dev/$root is root; $init_found"
    change_root
}

# Every process whose root was the old one finds itself in the new one, and the
# old one is where systemd looks for its way back: /run/initramfs/shutdown.
change_root() {
    address=$(kept ip)
    rm -f /run/initramfs
    mkdir /run/initramfs
    end_said="/dev/$root cannot be made root"
    for dir in dev proc sys run; do mount --move "$top/$dir" "$top/sysroot/$dir" || exit; done
    cd "$top/sysroot" && pivot_root . run/initramfs && cd / || exit
    end_said="$init_found on /dev/$root cannot be started"
    keep_lease "$address"
    export PATH=/sbin:/usr/sbin:/bin:/usr/bin
    set -f
    # shellcheck disable=SC2086,SC2093
    exec "$init_found" $init_args <dev/console >dev/console 2>&1
}
