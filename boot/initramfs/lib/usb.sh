# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# usb-disk: the LUN as a disk on this machine's USB device port.

usb_disk_mode() {
    modprobe -abq dwc2 configfs libcomposite usb_f_fs
    mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config 2>/dev/null ||
        { fail "this kernel has no configfs, which a USB device needs"; return; }
    wait_for "no USB device port (on a Pi: dtoverlay=dwc2 in config.txt) was there" has_udc || return
    find_secret || return
    said=$top/run/lunstick/probe.said
    # the daemon itself would wait for the target without end
    until lunstick probe ${secret:+--secret-file "$secret"} "$url" >/dev/null 2>"$said"; do
        [ $? != 2 ] && ! attempt_is_over ||
            { fail "$(tail -n 1 "$said" | sed 's/^lunstick probe: //')"; return; }
        sleep 1
    done
    keep_lease "$(kept ip)"
    say "serving $url"
    # 2: a fault that only the user can remove; everything else goes away by itself
    until lunstickd ${secret:+--secret-file "$secret"} "$url"; do
        [ $? != 2 ] || { fail "$url: see above"; return; }
        sleep 1
    done
    fail "lunstickd ended"
}

has_udc() { [ -n "$(ls /sys/class/udc 2>/dev/null)" ]; }
