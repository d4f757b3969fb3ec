#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The target tests: starts a tgtd of its own on loopback, runs every program of
# tests/target against it, prints one line per test, and leaves nothing behind.
#   BUILD=DIR            the build to test (default: build/dev)
#   TARGET_SESSIONS=N    sessions of 100 commands under valgrind (default 1000;
#                        0: without valgrind, as for a build with sanitizers)
#   TARGET_VERBOSE=1     the session's log
#   run.sh NAME...       only these programs, and probe, attempts, zero_copy, valgrind
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib.sh
. "$here/../lib.sh"

build=${BUILD:-$here/../../build/dev}
export BUILD=$build
work=$(mktemp -d)

cleanup()
{
    trap - EXIT INT TERM
    [ ! -e "$work/tgtd.env" ] || "$here/fixture" stop "$work"
    rm -rf "$work"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT TERM

if [ ! -d "$build/tests/target" ]; then
    fail "tests/target" "no build at $build: set BUILD"
    exit 1
fi
if ! command -v tgtd >/dev/null; then
    fail "tests/target" "tgtd is missing: apt-get install tgt"
    exit 1
fi
if ! "$here/fixture" start "$work" >"$work/start.log" 2>&1; then
    fail "tests/target" "tgtd does not start"
    sed 's/^/    /' "$work/start.log"
    exit 1
fi

export TARGET_DIR=$work TARGET_FIXTURE=$here/fixture
TARGET_PORT=$("$here/fixture" env "$work" | sed 's/^TGTD_PORT=\([0-9]*\) .*/\1/')
export TARGET_PORT

wanted()
{
    local name
    [ $# -gt 1 ] || return 0
    for name in "${@:2}"; do
        [ "$name" != "$1" ] || return 0
    done
    return 1
}

# The sanitizers replace valgrind; it cannot run them.
sanitized()
{
    grep -q '^LUNSTICK_SANITIZE:[^=]*=.' "$build/CMakeCache.txt" 2>/dev/null
}

no_leak()
{
    valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite,possible \
        --error-exitcode=9 "$build/tests/target/test_session" many_sessions_leave_nothing_behind
}

for program in "$build"/tests/target/test_*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    name=${program##*/}
    wanted "$name" "$@" || continue
    cmocka "$name" timeout 120 "$program"
done
if wanted probe "$@"; then
    "$here/probe.sh"
fi
# The child, taken over: that of root, and that of a parent without rights; also
# with the other C library, where that is built.
if wanted attempts "$@" && [ -x "$build/tests/target/attempts" ]; then
    if [ "$(id -u)" -eq 0 ]; then
        mkdir -m 555 "$work/empty"
        chmod 711 "$work"
        cp "$build/tests/target/attempts" "$work/"      # where anybody may read it
        "$build/tests/target/attempts" "$work/empty" | sed -u 's/^\(ok\|FAIL\) /\1 child: /'
        check "child: without root, all attempts end so, too" \
            setpriv --reuid 65534 --regid 65534 --clear-groups "$work/attempts"
        other=$here/../../build/musl-amd64/tests/vm/attempts
        [ ! -x "$other" ] || check "child: with musl, all attempts end so, too" "$other" "$work/empty"
    else
        check "child: without root, all attempts end as they should" "$build/tests/target/attempts"
    fi
fi
sessions=${TARGET_SESSIONS:-1000}
if wanted valgrind "$@" && [ "$sessions" -gt 0 ] && ! sanitized; then
    export TARGET_SESSIONS=$sessions
    check "no leak in $sessions sessions of 100 commands (valgrind)" no_leak
fi
if wanted zero_copy "$@" && [ "$sessions" -gt 0 ] && ! sanitized; then
    "$here/zero_copy.sh"
fi
