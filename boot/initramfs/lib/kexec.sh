# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# kexec: the image's own kernel takes over, with the same firmware's device tree and
# an initramfs that is this one with the image's modules in place of ours. There it is
# pivot_root.

next=$top/run/lunstick/next # what the second kernel gets
kexec_said=$top/run/lunstick/kexec.said

# What can be told before the disk is there.
kexec_possible() {
    [ -e "$top/sys/kernel/kexec_loaded" ] ||
        { fail "this kernel cannot start another one (CONFIG_KEXEC); scsipub.mode=pivot_root can do without"; return; }
    [ "$(cat "$top/proc/sys/kernel/kexec_load_disabled" 2>/dev/null)" != 1 ] ||
        { fail "this kernel may not start another one (kernel.kexec_load_disabled=1); scsipub.mode=pivot_root can do without"; return; }
    cpus_stop ||
        fail "the processors of this machine cannot be stopped for another kernel: boot with nr_cpus=1 (the second one has them all)"
}

# A processor that waits in a spin table cannot, whether or not it is online.
cpus_stop() {
    [ "$(cat "$top/sys/devices/system/cpu/possible")" = 0 ] ||
        ! grep -qs spin-table "$top"/proc/device-tree/cpus/cpu*/enable-method
}

# serial_port N: the kernel's name of what the firmware calls serialN
serial_port() {
    [ -r "$top/proc/device-tree/aliases/serial$1" ] || return 0
    node=$(readlink -f "$top/sys/firmware/devicetree/base$(tr -d '\0' <"$top/proc/device-tree/aliases/serial$1")")
    for tty in "$top"/sys/class/tty/ttyAMA* "$top"/sys/class/tty/ttyS*; do
        dir=$(readlink -f "$tty/device")
        while [ -n "$dir" ] && [ ! -e "$dir/of_node" ]; do dir=${dir%/*}; done
        [ "$(readlink -f "$dir/of_node")" != "$node" ] || { echo "${tty##*/}"; return; }
    done
}

# Sets kernel, packing, payload_offset, payload_bytes, version, modules, image_cmdline,
# found_by. $boot is the volume of the boot partition, if there is one.
find_kernel() {
    number_of=$(cat "$top/sys/class/block/$boot/partition" 2>/dev/null)
    answer=$(lunstick-boot image --boot "${boot:+$top/image/boot}" --root "$top/image/root" \
        --partition "${number_of:-0}" --serial0 "$(serial_port 0)" --serial1 "$(serial_port 1)" \
        2>"$kexec_said") || { kexec_fault; return; }
    eval "$answer"
    # a kernel that is found by its name alone comes without words
    [ -n "$image_cmdline" ] || image_cmdline=$(cat "$top/proc/cmdline")
}

# What was taken for root has no modules: the image's own root= may be another volume,
# of an image with a Linux boot partition before it. The next attempt begins anew.
follow_own_root() {
    [ -z "$modules" ] && [ -z "$root_by" ] || return 0
    echo "$image_cmdline" >"$next.words"
    eval "$(lunstick-boot words --cmdline "$next.words" --defaults /dev/null 2>/dev/null |
        sed -n -e 's/^image_root_/own_root_/p' -e 's/^root_\([tf]\)/own_root_\1/p')"
    volume=$(find_volume "$own_root_by" "$own_root_value") && [ "$volume" != "$root" ] || return 0
    umount "$top/image/root" || return 0
    case $kernel in
    "$top/image/root/"*)
        [ -z "$boot" ] || umount "$top/image/boot"
        boot=$root
        mkdir -p "$top/image/boot"
        mount_volume "$boot" "$top/image/boot" ro || return
        ;;
    esac
    root=$volume
    (root_type=$own_root_type && mount_volume "$root" "$top/image/root" "ro${own_root_flags:+,$own_root_flags}") &&
        find_kernel
}

# kexec_fault [TEXT]: with what was said last
kexec_fault() { fail "${1:-}$(tail -n 1 "$kexec_said" | sed 's/^lunstick-boot: //')"; }

