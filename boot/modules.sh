# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# The kernel modules of the boot initramfs: boot/initramfs/modules is their list. To
# be sourced, by bash, behind hw/common.sh, with `boot`, this directory, and `work`, a
# temporary one: in $work/kernels/VERSION modprobe finds the modules of a kernel;
# beside them are `config`, its configuration, and `package`, which it came in, each
# empty if unknown.

# shellcheck disable=SC2034
boards=(pi3 pi4 pi5 sim)

# module_list WHAT BOARD...: the modules of these boards, a line each, with the reason
# if one is given. WHAT is an expression: need, usb-disk, want.
module_list() {
    local line reason what for_boards names name board
    while IFS= read -r line; do
        reason=${line##*#}
        [ "$reason" != "$line" ] || reason=''
        read -r what for_boards names <<<"${line%%#*}"
        [[ $what =~ ^($1)$ ]] || continue
        for board in all "${@:2}"; do
            [[ ,$for_boards, = *,$board,* ]] || continue
            for name in $names; do echo "$name $reason"; done
        done
    done < <(grep -v '^ *#' "$boot/initramfs/modules")
}

# module_files TREE VERSION MODULE: its file and those of what it needs, a line each,
# or "builtin NAME"; false if the kernel has no such module.
module_files() {
    modprobe -d "$1" -S "$2" -C /dev/null --show-depends "$3" 2>/dev/null |
        sed -n 's/^insmod \([^ ]*\).*/\1/p; /^builtin/p'
}

# all_module_files TREE VERSION BOARD...: of all of the list that the kernel has.
all_module_files() {
    local name
    while read -r name _; do
        module_files "$1" "$2" "$name" || true
    done < <(module_list '.*' "${@:3}") | awk '!seen[$0]++'
}

# plain FILE: the module in it, which may be compressed.
plain() {
    case $1 in
    *.xz) xz -dc "$1" ;;
    *.zst) zstd -qdc "$1" ;;
    *.gz) gzip -dc "$1" ;;
    *) cat "$1" ;;
    esac
}

# index TREE VERSION: has modprobe's index in TREE.
index() {
    local dir=$1/lib/modules/$2
    [ ! -e "$dir/modules.dep.bin" ] || [ ! -e "$dir/modules.alias.bin" ] || return 0
    say "looking at the modules of $2"
    # written here, not where a link leads
    rm -f "$dir"/modules.{alias,dep,devname,softdep,symbols} "$dir"/modules.*.bin
    depmod -b "$1" "$2"
}

# unpack FILE.deb: prints a directory in the cache that has the kernel; of its modules
# there are those of the list.
unpack() {
    local key dir part from
    key=$(cat "$boot/modules.sh" "$boot/initramfs/modules" "$1" | sha256sum)
    dir=$LUNSTICK_CACHE/boot/kernel-${key:0:16}
    mkdir -p "${dir%/*}"
    (
        flock 9
        [ ! -d "$dir" ] || { touch "$dir"; exit 0; }
        say "unpacking ${1##*/}"
        part=$LUNSTICK_CACHE/boot/part
        rm -rf "$part"
        mkdir "$part"
        dpkg-deb --fsys-tarfile "$1" 2>"$work/log" | tar -x -C "$part" \
            --exclude './usr/share' --exclude './usr/lib/linux-image-*' --exclude './boot/[!c]*' 2>>"$work/log" ||
            { head -n 3 "$work/log" >&2; die "$1 cannot be unpacked" "is it a .deb, and whole?"; }
        [ ! -d "$part/usr/lib/modules" ] || {
            mkdir -p "$part/lib"
            mv "$part/usr/lib/modules" "$part/lib/"
        }
        for from in "$part"/lib/modules/*/kernel; do
            [ -d "$from" ] || continue
            from=${from%/kernel}
            index "$part" "${from##*/}"
            all_module_files "$part" "${from##*/}" "${boards[@]}" | sort >"$work/kept"
            [ -s "$work/kept" ] || continue
            find "$from" -name '*.ko*' | sort | comm -23 - "$work/kept" | xargs -r rm
        done
        mv "$part" "$dir"
        # the few that were used last are kept
        find "${dir%/*}" -maxdepth 1 -name 'kernel-*' -printf '%T@ %p\n' |
            sort -rn | tail -n +5 | cut -d' ' -f2- | xargs -r rm -rf
    ) 9>"$LUNSTICK_CACHE/boot/lock" || exit
    echo "$dir"
}

