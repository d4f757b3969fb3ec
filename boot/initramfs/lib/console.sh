# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# What the console is told, how long an attempt may take, what follows a failure.

say() { echo "lunstick: $*" >/dev/console; }

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

console_shell() {
    say "a shell; its end is another attempt"
    setsid cttyhack sh </dev/console >/dev/console 2>&1
}

# The pause keeps a fault that shows at once from filling the console.
after_failure() {
    case $on_failure in
    retry) say "another attempt in 5 s (lunstick.on-failure=retry)"; sleep 5 ;;
    next-target) say "the next target in 2 s (lunstick.on-failure=next-target)"; sleep 2 ;;
    reboot) say "reboot in 5 s (lunstick.on-failure=reboot)"; sleep 5; reboot -f ;;
    shell) console_shell ;;
    esac
}
