#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# kexec: the image's own kernel, Debian's of another release, takes over from the one
# that came over the network, and its root is on the LUN again. What cannot be started
# is told.
#
# BOOT_RASPI=1: also the machine whose processors cannot be stopped, with nr_cpus=1.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
. "$root/tests/vm/boot_lib.sh"
vm_begin boot-kexec
boot_begin
target disk debian

# comes_up CPUS: as the image's kernel wants it, which the first one did not say
comes_up() {
    is_running boot
    boot run 'cat /proc/cmdline'
    boot run 'grep -o "root=PARTUUID=[^ ]*" /proc/cmdline'
    same "root" "/dev/nbd0p2 ext4" "$(boot run 'findmnt -no SOURCE,FSTYPE /' | xargs)"
    same "processors" "$1" "$(boot run nproc)"
    same "sessions" 1 "$(sessions disk)"
    console boot | grep "lunstick: starting the image's kernel"
    # the first kernel's first line is followed by the second's
    same "kernels" 2 "$(console boot | grep -c 'lunstick: iscsi://')"
}

with_cpus() {
    LUNSTICK_SIM_CPUS=$1 boot start "${initrd[@]}" scsipub.mode=kexec
    comes_up "$1"
    switched_off boot disk
}

raspi3b() {
    LUNSTICK_SIM_MACHINE=raspi3b boot start "${initrd[@]}" scsipub.mode=kexec
    says boot 200 'boot with nr_cpus=1'
    boot stop
    LUNSTICK_SIM_MACHINE=raspi3b boot start "${initrd[@]}" scsipub.mode=kexec nr_cpus=1
    says boot 300 'login:'
}

test_case "boot kexec: four processors" with_cpus 4
[ -z "${BOOT_RASPI:-}" ] || test_case "boot kexec: a Pi 3, whose processors cannot be stopped" raspi3b
