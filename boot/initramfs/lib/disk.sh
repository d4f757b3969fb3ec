# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# The LUN as a block device, its partitions and volumes. $disk is its name, nbd0.

disk=''
secret_default=/etc/lunstick/secret

# Sets $secret: the file that is named, or else, where there is a user, ours.
find_secret() {
    secret=${secret_file:-}
    case $url in
    *@*) [ -n "$secret" ] || [ ! -e $secret_default ] || secret=$secret_default ;;
    esac
    [ -z "$secret" ] || [ -r "$secret" ] ||
        fail "$secret is not in this initramfs (lunstick.secret-file=)"
}

# map_disk OPTION...: the session and the block device.
map_disk() {
    modprobe -q nbd nbds_max=0 || [ -e /sys/module/nbd ] || [ -e /sys/bus/nbd ] ||
        { fail "this kernel has no network block devices (nbd)"; return; }
    find_secret || return
    echo "$on_failure" >"$top/run/lunstick/on-failure" # for other-disk
    device=$(lunstick map --root --name root --timeout "$(seconds_left)" \
        --on-other-disk /lib/lunstick/other-disk \
        ${secret:+--secret-file "$secret"} "$@" "$url" 2>"$top/run/lunstick/map.said") ||
        { fail "$(sed 's/^lunstick map: //' "$top/run/lunstick/map.said" | tail -n 1)"; return; }
    disk=${device#/dev/}
    # the kernel reads the partition table when the device is first opened
    blockdev --rereadpt "$device" 2>/dev/null || : <"$device"
    return 0
}

# Logs out; nothing happens if there is no session.
session_end() {
    for dir in /sysroot /lower /upper /image/boot /image/root; do
        ! mountpoint -q $dir || umount $dir
    done
    [ -z "$disk" ] || lunstick unmap --force root >/dev/null
    disk=''
}

# Its partitions by number; the disk itself if it has none.
volumes() {
    for dir in "/sys/block/$disk/$disk"p*; do
        [ ! -e "$dir/partition" ] || echo "$(cat "$dir/partition") ${dir##*/}"
    done | sort -n | cut -d' ' -f2 >/run/lunstick/volumes
    [ -s /run/lunstick/volumes ] || echo "$disk" >/run/lunstick/volumes
    cat /run/lunstick/volumes
}

# volume_has VOLUME LABEL|UUID|TYPE: what blkid says
volume_has() { blkid "/dev/$1" | sed -n "s/.*[: ]$2=\"\([^\"]*\)\".*/\1/p"; }

lower_case() { tr 'A-Z' 'a-z'; }

# bytes OFFSET LENGTH FORMAT: of the disk, as hexdump prints them
bytes() { hexdump -v -s "$1" -n "$2" -e "$3" "$device"; }

block_bytes() { cat "/sys/block/$disk/queue/logical_block_size"; }

# The PARTUUID of a partition's number: of MBR disk signature and number, of GPT
# (UEFI 2.10, 5.3) the entry's own, whose first three fields are little-endian.
partuuid() {
    if [ "$(bytes 510 2 '2/1 "%02x"')" = 55aa ] && [ "$(bytes 450 1 '1/1 "%02x"')" != ee ]; then
        printf '%s-%02x\n' "$(bytes 440 4 '1/4 "%08x"')" "$1"
        return
    fi
    block=$(block_bytes)
    [ "$(bytes "$block" 8 '8/1 "%02x"')" = 4546492050415254 ] || return
    table=$(bytes $((block + 72)) 8 '1/8 "%d"')
    size=$(bytes $((block + 84)) 4 '1/4 "%d"')
    bytes $((table * block + ($1 - 1) * size + 16)) 16 \
        '1/4 "%08x-" 2/2 "%04x-" 2/1 "%02x" "-" 6/1 "%02x"'
    echo
}

is_linux() {
    case $(volume_has "$1" TYPE) in
    ext[234] | xfs | btrfs | f2fs | squashfs | erofs) return 0 ;;
    esac
    return 1
}

# find_volume BY VALUE: prints the volume's name; false if there is none.
find_volume() {
    wanted=$(echo "$2" | lower_case)
    for volume in $(volumes); do
        number_of=$(cat "/sys/class/block/$volume/partition" 2>/dev/null || echo 0)
        case $1 in
        number) [ "$number_of" = "$2" ] ;;
        label) [ "$(volume_has "$volume" LABEL)" = "$2" ] ;;
        uuid) [ "$(volume_has "$volume" UUID | lower_case)" = "$wanted" ] ;;
        partuuid) [ "$(partuuid "$number_of" | lower_case)" = "$wanted" ] ;;
        linux) is_linux "$volume" ;;
        fat) [ "$(volume_has "$volume" TYPE)" = vfat ] ;;
        *) false ;;
        esac || continue
        echo "$volume"
        return 0
    done
    return 1
}

volumes_told() {
    told=''
    for volume in $(volumes); do
        kind=$(volume_has "$volume" TYPE)
        label=$(volume_has "$volume" LABEL)
        told="${told:+$told, }$volume (${kind:-unknown}${label:+, $label})"
    done
    echo "$told"
}

# mount_volume VOLUME DIR OPTIONS: read-only means that its journal is left alone
# where the disk itself is read-only.
mount_volume() {
    type=${root_type:-$(volume_has "$1" TYPE)} options=$3
    if [ "$(cat "/sys/class/block/$1/ro" "/sys/block/$disk/ro" 2>/dev/null | sort | tail -n 1)" = 1 ]; then
        case $type in
        ext[34]) options=$options,noload ;;
        xfs) options=$options,norecovery ;;
        esac
    fi
    mount -t "${type:-auto}" -o "$options" "/dev/$1" "$2" 2>/run/lunstick/mount.said ||
        fail "/dev/$1 (${type:-no known file system}) cannot be mounted: $(tail -n 1 /run/lunstick/mount.said)"
}