# What the second kernel needs modules for, as lunstick-boot modules reads it: the list
# of this initramfs, root's file system, the network, and every other device.
module_wishes() {
    while read -r what boards names; do
        case $names in *#*) reason=${names#*#} ;; *) reason='' ;; esac
        for name in ${names%%#*}; do
            case $what/$boards in
            need/all) echo "need $name $reason" ;;
            need/* | want/*) echo "want $name" ;;
            esac
        done
    done <"$top/lib/lunstick/modules"
    awk -v root="$top/image/root" '$2 == root { sub(/^ext[23]$/, "ext4", $3)
        print "need", $3, "the file system of root" }' "$top/proc/mounts"
    [ ! -r "$top/sys/class/net/$link/device/modalias" ] ||
        echo "need $(cat "$top/sys/class/net/$link/device/modalias") the driver of $link"
    find "$top/sys/devices" -name modalias -exec cat {} + | sort -u | sed 's/^/device /'
}

# plain FILE: the module in it, which may be compressed.
plain() {
    case $1 in
    *.xz) xz -dc "$1" ;;
    *.zst) unzstd <"$1" ;;
    *.gz) gunzip -c "$1" ;;
    *) cat "$1" ;;
    esac
}

# The image's modules, unpacked, with what modprobe reads.
take_modules() {
    [ -n "$version" ] ||
        { fail "the kernel that $found_by names does not say its version, and the image has modules of several"; return; }
    [ -n "$modules" ] ||
        { fail "the image has no modules for its kernel $version (/lib/modules/$version)"; return; }
    to=$next/lib/modules/$version list=$next.list
    mkdir -p "$to"
    module_wishes | lunstick-boot modules --dir "$modules" >"$list" 2>"$kexec_said" || { kexec_fault; return; }
    while read -r file; do
        mkdir -p "$to/${file%/*}"
        plain "$modules/$file" >"$to/${file%.ko*}.ko" 2>"$kexec_said" ||
            { kexec_fault "the image's module $file cannot be taken along: "; return; }
    done <"$list"
    awk 'NR == FNR { taken[$0 ":"]; next } $1 in taken' "$list" "$modules/modules.dep" |
        sed 's/\.ko\.[a-z0-9]*/.ko/g' >"$to/modules.dep"
    awk 'NR == FNR { sub(/.*\//, ""); sub(/\.ko.*/, ""); gsub("-", "_"); taken[$0]; next }
        $3 in taken' "$list" "$modules/modules.alias" >"$to/modules.alias"
    cp "$modules/modules.builtin" "$to/" 2>/dev/null || : >"$to/modules.builtin"
}

# The second initramfs: this one without its modules, and behind it what is in $next.
# To the kernel several archives are one.
pack() {
    for dir in dev proc run sys tmp; do mkdir -p "$next/$dir"; done
    ln -sfn bin "$next/sbin"
    (umask 077 && : >"$next.cpio") # a secret may be in it
    {
        (cd "$top/" && find bin etc init lib shutdown usr -xdev -path lib/modules -prune -o -print |
            cpio -o -H newc) && (cd "$next" && find . -mindepth 1 | cpio -o -H newc)
    } >"$next.cpio" 2>"$kexec_said" || kexec_fault "the second initramfs: "
}

# The kernel as kexec takes it: $kernel itself, or what is packed in it.
unpack_kernel() {
    [ "$packing" != plain ] || return 0
    if [ "$payload_bytes" = 0 ]; then
        cat "$kernel"
    else
        tail -c +$((payload_offset + 1)) "$kernel" | head -c "$payload_bytes"
    fi | case $packing in
    gzip) gunzip -c ;;
    zstd) unzstd ;;
    esac >"$next.kernel" 2>"$kexec_said" ||
        { kexec_fault "the kernel that $found_by names cannot be unpacked: "; return; }
    kernel=$next.kernel
}

kexec_forget() { rm -rf "$next" "$next.cpio" "$next.kernel" "$next.list" "$next.dtb" "$next.words"; }

kexec_mode() {
    kexec_forget
    find_kernel && follow_own_root && take_modules || return
    words=$(lunstick-boot image-words --cmdline "$top/proc/cmdline" --url "$url" \
        --image "$image_cmdline" 2>"$kexec_said") || { kexec_fault; return; }
    pack && unpack_kernel || return
    say "starting the image's kernel $version, as $found_by says"
    # the device tree that is in use, which the firmware made
    tree=''
    [ ! -e "$top/sys/firmware/fdt" ] || {
        tree=$next.dtb
        lunstick-boot device-tree --from "$top/sys/firmware/fdt" >"$tree" 2>"$kexec_said" || { kexec_fault; return; }
    }
    # a checksum of it all, taken and tested without the processor's caches, takes long
    kexec -l "$kernel" --no-checks --initrd="$next.cpio" ${tree:+--dtb="$tree"} --command-line="$words" >"$kexec_said" 2>&1 ||
        { fail "kexec does not take the image's kernel: $(head -n 1 "$kexec_said")"; return; }
    session_end
    kexec_forget
    kexec -e # takes the interfaces down, too
    fail "the image's kernel did not start"
}
