# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the test scripts share. A test prints one line as it ends: `ok NAME`,
# `FAIL NAME: WHY`, or `skip NAME: WHY`; everything else it says is only shown
# when it fails. To be sourced behind hw/common.sh.

ok() { printf 'ok %s\n' "$1"; }
fail() { printf 'FAIL %s: %s\n' "$1" "${2:-}"; }
skip() { printf 'skip %s: %s\n' "$1" "$2"; }

# check NAME COMMAND...: one test: the command's exit status decides; the last
# lines of what it said are shown when it failed.
check() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then
        ok "$name"
    else
        fail "$name" "exit $?"
        tail -n 30 <<<"$out" | sed 's/^/    /'
    fi
}

# cmocka NAME PROGRAM [ARG...]: runs a cmocka program; each of its tests is a test.
cmocka() {
    local name=$1 out status=0
    shift
    out=$("$@" 2>&1) || status=$?
    sed -n "s/^\[       OK \] /ok $name: /p; s/^\[  FAILED  \] \([a-z0-9_]*\)\$/FAIL $name: \1/p; \
            s/^\[  SKIPPED \] \([a-z0-9_]*\)\$/skip $name: \1/p" <<<"$out" | awk '!seen[$0]++'
    if [ "$status" -ne 0 ]; then
        fail "$name" "exit $status"
        grep -vE '^\[ (RUN     |      OK) \]' <<<"$out" | tail -n 40 | sed 's/^/    /'
    fi
}

# build PRESET...: from the root of the sources; ends the script if one fails.
build() {
    local preset
    for preset; do
        say "building $preset"
        cmake --preset "$preset" >"$LUNSTICK_CACHE/configure-$preset.log" 2>&1 ||
            { tail -n 20 "$LUNSTICK_CACHE/configure-$preset.log" >&2
              die "cmake --preset $preset failed" "see the lines above"; }
        cmake --build --preset "$preset" >"$LUNSTICK_CACHE/build-$preset.log" 2>&1 ||
            { grep -E 'error|FAILED' -A5 "$LUNSTICK_CACHE/build-$preset.log" | head -n 60 >&2
              die "the build of preset $preset failed" "see $LUNSTICK_CACHE/build-$preset.log"; }
    done
}

# fuzz_one PROGRAM SECONDS: with the corpus of its name.
fuzz_one() {
    local work name=${1##*/}
    work=$(mktemp -d)
    trap 'rm -rf "$work"' TERM
    mkdir "$work/new"
    timeout --foreground $(($2 + 60)) "$1" -max_total_time="$2" -max_len=4096 -artifact_prefix="$work/" \
        "$work/new" $([ ! -d "tests/fuzz/corpus/$name" ] || echo "tests/fuzz/corpus/$name") ||
        { echo "the input is in $work"; return 1; }
    rm -rf "$work"
}
