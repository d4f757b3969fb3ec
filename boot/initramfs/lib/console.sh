# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# What the console is told, how long an attempt may take, what follows a failure.

: "${top:=}" # where /run, /sys, /sysroot and so on are; not empty in the tests

# Names of a disk and of DHCP's are said, too: what moves a cursor is left out.
say() { echo "lunstick: $*" | tr -d '\000-\011\013-\037\177' >"$top/dev/console"; }

say_lines() { while read -r line; do say "$line"; done; }

# fail TEXT: said; false.
fail() { say "error: $*"; return 1; }

seconds() { cut -d. -f1 /proc/uptime; }

attempt_began() { attempt_start=$(seconds); }

# Seconds that this attempt has left, 1 at least.
seconds_left() {
    left=$((attempt_start + timeout - $(seconds)))
    echo $((left > 1 ? left : 1))
}

attempt_is_over() { [ $(($(seconds) - attempt_start)) -ge "$timeout" ]; }

# wait_for WHAT COMMAND...: until the command is true or the attempt's time is up
wait_for() {
    what=$1
    shift
    until "$@"; do
        ! attempt_is_over || { fail "$what (waited $timeout s)"; return; }
        usleep 200000
    done
}

# console_shell END: what its end is
console_shell() {
    say "a shell; its end is $1"
    setsid cttyhack sh </dev/console >/dev/console 2>&1
}

# The pause keeps a fault that shows at once from filling the console.
after_failure() {
    case $on_failure in
    retry) say "another attempt in 5 s (lunstick.on-failure=retry)"; sleep 5 ;;
    next-target) say "the next target in 2 s (lunstick.on-failure=next-target)"; sleep 2 ;;
    reboot) say "reboot in 5 s (lunstick.on-failure=reboot)"; sleep 5; reboot -f ;;
    shell) console_shell "another attempt" ;;
    esac
}

# Process 1 must not end: a kernel without it stops. Where there is no way back to
# another attempt, $end_said is why.
at_end() {
    PATH=/run/initramfs/bin:/bin
    say "error: ${end_said:-the script of the initramfs has ended}"
    [ "$on_failure" != shell ] || console_shell "a reboot"
    say "reboot in 5 s"
    sleep 5
    reboot -f
}
