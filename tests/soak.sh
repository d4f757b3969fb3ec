#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/soak.sh --minutes N [--lanes N] [--result FILE] [JOB...]: the long forms of
# the tests that count or wait, for N minutes at most. JOB: some of the list below,
# in that order; default all. --lanes 2: two at a time (default 1; most jobs wait,
# but kills, outage and the fuzzers take a core each). Every half minute a line says
# how far each is. Ctrl-C ends it as the time limit does: the jobs under way are
# stopped and cleaned up.
#
# tests/soak-result.txt (or FILE) has, per job, the last result with its own date
# and revision, so that pieces of the long run add up:
#
#   passed, FAILED   the job came to its end, or failed on the way: its line and its
#                    section are replaced, whatever was there
#   unfinished       it was stopped before its end and nothing had failed: that is
#                    no verdict, and only kept where the job has none
#   not-run          it never was
#
# A job is recorded when it ends; other jobs keep what they have. A revision with
# "-dirty" had changes that were not committed. A job whose script is not there has
# FAILED.
#
# Exit status: 0 nothing failed in this run, 1 something did, 2 wrong use, 130 after
# Ctrl-C. FUZZ_SECONDS (default 600) is the time of each fuzzer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../hw/common.sh
. hw/common.sh
. tests/lib.sh

