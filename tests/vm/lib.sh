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
    fault_rows=${VM_FAULT_ROWS:-$work/fault_rows}
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
    [ -n "${VM_FAULT_ROWS:-}" ] || fault_table "$fault_rows"
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

# fault_row FAULT TIMES SECONDS NAME VALUE...: what a host saw of a fault; SECONDS is
# "-" where they differ. The names are those of records.c, and kernel (errors in its
# log), resets, back_ms (from the return until it works). Sets v[NAME]; the row is
# for the table that the script, or tests/vm/run.sh for all, closes with.
fault_row() {
    local fault=$1 times=$2 seconds=$3 column
    declare -gA v=()
    shift 3
    while [ $# -gt 1 ]; do v[$1]=$2; shift 2; done
    [ "${v[errors]}" -ge "${v[kernel]}" ] || v[errors]=${v[kernel]}
    {
        printf '%s\t%s\t%s' "$fault" "$times" "$seconds"
        for column in cache pause_ms flush_ms back_ms errors resets acknowledged lost stale; do
            printf '\t%s' "${v[$column]:--}"
        done
        echo
    } >>"$fault_rows"
}

# records_fault FAULT SECONDS GUEST IMAGE: the row of a writer on sda; fails if anything
# is lost, stale, or was misread.
records_fault() {
    local fault=$1 seconds=$2 guest=$3 said
    said=$(records_verify "$guest" "$4") || echo "the judge: $said"
    # shellcheck disable=SC2086
    fault_row "$fault" 1 "$seconds" kernel "$("$guest" run 'dmesg | grep -c "I/O error" || true')" \
        resets "$("$guest" run 'dmesg | grep -c "usb.*\(reset\|disconnect\)" || true')" $said
    same "lost, stale, misread" "0 0 0" "${v[lost]} ${v[stale]} ${v[misread]}"
}

# fault_table FILE: rows of one fault, length and disk are added up
fault_table() {
    [ -s "$1" ] || return 0
    sort -s -t "$(printf '\t')" -k1,1 -k3,3n -k4,4r "$1" | awk -F '\t' '
        function most(c) { if ($c > sum[c] || sum[c] == "") sum[c] = $c }
        function secs(c) { return sum[c] == "-" ? "-" : sprintf("%.2f", sum[c] / 1000) }
        function row() {
            printf "%-38s %5s %4s  %-7s %7s %7s %7s %6s %6s %6s %4s %5s\n", sum[1], sum[2], sum[3], sum[4],
                secs(5), secs(6), secs(7), sum[8], sum[9], sum[10], sum[11], sum[12]
        }
        BEGIN {
            printf "%-38s %5s %4s  %-7s %7s %7s %7s %6s %6s %6s %4s %5s\n", "fault", "times", "s", "disk",
                "pause s", "flush s", "back s", "errors", "resets", "acked", "lost", "stale"
        }
        {
            key = $1 FS $3 FS $4
            if (NR > 1 && key != last) { row(); delete sum }
            last = key
            sum[1] = $1; sum[3] = $3; sum[4] = $4; sum[2] += $2
            for (c = 5; c <= 7; c++) most(c)
            for (c = 8; c <= 12; c++) sum[c] += $c
        }
        END { row() }'
}

sha() { sha256sum | cut -d' ' -f1; }

# same WHAT WANT GOT
same() { [ "$2" = "$3" ] || { echo "$1: expected $2, got $3"; return 1; }; }

# not COMMAND...: with `!` alone, `set -e` passes over what is not the last of a function.
not() { ! "$@"; }

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
