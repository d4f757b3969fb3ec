#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/run.sh [unit|mutation|target|vm|all]: installs what the tests need, builds, runs
# them, prints each test as it ends, and closes with the count.
#
#   unit    the pure parts; no root, no network, no QEMU; seconds
#   mutation  promises broken on purpose: the unit tests have to notice
#   target  real iSCSI targets on loopback, wrong use, sanitizers, valgrind
#   vm      the simulated Pi and real USB hosts
#   all     the four, the style checks and the fuzzers (the default)
#
# Exit status: 0 all passed; 1 something failed, or, with CI set, was skipped;
# 2 wrong use. FUZZ_SECONDS (default 20) is the time of each fuzzer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../hw/common.sh
. hw/common.sh
. tests/lib.sh

what=${1:-all}
case $what in
unit | mutation | target | vm | all) ;;
*) die "unknown group \"$what\"" "tests/run.sh [unit|mutation|target|vm|all]" 2 ;;
esac

results=$(mktemp)
# Under sudo the build belongs to the user who asked for it.
trap 'rm -f "$results"; [ -z "${SUDO_UID:-}" ] || chown -hR "$SUDO_UID:${SUDO_GID:-}" build' EXIT
trap 'exit 130' INT TERM

# Also for root in somebody else's clone, in a container, say.
git() { command git -c safe.directory="$PWD" "$@"; }

# group NAME BUDGET_SECONDS COMMAND...: shows the command's lines as they come,
# counts its tests, and holds its time against the budget.
group() {
    local name=$1 budget=$2 start=$SECONDS status=0
    shift 2
    say "== $name"
    "$@" | tee -a "$results" || status=$?
    if [ "$status" -ne 0 ]; then
        fail "$name" "ended with exit $status" | tee -a "$results"
    fi
    say "== $name: $((SECONDS - start)) s of $budget s"
}

# Every unit test program of the given presets.
unit_tests() {
    local preset program
    for preset; do
        for program in "build/$preset"/tests/unit/test_*; do
            [ -f "$program" ] && [ -x "$program" ] || continue
            cmocka "unit $preset ${program##*/}" timeout 60 "$program"
        done
    done
}

style() {
    local sources
    mapfile -t sources < <(git ls-files '*.c' '*.h' ':!hw/static')
    check "style clang-format" clang-format --dry-run -Werror "${sources[@]}"
    mapfile -t sources < <(git ls-files 'bridge/*.c' 'gadget/*.c' 'initiator/*.c' 'boot/*.c' 'daemon/*.c' |
                           grep -v seccomp_gen)
    check "style clang-tidy" tidy "${sources[@]}"
    check "style cppcheck" cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr \
        --enable=warning,performance,portability --suppress=missingIncludeSystem \
        -D_GNU_SOURCE -I. bridge gadget initiator boot daemon
    check "style no registry or machine names" no_foreign_names
    mapfile -t sources < <(git ls-files | xargs grep -lE '^#!/bin/(ba)?sh' --)
    check "style bash -n" bash -n "${sources[@]}"
}

tidy() {
    printf '%s\0' "$@" | xargs -0 -P2 -n1 clang-tidy --quiet -p build/clang
}

# Scripts take the mirror from the machine's apt configuration.
no_foreign_names() {
    local mirrors
    mirrors=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
              grep -oE 'https?://[^/ ]+' | sed -E 's#https?://##' |
              grep '[.].*[a-z]' | sort -u || true)        # no plain names or addresses
    [ -z "$mirrors" ] || ! git grep -nIF -f <(printf '%s\n' "$mirrors") -- .
}

# One per processor at a time.
fuzzers() {
    local program seconds=${FUZZ_SECONDS:-20} running=0
    for program in build/fuzz/fuzzers/fuzz_*; do
        [ $((running++)) -lt "$(nproc)" ] || wait -n
        check "fuzz ${program##*/} ($seconds s)" fuzz_one "$program" "$seconds" &
    done
    wait
}

# Each build with a target of its own, and waiting for it most of the time.
target_tests() {
    local preset status=0
    for preset in dev asan; do
        BUILD=$PWD/build/$preset tests/cli/run.sh | sed -u "s/^\(ok\|FAIL\|skip\) /\1 cli $preset /"
    done
    for preset in dev asan; do
        BUILD=$PWD/build/$preset tests/target/run.sh |
            sed -u "s/^\(ok\|FAIL\|skip\) /\1 target $preset /" &
    done
    wait -n || status=$?
    wait -n || status=$?
    return "$status"
}

# The initramfs: its scripts, and its builder.
boot_tests() {
    local script
    for script in tests/boot/*.sh; do "$script"; done
}

packages() {
    local preset
    for preset in release musl-arm64; do
        BUILD=$PWD/build/$preset tests/package/run.sh |
            sed -u "s/^\(ok\|FAIL\|skip\) /\1 package $preset: /"
    done
}

basics=(gcc clang cmake ninja-build pkg-config libiscsi-dev libusbgx-dev libaio-dev
        libconfig-dev libseccomp-dev libcmocka-dev patch)
need_packages "${basics[@]}"
case $what in
unit)
    build dev
    group unit 10 unit_tests dev
    ;;
mutation)
    need_packages patch
    build dev
    group mutation 40 tests/mutation/run.sh
    ;;
target)
    need_packages tgt valgrind
    hw/static/fetch --sources
    build dev asan
    group target 300 target_tests
    ;;
vm)
    hw/static/fetch
    build musl-arm64
    hw/static/programs/build >/dev/null
    group vm 1000 tests/vm/run.sh
    ;;
all)
    need_packages tgt valgrind git patch clang-format clang-tidy cppcheck libclang-rt-dev
    hw/static/fetch
    build dev asan clang fuzz release musl-amd64 musl-arm64
    hw/static/programs/build >/dev/null
    group style 120 style
    group unit 30 unit_tests dev asan clang
    group mutation 40 tests/mutation/run.sh
    group fuzz 120 fuzzers
    group target 300 target_tests
    group boot 60 boot_tests
    group package 30 packages
    group vm 1000 tests/vm/run.sh
    ;;
esac

passed=$(grep -c '^ok ' "$results" || true)
failed=$(grep -c '^FAIL ' "$results" || true)
skipped=$(grep -c '^skip ' "$results" || true)
[ "$failed" -eq 0 ] || { say "failed:"; grep '^FAIL ' "$results" >&2; }
[ "$skipped" -eq 0 ] || { say "skipped:"; grep '^skip ' "$results" >&2; }
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$passed" -gt 0 ] || die "no test ran" "look for errors above"
[ "$failed" -eq 0 ] && { [ -z "${CI:-}" ] || [ "$skipped" -eq 0 ]; }