# A job is the script of tests/vm with its name, in the form that the variables
# choose; or a fuzzer.
jobs=(kills outage cache hostile resets conformance two_luns frozen boot boot_modes boot_wrong boot_own)
declare -A script=([hostile]=bot [resets]=bot)
declare -A long=(
    [kills]="KILLS_TARGET=200 KILLS_DAEMON=50"
    [outage]="OUTAGES=all"
    [cache]="CACHE_LOGINS=200 CACHE_KILLS=20"
    [hostile]="BOT_THINGS=100000 BOT_RESETS=0"
    [resets]="BOT_THINGS=0 BOT_RESETS=10000"
    [conformance]="CONFORMANCE=long"
    [two_luns]="TWO_LUNS_ROUNDS=15"
    [boot]="BOOT_OUTAGES=5,60,300 BOOT_MEMORY=5"
    [boot_modes]="BOOT=all"
    [boot_wrong]="BOOT=all"
)
for source in tests/fuzz/fuzz_*.c; do
    source=${source##*/}
    jobs+=("${source%.c}")
    long[${source%.c}]="FUZZ_SECONDS=${FUZZ_SECONDS:-600}"
done

wrong() { die "$1" "tests/soak.sh --minutes N [--lanes N] [--result FILE] [${jobs[*]}]" 2; }

minutes='' lanes=1 result=tests/soak-result.txt chosen=()
while [ $# -gt 0 ]; do
    case $1 in
    --minutes) minutes=${2:-}; shift 2 || wrong "--minutes needs a number" ;;
    --lanes) lanes=${2:-}; shift 2 || wrong "--lanes needs a number" ;;
    --result) result=${2:-}; shift 2 || wrong "--result needs a file" ;;
    *)
        [[ " ${jobs[*]} " = *" $1 "* ]] || wrong "there is no job \"$1\""
        chosen+=("$1")
        shift
        ;;
    esac
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || wrong "--minutes needs a number, not \"$minutes\""
[[ $lanes =~ ^[1-9]$ ]] || wrong "--lanes needs a number from 1 to 9, not \"$lanes\""
[ ${#chosen[@]} -gt 0 ] || chosen=("${jobs[@]}")
mapfile -t chosen < <(printf '%s\n' "${jobs[@]}" | grep -xF "$(printf '%s\n' "${chosen[@]}")")
[ "$(id -u)" -eq 0 ] || die "needs root for network namespaces" "use sudo"

# The result itself is no change of what is tested.
git() { command git -c safe.directory="$PWD" "$@"; }
revision=$(git describe --always)
[ -z "$(git status --porcelain -uno -- . ':!tests/soak-result.txt')" ] || revision+=-dirty

need_packages gcc clang cmake ninja-build pkg-config libiscsi-dev libusbgx-dev libaio-dev libconfig-dev \
    libseccomp-dev libcmocka-dev libclang-rt-dev git
hw/static/fetch
presets=$(for name in "${chosen[@]}"; do [[ $name = fuzz_* ]] && echo fuzz || echo musl-arm64; done | sort -u)
# shellcheck disable=SC2086
build $presets

logs=$(mktemp -d)
declare -A pid=() begin=() # of the jobs under way
interrupted=
trap 'stop; rm -rf "$logs"' EXIT
trap 'interrupted=1' INT TERM
start=$SECONDS until=$((SECONDS + minutes * 60)) told=$SECONDS failed=

job() {
    local name=$1 file=tests/vm/${script[$1]:-$1}.sh
    if [[ $name = fuzz_* ]]; then
        check "$name, ${long[$name]#*=} s" fuzz_one "build/fuzz/fuzzers/$name" "${long[$name]#*=}"
    elif [ ! -e "$file" ]; then
        fail "$name" "$file is not there"
    else
        # shellcheck disable=SC2086
        env ${long[$name]:-} bash "$file"
    fi
}

count() { grep -c "^$1 " "$logs/$2" || true; }

progress() {
    say "$(((SECONDS - start) / 60)) of $minutes min: $1, ${2:+$2, }$(count ok "$1") passed, $(count FAIL "$1") failed"
}

# line NAME VERDICT: of the table
line() {
    printf '%-14s %-10s %6d %6d %7d  %-10s  %s\n' "$1" "$2" "$(count ok "$1")" "$(count FAIL "$1")" \
        $(((SECONDS - begin[$1] + 30) / 60)) "$(date -u +%Y-%m-%d)" "$revision"
}

# kept_line NAME, kept_section NAME: what the result file has of a job
kept_line() { [ ! -e "$result" ] || awk -v job="$1" '/^==/ { exit } $1 == job { print; exit }' "$result"; }
kept_section() {
    [ ! -e "$result" ] || awk -v job="$1" '/^==/ { here = $2 == job } here && NF' "$result"
}

# record NAME VERDICT: the job's line and section in the result file, which other
# runs may write to at the same time
record() (
    flock 9
    case $2,$(kept_line "$1") in
    unfinished,*" passed "* | unfinished,*" FAILED "*) return ;;
    esac
    {
        echo "The last result of each long test; the head of tests/soak.sh says how it comes about."
        echo
        printf '%-14s %-10s %6s %6s %7s  %-10s  %s\n' job verdict passed failed minutes date revision
        for name in "${jobs[@]}"; do
            if [ "$name" = "$1" ]; then
                line "$1" "$2"
            else
                kept_line "$name" | grep . || printf '%-14s not-run\n' "$name"
            fi
        done
        for name in "${jobs[@]}"; do
            if [ "$name" = "$1" ]; then
                printf '\n== %s\n' "$1${long[$1]:+ ${long[$1]}}"
                sed '/^$/d; s/^==/ ==/' "$logs/$1"
            else
                kept_section "$name" | sed '1s/^/\n/'
            fi
        done
    } >"$result.part"
    mv -f "$result.part" "$result"
    [ -z "${SUDO_UID:-}" ] || chown "$SUDO_UID:${SUDO_GID:-}" "$result"
) 9<tests/soak.sh

ended() {
    local name=$1 verdict=$2
    unset "pid[$name]"
    [ "$verdict" != passed ] || [ "$(count ok "$name")" -gt 0 ] || verdict=FAILED
    [ "$(count FAIL "$name")" -eq 0 ] || verdict=FAILED
    [ "$verdict" != FAILED ] || failed=1
    progress "$name" "$verdict"
    line "$name" "$verdict" >>"$logs/summary"
    record "$name" "$verdict"
}

# The scripts' own traps clean up; who does not end within two minutes is killed.
# What a job says while it is stopped is no verdict.
stop() {
    local name i
    trap '' INT TERM
    for name in "${!pid[@]}"; do
        cp "$logs/$name" "$logs/$name.said"
        kill -TERM -- "-${pid[$name]}" 2>/dev/null || true
    done
    for name in "${!pid[@]}"; do
        for ((i = 0; i < 120; i++)); do
            kill -0 -- "-${pid[$name]}" 2>/dev/null || break
            sleep 1
        done
        kill -KILL -- "-${pid[$name]}" 2>/dev/null || true
        wait "${pid[$name]}" 2>/dev/null || true
        mv -f "$logs/$name.said" "$logs/$name"
        ended "$name" unfinished
    done
}

launch() {
    : >"$logs/$1"
    begin[$1]=$SECONDS
    set -m # a process group of its own
    job "$1" </dev/null >"$logs/$1" 2>"$logs/$1.err" &
    pid[$1]=$!
    set +m
}

: >"$logs/summary"
queue=("${chosen[@]}")
while [ ${#queue[@]} -gt 0 ] || [ ${#pid[@]} -gt 0 ]; do
    if [ -n "$interrupted" ] || [ "$SECONDS" -ge "$until" ]; then break; fi
    for name in "${!pid[@]}"; do
        ! kill -0 "${pid[$name]}" 2>/dev/null || continue
        verdict=passed
        wait "${pid[$name]}" || verdict=FAILED
        ended "$name" "$verdict"
    done
    while [ ${#queue[@]} -gt 0 ] && [ ${#pid[@]} -lt "$lanes" ]; do
        launch "${queue[0]}"
        queue=("${queue[@]:1}")
    done
    [ $((SECONDS - told)) -lt 30 ] || { told=$SECONDS; for name in "${!pid[@]}"; do progress "$name"; done; }
    sleep 1 || true
done
stop
for name in "${queue[@]}"; do printf '%-14s not-run\n' "$name" >>"$logs/summary"; done

cat "$logs/summary"
say "the result is in $result"
[ -z "$interrupted" ] || exit 130
[ -z "$failed" ]
