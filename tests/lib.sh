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

