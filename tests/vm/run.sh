#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The tests with real kernels: every script of this folder that is named in the
# list, or those given as arguments. One line per test, then the table of the
# faults; see tests/run.sh.
# VM_LANES: how many scripts at a time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
scripts="
disk
bot
boot
boot_modes
boot_kexec
usb
media
lifecycle
rough
wire
faults
outage
kills
cache
nbd
map
map_root
boot_speed
boot_wrong
conformance
two_luns
sandbox
try
"
# Firmware has time limits of its own: these go when nothing else does, but for
# frozen, which mostly waits.
alone="
frozen
hosts
cable
"

# Most of them wait for one machine or another: more go on than there are processors.
lanes=${VM_LANES:-$(($(nproc) + 1))}
[ "$lanes" -le 3 ] || lanes=3
VM_FAULT_ROWS=$(mktemp)
export VM_FAULT_ROWS
trap 'rm -f "$VM_FAULT_ROWS"' EXIT
trap 'trap "" INT TERM; kill $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM
status=0

# run LANES SCRIPT...
run() {
    local lanes=$1 running=0 name start
    shift
    for name; do
        [ "$running" -lt "$lanes" ] || { wait -n || status=$?; running=$((running - 1)); }
        start=$SECONDS
        { bash "$here/$name.sh" && echo "   vm/$name: $((SECONDS - start)) s"; } &
        running=$((running + 1))
    done
    while [ "$running" -gt 0 ]; do
        wait -n || status=$?
        running=$((running - 1))
    done
}

# shellcheck disable=SC2086
if [ $# -gt 0 ]; then
    run "$lanes" "$@"
else
    run "$lanes" $scripts
    [ "$lanes" -le 2 ] || lanes=2
    run "$lanes" $alone
fi
fault_table "$VM_FAULT_ROWS"
exit "$status"
