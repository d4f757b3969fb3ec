# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the tests with simulated machines share: a simulation of their own, a
# tgtd in its network, the daemon in the Pi. To be sourced by a test script:
#
#   . "$(dirname "$0")/lib.sh"; vm_begin NAME; ...
#
# Everything ends with the script, however it ends. LUNSTICKD: the static arm64
# binary (default: build/musl-arm64/lunstickd).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=../../hw/common.sh
. "$root/hw/common.sh"
. "$root/tests/lib.sh"
. "$root/tests/target/tgtd.sh"
PATH=$root/hw/sim:$PATH
LUNSTICKD=${LUNSTICKD:-$root/build/musl-arm64/lunstickd}
PORTAL=10.71.0.1
RECORDS=${LUNSTICKD%/*}/tests/vm/records # records.c, for the guests

vm_begin() {
    export LUNSTICK_SIM=lunstick-$1-$$
    work=$(mktemp -d)
    export LUNSTICK_SIM_LOGS=$work
    trap vm_end EXIT
    trap 'exit 130' INT TERM
    [ -x "$LUNSTICKD" ] || die "$LUNSTICKD is not there" "cmake --preset musl-arm64 && cmake --build --preset musl-arm64"
    need_packages tgt
    net up
}

vm_end() {
    local status=$?
    trap '' INT TERM
    # A script that ends early has not passed the tests behind that point.
    [ "$status" -eq 0 ] || fail "$LUNSTICK_SIM" "ended early with exit $status"
    target_stop
    net down
    rm -rf "$work"
}

# target_start: tgtd in the simulation's network, without targets; tgtd_target
# of tests/target/tgtd.sh makes them.
target_start() {
    local tries=0
    TGTD_DIR=$work TGTD_PORT=3260 TGTD_TID=0
    TGTD_CONTROL=$((1000 + $$ % 30000))
    net exec tgtd -f -C "$TGTD_CONTROL" --iscsi "portal=$PORTAL:3260" >>"$work/tgtd.log" 2>&1 &
    TGTD_PID=$!
    disown "$TGTD_PID"
    until tgtd_adm --op show --mode portal 2>/dev/null | grep -q ":3260,"; do
        tries=$((tries + 1))
        [ $tries -lt 250 ] || die "tgtd does not start in the simulation" "see its log: $(tail -n 3 "$work/tgtd.log")"
        sleep 0.05
    done
}

target_stop() {
    [ -z "${TGTD_PID:-}" ] || tgtd_kill || true
}

url() { echo "iscsi://$PORTAL/iqn.2026-01.test:$1/1"; }

# daemon_start GUEST ARG...: lunstickd in the background; its log is /run/lunstickd.log.
daemon_start() {
    local guest=$1
    shift
    "$guest" run "lunstickd $* >>/run/lunstickd.log 2>&1 & echo \$! >/run/lunstickd.pid"
}

# daemon_stop GUEST: SIGTERM, and wait for the end; its exit status is not known here.
daemon_stop() {
    "$1" run -t 20 'kill "$(cat /run/lunstickd.pid)" 2>/dev/null || true
        while kill -0 "$(cat /run/lunstickd.pid)" 2>/dev/null; do sleep 0.1; done
        : >/run/lunstickd.log'
}

# disk_wait GUEST: the USB disk is there, sda by name, with its size read.
disk_wait() {
    "$1" run -t "${2:-40}" 'until [ "$(cat /sys/block/sda/size 2>/dev/null || echo 0)" -gt 0 ] &&
            [ -b /dev/sda ]; do sleep 0.1; done' || {
        echo "no USB disk; the daemon's log:"
        "$1" run 'tail -n 20 /run/lunstickd.log; dmesg | tail -n 8' || true
        return 1
    }
}

disk_gone() {
    "$1" run -t "${2:-20}" 'while [ -e /sys/block/sda ]; do sleep 0.1; done'
}

# What `records write DEVICE /run/records` in a guest was told, so far.
acknowledged() { "$1" run 'records show /run/records' | cut -d' ' -f4; }

# records_wait COUNT: for a guest's shell: until so many are acknowledged
records_wait() {
    echo "until [ \"\$(records show /run/records 2>/dev/null | cut -d' ' -f4)\" -gt $1 ] 2>/dev/null; do sleep 0.1; done"
}

# records_verify GUEST IMAGE: nothing of it is lost or stale in the target's image.
records_verify() {
    [ -x "$work/records" ] || gcc -std=c11 -D_GNU_SOURCE -O2 -o "$work/records" "$root/tests/vm/records.c"
    "$1" get /run/records "$work/records.log"
    "$work/records" verify "$2" "$work/records.log"
}

sha() { sha256sum | cut -d' ' -f1; }

# same WHAT WANT GOT
same() { [ "$2" = "$3" ] || { echo "$1: expected $2, got $3"; return 1; }; }

# test_case NAME FUNCTION...: the function in a subshell with `set -e` in force.
test_case() {
    local name=$1 status=0 start=$SECONDS
    shift
    set +e
    (set -e; "$@") >"$work/said" 2>&1
    status=$?
    set -e
    if [ $status -eq 0 ]; then
        ok "$name ($((SECONDS - start)) s)"
    else
        # in one piece: other scripts write, too
        printf '%s\n%s\n' "$(fail "$name" "exit $status")" "$(tail -n 40 "$work/said" | sed 's/^/    /')"
    fi
}

# guest_tests GUEST PREFIX SECONDS COMMAND...: a program in a guest whose lines
# `ok NAME` and `FAIL NAME: WHY` are tests.
guest_tests() {
    local guest=$1 prefix=$2 seconds=$3 status=0
    shift 3
    "$guest" run -t "$seconds" "$*" >"$work/said" 2>&1 || status=$?
    sed -n "s/^\(ok\|FAIL\) /\1 $prefix: /p" "$work/said"
    if { [ $status -ne 0 ] || ! grep -q '^ok ' "$work/said"; } && ! grep -q '^FAIL ' "$work/said"; then
        fail "$prefix: $*" "exit $status"
        tail -n 20 "$work/said" | sed 's/^/    /'
    fi
}
