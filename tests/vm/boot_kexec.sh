#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# kexec: the image's own kernel takes over from the one that came over the network,
# and its root is on the LUN again: with one processor, with four, and on a Pi 3, whose
# processors cannot be stopped: with nr_cpus=1, and refused without.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
. "$root/tests/vm/boot_lib.sh"
vm_begin boot-kexec
boot_begin --board pi3
for name in one four pi; do target $name debian; done

# comes_up GUEST TARGET CPUS: as the image's kernel wants it, which the first one did
# not say
comes_up() {
    is_running "$1"
    "$1" run 'cat /proc/cmdline' | tee "$work/words" >&2
    grep 'root=PARTUUID=' "$work/words"
    same "words of the first" 0 "$(grep -c 'scsipub.mode=kexec\|nr_cpus' "$work/words")"
    same "kernel" "$kernel_version" "$("$1" run 'uname -r')"
    same "root" "/dev/nbd0p2 ext4" "$("$1" run 'findmnt -no SOURCE,FSTYPE /' | xargs)"
    same "processors" "$3" "$("$1" run nproc)"
    same "sessions" 1 "$(sessions "$2")"
    console "$1" | grep "lunstick: starting the image's kernel"
    # the first kernel's first line is followed by the second's
    same "kernels" 2 "$(console "$1" | grep -c 'lunstick: iscsi://')"
}

with_cpus() {
    LUNSTICK_SIM_CPUS=$1 boot start "${initrd[@]}" "$(words kexec "$2")"
    comes_up boot "$2" "$1"
    switched_off boot "$2"
}

# ---- a Pi 3 ----

pi() { LUNSTICK_SIM_MACHINE=raspi3b boot2 "$@"; }

# What the initramfs needs in QEMU's: the faster of the adapter's configurations, and
# a USB host that is left without a device, as it knows no reset.
pi_tools() {
    mkdir -p "$work/tools/lib/lunstick"
    cat >"$work/tools/lib/lunstick/sim.sh" <<'END'
adapter=/sys/bus/usb/devices/1-1
{
    until grep -qs 1 $adapter/bConfigurationValue; do usleep 20000; done
    echo 2 >$adapter/bConfigurationValue
} &
kexec() {
    if [ "$1" = -e ]; then
        ip link set "$link" down
        say "the adapter is not in use"
        while [ -e $adapter ]; do usleep 20000; done
    fi
    command kexec "$@"
}
END
    (cd "$work/tools" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet) >"$work/tools.initrd"
}

pi_is_refused() {
    pi start "${initrd[@]}" "$(words kexec pi)"
    says boot2 100 'cannot be stopped for another kernel: boot with nr_cpus=1'
    same "sessions" 0 "$(sessions pi)"
    pi stop
}

# Its image names the console as a Raspberry Pi's does, and its kernel is packed.
pi_starts() {
    pi_tools
    mcopy -i "$work/pi.img@@1M" ::kernel8.img "$work/kernel8.img"
    gzip -1 <"$work/kernel8.img" >"$work/kernel8.gz"
    mcopy -o -i "$work/pi.img@@1M" "$work/kernel8.gz" ::kernel8.img
    mtype -i "$work/pi.img@@1M" ::cmdline.txt | sed 's/ttyAMA0/serial1,115200/' >"$work/cmdline.txt"
    mcopy -o -i "$work/pi.img@@1M" "$work/cmdline.txt" ::cmdline.txt
    pi start "${initrd[@]}" --initrd "$work/tools.initrd" "$(words kexec pi)" nr_cpus=1 loglevel=7
}

# QEMU still has requests for packets open that the kernel took back, and does not
# survive that the adapter goes: everybody is asked for addresses that nobody has.
pi_goes() {
    says boot2 200 'the adapter is not in use'
    net exec bash -c 'for i in {150..199}; do echo >"/dev/udp/10.71.0.$i/9"; done'
    sleep 0.5
    pi unplug
    says boot2 60 'Bye!'
    pi plug
}

# That, while the others do; in $work/pi.status is how it ended.
pi_is_watched() {
    {
        set +e
        (set -e; pi_goes) >"$work/pi.said" 2>&1
        echo $? >"$work/pi.ended"
        mv "$work/pi.ended" "$work/pi.status"
    } &
}

pi_went() {
    until [ -e "$work/pi.status" ]; do sleep 0.2; done
    cat "$work/pi.said"
    return "$(cat "$work/pi.status")"
}

pi_comes_up() {
    export LUNSTICK_SIM_MACHINE=raspi3b
    comes_up boot2 pi 4
}

pi_off() {
    export LUNSTICK_SIM_MACHINE=raspi3b
    switched_off boot2 pi
}

test_case "boot kexec: refused where processors cannot be stopped" pi_is_refused
test_case "boot kexec: a Pi 3 starts with nr_cpus=1" pi_starts
pi_is_watched
test_case "boot kexec: one processor" with_cpus 1 one
test_case "boot kexec: the Pi 3 gets its kernel" pi_went
test_case "boot kexec: four processors" with_cpus 4 four
test_case "boot kexec: the Pi 3, all processors" pi_comes_up
test_case "boot kexec: the Pi 3 is switched off" pi_off