# take_kernel FILE.deb|DIR: makes $work/kernels/VERSION of each arm64 kernel in it.
take_kernel() {
    local arg=$1 dir=$1 from version file tree found=' '
    [ ! -f "$arg" ] || dir=$(unpack "$arg")
    [ -d "$dir" ] || die "there is no $arg" "--kernel FILE.deb, or DIR with lib/modules/VERSION"
    for from in "$dir"/lib/modules/*/kernel "$dir"/usr/lib/modules/*/kernel; do
        [ -d "$from" ] || continue
        from=$(cd "${from%/kernel}" && pwd) version=${from##*/}
        # /lib may be a link to /usr/lib
        [[ $found != *" $version "* ]] || continue
        found+="$version "
        file=$(find -L "$from" -name '*.ko*' -print -quit)
        # byte 18 of an ELF file is its machine: 183 is AArch64
        [ -n "$file" ] && [ "$(plain "$file" 2>/dev/null | od -An -tu2 -j18 -N2 | tr -d ' ')" = 183 ] || {
            say "left out: $version has no modules for arm64"
            continue
        }
        tree=$work/kernels/$version
        [ ! -e "$tree" ] || die "the kernel $version is given twice" "one --kernel for each version"
        mkdir -p "$tree/lib/modules/$version"
        find "$from" -mindepth 1 -maxdepth 1 ! -name source ! -name build \
            -exec ln -s -t "$tree/lib/modules/$version" {} +
        index "$tree" "$version"
        cat "$dir/boot/config-$version" >"$tree/config" 2>/dev/null || true
        { [ ! -f "$arg" ] || dpkg-deb -W --showformat '${Package} ${Version}' "$arg"; } >"$tree/package"
    done
    [ "$found" != ' ' ] || die "$arg has no kernel modules" \
        "a package linux-image-VERSION, or a directory with lib/modules/VERSION (make modules_install)"
}

# kernel_lacks VERSION WHAT BOARD: a line for each module of the list that it lacks.
kernel_lacks() {
    local name reason
    while read -r name reason; do
        module_files "$work/kernels/$1" "$1" "$name" >/dev/null || echo "${reason:-$name} ($name)"
    done < <(module_list "$2" "$3")
}

# kernel_has VERSION OPTION...: whether one of them is in its configuration, as far as
# that is known.
kernel_has() {
    local config=$work/kernels/$1/config option
    [ -s "$config" ] || return 0
    for option in "${@:2}"; do
        ! grep -q "^CONFIG_$option=" "$config" || return 0
    done
    return 1
}

# copy_modules VERSION ROOT BOARD...: what the boards need and want, to ROOT's module
# tree, not compressed: the whole packs better.
copy_modules() {
    local version=$1 from=$work/kernels/$1/lib/modules/$1 to=$2/lib/modules/$1 file dest builtin=()
    mkdir -p "$to"
    all_module_files "$work/kernels/$version" "$version" "${@:3}" >"$work/files"
    while read -r file; do
        case $file in
        builtin\ *) builtin+=("${file#* }") ;;
        *)
            dest=$to/${file#"$from"/}
            dest=${dest%.ko*}.ko
            mkdir -p "${dest%/*}"
            plain "$file" >"$dest"
            ;;
        esac
    done <"$work/files"
    # of what is built in: what the scripts may ask for
    printf '%s\n' "${builtin[@]//-/_}" | awk 'NR == FNR { ours[$0]; next }
        { name = $0; sub(/.*\//, "", name); sub(/\.ko$/, "", name); gsub(/-/, "_", name) }
        name in ours' - "$from/modules.builtin" >"$to/modules.builtin"
    cp -L "$from/modules.order" "$to/"
    depmod -b "$2" "$version" 2>"$work/log" || { cat "$work/log" >&2; die "depmod failed"; }
    # busybox reads these
    find "$to" -maxdepth 1 -name 'modules.*' ! -name modules.dep ! -name modules.alias \
        ! -name modules.builtin -delete
}
