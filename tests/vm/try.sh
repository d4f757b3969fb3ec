#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The README's first command: it shows what it says, and leaves nothing behind,
# also after Ctrl-C.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=../../hw/common.sh
. "$root/hw/common.sh"
. "$root/tests/lib.sh"
export LUNSTICK_SIM=lunstick-trial-$$
trap '"$root/hw/sim/net" down' EXIT
trap 'exit 130' INT TERM

left_behind() {
    local left
    left=$(ip netns list | grep "$LUNSTICK_SIM" || true
        grep "$LUNSTICK_SIM" /proc/mounts || true
        pgrep -af "$LUNSTICK_SIM" | grep -v "^$$ " || true
        ls -d "/run/lunstick-sim/$LUNSTICK_SIM" "$LUNSTICK_CACHE/$LUNSTICK_SIM" 2>/dev/null || true)
    [ -z "$left" ] || { echo "left behind:"; echo "$left"; return 1; }
}

shows() {
    local start=$SECONDS
    "$root/hw/try.sh"
    echo "$((SECONDS - start)) s"
    left_behind
}

# The terminal's Ctrl-C goes to the whole process group; a background job of a
# script starts with it ignored.
interrupted() {
    local pid status=0
    setsid env --default-signal=INT "$root/hw/try.sh" &
    pid=$!
    sleep "$1"
    kill -INT -- "-$pid"
    wait "$pid" || status=$?
    [ "$status" -eq 130 ] || { echo "exit status $status"; return 1; }
    left_behind
}

check "try: hw/try.sh shows the bridge at work" shows
check "try: Ctrl-C while the machines boot" interrupted 3
check "try: Ctrl-C while data move" interrupted 14
