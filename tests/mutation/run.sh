#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The suite can fail: each *.patch here breaks one promise, and the unit tests that
# it names have to turn red. A patch that does not apply any more fails, too.
#
#   tests/mutation/run.sh [NAME.patch...]
#
# A patch begins with two lines, then one file's diff:
#
#   Mutation: what is broken
#   Tests: the programs that are to notice it, the first one that does is enough
#
# Only the patched file is compiled; it is linked before the rest of what preset dev
# built. BUILD: that build tree (default: build/dev), up to date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=../../hw/common.sh
. hw/common.sh
. tests/lib.sh
BUILD=$(realpath "${BUILD:-build/dev}")
[ -e "$BUILD/build.ninja" ] || die "$BUILD is no build tree" "cmake --preset dev && cmake --build --preset dev"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# command_of TARGET: how the build makes it, to be run in $BUILD
command_of() { ninja -C "$BUILD" -t commands "$1" | tail -n 1; }

# compile FILE OBJECT: the file below $work as the build compiles its original;
# warnings are not what is looked for.
compile() {
    local dir=${1%/*} original=$PWD/$1 command
    command=$(command_of "$dir/CMakeFiles/lunstick_$dir.dir/${1#"$dir"/}.o" |
              sed -E "s/ -M(D|[TF] [^ ]+)//g; s/ -o [^ ]+//")
    [[ $command == *" -c $original"* ]] || { echo "not known how $1 is compiled: $command"; return 1; }
    (cd "$BUILD" && eval "${command/ -c $original/ -c $work/$1} -w -o '$2'")
}

# link TEST OBJECT: the test program with the object in place of its original
link() {
    local command
    command=$(command_of "tests/unit/$1" | sed -E 's/^: && //; s/ && :$//')
    [[ $command == *" -o tests/unit/$1 "* ]] || { echo "not known how $1 is linked: $command"; return 1; }
    command=${command/ -o tests\/unit\/$1 / -o $work/$1 }
    (cd "$BUILD" && eval "${command/ tests\/unit\// -Wl,-z,muldefs $2 tests/unit/}")
}

# red TEST: the name of the test case that fails; 1 if all pass
red() {
    local out status=0
    out=$(timeout 60 "$work/$1" 2>&1) || status=$?
    [ $status -ne 0 ] || return 1
    # of a program that ended early, the case that it was in
    sed -nE 's/^\[  (FAILED|ERROR ) ? \] ([a-z0-9_]*)$/\2/p' <<<"$out" | head -n 1 | grep . ||
        sed -n 's/^\[ RUN      \] //p' <<<"$out" | tail -n 1
}

mutation() {
    local patch=$1 name file object=$work/mutated.o tests test case
    name=$(sed -n 's/^Mutation: //p' "$patch")
    tests=$(sed -n 's/^Tests: //p' "$patch")
    file=$(sed -n 's|^+++ b/||p' "$patch")
    name="mutation: ${name:-$patch}"
    rm -rf "${work:?}"/*
    # with its neighbours, which it includes by their names alone
    mkdir -p "$work/${file%/*}"
    cp "${file%/*}"/*.[ch] "$work/${file%/*}/"
    if ! patch -s -p1 -d "$work" <"$patch" >"$work/said" 2>&1 ||
        ! compile "$file" "$object" >>"$work/said" 2>&1; then
        fail "$name" "${patch##*/} does not fit $file any more"
        sed 's/^/    /' "$work/said"
        return
    fi
    for test in $tests; do
        if ! link "$test" "$object" >"$work/said" 2>&1; then
            fail "$name" "$test cannot be linked"
            tail -n 5 "$work/said" | sed 's/^/    /'
            return
        fi
        if case=$(red "$test"); then
            ok "$name: caught by $test: $case"
            return
        fi
    done
    fail "$name" "noticed by none of: $tests"
}

[ $# -gt 0 ] || set -- tests/mutation/*.patch
for test in $(sed -n 's/^Tests: //p' "$@" | tr ' ' '\n' | sort -u); do
    check "mutation: $test is green without one" timeout 60 "$BUILD/tests/unit/$test"
done
for patch; do mutation "$patch"; done
