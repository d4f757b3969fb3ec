# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What goes along when an initramfs is passed on. To be sourced, by bash, behind
# hw/common.sh, with `top`, the project's directory.

# write_licences DIR PROGRAMS KIT < KERNELS: fills DIR with licence texts, the sources of
# the GPL's programs and the relinking kit KIT. PROGRAMS is what hw/static/programs/build
# printed; a line of KERNELS is a kernel's version and, if known, its package.
write_licences() {
    local dir=$1 programs=$2 kit=$3 static=$top/hw/static suite name version sum package
    mkdir -p "$dir/programs"
    rm -f "$dir"/*.orig.tar.*
    install -m 644 "$programs"/{busybox-LICENSE,kexec-COPYING,libzstd-LICENSE} "$top/LICENSE" "$top/THIRD-PARTY.md" \
        "$kit" "$dir/"
    [ ! -r /usr/share/doc/musl-dev/copyright ] ||
        install -m 644 /usr/share/doc/musl-dev/copyright "$dir/musl-copyright"
    install -m 644 "$static"/programs/{build,sources,busybox.config,unzstd.c} "$dir/programs/"
    install -m 644 "$programs/busybox.config" "$dir/programs/busybox.config.all"
    while read -r suite name version sum; do
        install -m 644 "$(fetch_source "$suite" "${LUNSTICK_SOURCES:-$LUNSTICK_CACHE/sources}" \
                          "$name" "$version" "$sum")" "$dir/"
    done < <(grep -v '^#' "$static/programs/sources")
    {
        cat <<END
# What is in the initramfs

| part | licence | source |
|---|---|---|
| \`bin/lunstickd\`, \`bin/lunstick-boot\`, the scripts | BSD-2-Clause (\`LICENSE\`) | lunstick |
| libiscsi, libusbgx, libaio, libconfig, in \`bin/lunstickd\` | LGPL-2.1-or-later, libaio LGPL-2-or-later | \`${kit##*/}\` names it, and links the program again with changed libraries |
| \`bin/busybox\` | GPL-2.0-only (\`busybox-LICENSE\`) | \`busybox_*.orig.tar.*\`, unchanged, with \`programs/busybox.config\` |
| \`bin/kexec\` | GPL-2.0-only (\`kexec-COPYING\`) | \`kexec-tools_*.orig.tar.*\`, unchanged |
| \`bin/unzstd\` | BSD-3-Clause (\`libzstd-LICENSE\`); its \`unzstd.c\` BSD-2-Clause | \`libzstd_*.orig.tar.*\`, unchanged, with \`programs/unzstd.c\` |
| musl, in all four | MIT (\`musl-copyright\`, \`THIRD-PARTY.md\`) | Debian's \`musl-dev\` |
END
        while read -r version package; do
            echo "| \`lib/modules/$version\` | GPL-2.0-only | that of the kernel $version${package:+, Debian package $package} |"
        done
        cat <<END

Whoever passes the initramfs on passes this directory on, and for the modules what the
GPL asks for with the kernel itself.

busybox, kexec and unzstd were compiled by \`programs/build\`, which needs lunstick's source around
it (\`hw/static/programs/\`) and shows the commands to everybody else. \`programs/sources\` has
the tarballs' sums.
END
    } >"$dir/README.md"
}
