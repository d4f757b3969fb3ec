#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# boot=lunstick: a Debian with lunstick's package makes itself an initramfs with
# initramfs-tools, and comes up from that.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
. "$root/tests/vm/boot_lib.sh"
vm_begin boot_own
boot_begin
target disk debian
fetch_debs_with_deps "${LUNSTICK_SIM_SUITE:-bookworm}" arm64 "$LUNSTICK_CACHE/sim/debs" initramfs-tools zstd >"$work/debs"
(umask 022 && cpack -G DEB -B "$work" --config "${LUNSTICKD%/*}/CPackConfig.cmake" >"$work/said" 2>&1) ||
    die "cpack: $(tail -n 3 "$work/said")"

# What the image does not have yet, with our own, into the overlay.
package_is_installed() {
    local deb
    boot start "${initrd[@]}" scsipub.mode=pivot_root lunstick.overlay=tmpfs
    is_running boot
    boot run 'dpkg-query -W -f "\${Package}\n"' >"$work/have"
    while read -r deb; do
        name=${deb##*/}
        grep -qxF "${name%%_*}" "$work/have" || boot put "$deb" "/root/$name"
    done < <(cat "$work/debs"; echo "$work"/lunstick_*_arm64.deb)
    # by its path: the agent's shell has a dpkg of its own
    boot run -t 600 '/usr/bin/dpkg -i /root/*.deb >/root/said 2>&1 || { tail -n 20 /root/said; exit 1; }'
}

# The agent's programs are in /run, which initramfs-tools mounts noexec.
makes_initramfs() {
    boot run -t 600 'cat >/etc/initramfs-tools/scripts/init-top/exec <<"END"
#!/bin/sh
[ "$1" = prereqs ] || mount -o remount,exec /run
END
        chmod 755 /etc/initramfs-tools/scripts/init-top/exec
        printf "CONFIG_RD_%s=y\n" ZSTD GZIP >"/boot/config-$(uname -r)"
        echo "scsipub.mode=pivot_root # the rest is DHCP'\''s" >/etc/lunstick/initramfs
        mkinitramfs -o /run/initramfs.own 2>&1 && ls -l /run/initramfs.own'
    boot get /run/initramfs.own "$work/own"
    switched_off boot disk
}

comes_up() {
    boot start --initrd "$work/own" boot=lunstick
    is_running boot
    boot run 'cat /proc/cmdline; findmnt /run/initramfs; cat /run/initramfs/etc/lunstick/defaults'
    same "root" "/dev/nbd0p2 ext4" "$(boot run 'findmnt -no SOURCE,FSTYPE /' | xargs)"
    same "sessions" 1 "$(sessions disk)"
    boot run 'grep boot=lunstick /proc/cmdline && [ -x /run/initramfs/shutdown ] && ! grep scsipub /proc/cmdline'
}

goes_down() { switched_off boot disk; }

test_case "own initramfs: the package installs in a booted Debian" package_is_installed
test_case "own initramfs: mkinitramfs makes one" makes_initramfs
test_case "own initramfs: boot=lunstick, systemd running, root on the LUN" comes_up
test_case "own initramfs: switched off, logged out, root clean" goes_down
