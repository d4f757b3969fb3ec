#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/soak.sh --minutes N [--result FILE] [JOB...]: the long forms of the tests
# that count or wait, one after the other, for N minutes at most. Every half minute
# a line says how far it is; what ran, and how it ended, is in tests/soak-result.txt
# (or FILE) afterwards, with date and revision. Ctrl-C ends it as the time limit
# does: the job under way is stopped and cleaned up, the result is written.
#
# JOB: some of the list below, in that order; default all. Exit status: 0 nothing
# failed, 1 something did, 2 wrong use, 130 after Ctrl-C.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../hw/common.sh
. hw/common.sh
. tests/lib.sh

# The variables that make a script's form the long one, by the script's name.
declare -A long=(
    [kills]="KILLS_TARGET=200 KILLS_DAEMON=50"
    [outage]="OUTAGES=all"
    [cache]="CACHE_LOGINS=200 CACHE_KILLS=20"
    [bot]="BOT_THINGS=100000 BOT_RESETS=10000"
    [conformance]="CONFORMANCE=long"
    [two_luns]="TWO_LUNS_ROUNDS=15"
    [frozen]=""
)
jobs=(kills outage cache bot conformance two_luns frozen)
for source in tests/fuzz/fuzz_*.c; do
    source=${source##*/}
    jobs+=("${source%.c}")
done
fuzz_seconds=600

wrong() { die "$1" "tests/soak.sh --minutes N [--result FILE] [${jobs[*]}]" 2; }

minutes='' result=tests/soak-result.txt chosen=()
while [ $# -gt 0 ]; do
    case $1 in
    --minutes) minutes=${2:-}; shift 2 || wrong "--minutes needs a number" ;;
    --result) result=${2:-}; shift 2 || wrong "--result needs a file" ;;
    *)
        [[ " ${jobs[*]} " = *" $1 "* ]] || wrong "there is no job \"$1\""
        chosen+=("$1")
        shift
        ;;
    esac
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || wrong "--minutes needs a number, not \"$minutes\""
[ ${#chosen[@]} -eq 0 ] || mapfile -t jobs < <(printf '%s\n' "${jobs[@]}" | grep -xF "$(printf '%s\n' "${chosen[@]}")")
[ "$(id -u)" -eq 0 ] || die "needs root for network namespaces" "use sudo"

logs=$(mktemp -d)
job_pid=
trap 'stop_job; rm -rf "$logs"' EXIT
trap 'interrupted=1' INT TERM
interrupted=

need_packages gcc clang cmake ninja-build pkg-config libiscsi-dev libusbgx-dev libaio-dev libconfig-dev \
    libseccomp-dev libcmocka-dev libclang-rt-dev git
hw/static/fetch
build musl-arm64 fuzz
begin=$SECONDS until=$((SECONDS + minutes * 60))

# What a job is: each in a session of its own, so that it can be ended as a whole.
job() {
    case $1 in
    fuzz_*)
        local seconds=$((until - SECONDS - 30))
        [ "$seconds" -lt "$fuzz_seconds" ] || seconds=$fuzz_seconds
        check "$1, $seconds s" fuzz_one "build/fuzz/fuzzers/$1" "$seconds"
        ;;
    *)
        # shellcheck disable=SC2086
        env ${long[$1]} bash "tests/vm/$1.sh"
        ;;
    esac
}

# The scripts' own traps clean up; who does not end within two minutes is killed.
stop_job() {
    local i
    [ -n "$job_pid" ] || return 0
    kill -TERM -- "-$job_pid" 2>/dev/null || true
    for ((i = 0; i < 120; i++)); do
        kill -0 -- "-$job_pid" 2>/dev/null || break
        sleep 1
    done
    kill -KILL -- "-$job_pid" 2>/dev/null || true
    wait "$job_pid" 2>/dev/null || true
    job_pid=
}

count() { grep -c "^$1 " "$logs/$2" || true; }

progress() {
    say "$(((SECONDS - begin) / 60)) of $minutes min: $1, $(count ok "$1") passed, $(count FAIL "$1") failed"
}

# run NAME: a job, until it or the time ends; its line of the summary
run() {
    local name=$1 start=$SECONDS told=$SECONDS verdict=passed bytes
    : >"$logs/$name"
    if [ -n "$interrupted" ] || [ $((until - SECONDS)) -lt 60 ]; then
        verdict="not run"
    elif [ -n "${long[$name]+is}" ] && [ ! -e "tests/vm/$name.sh" ]; then
        verdict="not here"
    else
        set -m # a process group of its own
        job "$name" </dev/null >"$logs/$name" 2>"$logs/$name.err" &
        job_pid=$!
        set +m
        while kill -0 "$job_pid" 2>/dev/null; do
            [ -z "$interrupted" ] && [ "$SECONDS" -lt "$until" ] || { verdict="not finished"; break; }
            [ $((SECONDS - told)) -lt 30 ] || { told=$SECONDS; progress "$name"; }
            sleep 1 || true
        done
        if [ "$verdict" = passed ]; then
            wait "$job_pid" || verdict=FAILED
            job_pid=
        else
            bytes=$(stat -c %s "$logs/$name") # what it says while it is stopped is no verdict
            stop_job
            truncate -s "$bytes" "$logs/$name"
        fi
        [ "$verdict" != passed ] || [ "$(count ok "$name")" -gt 0 ] || verdict=FAILED
        [ "$(count FAIL "$name")" -eq 0 ] || verdict=FAILED
        progress "$name"
    fi
    printf '%-14s %-13s %7d %7d %8d\n' "$name" "$verdict" "$(count ok "$name")" "$(count FAIL "$name")" \
        $(((SECONDS - start + 30) / 60)) >>"$logs/summary"
}

: >"$logs/summary"
for name in "${jobs[@]}"; do run "$name"; done

{
    echo "The last long run of the tests: tests/soak.sh --minutes $minutes"
    echo "$(date -u +%Y-%m-%d), revision $(git -c safe.directory="$PWD" describe --always --dirty)," \
        "$(((SECONDS - begin + 30) / 60)) minutes${interrupted:+, interrupted}"
    echo
    printf '%-14s %-13s %7s %7s %8s\n' job verdict passed failed minutes
    cat "$logs/summary"
    for name in "${jobs[@]}"; do
        [ ! -s "$logs/$name" ] || { echo; echo "== $name${long[$name]:+ (${long[$name]})}"; cat "$logs/$name"; }
    done
} >"$result.part"
mv -f "$result.part" "$result"
[ -z "${SUDO_UID:-}" ] || chown "$SUDO_UID:${SUDO_GID:-}" "$result"
cat "$logs/summary"
say "the result is in $result"
[ -z "$interrupted" ] || exit 130
! grep -q ' FAILED ' "$logs/summary"
