#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# `lunstick probe` as a user meets it: what can be wrong between here and the
# disk is told in one line with the cause and the fix, with the exit status 2
# where only the user can help and 1 where waiting may, within 10 seconds.
# Called by run.sh, which has a tgtd running: BUILD, TARGET_DIR, TARGET_PORT,
# TARGET_FIXTURE.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib.sh
. "$here/../lib.sh"

probe=$BUILD/lunstick
work=$(mktemp -d)
fakes=()

cleanup()
{
    trap - EXIT INT TERM
    [ ${#fakes[@]} -eq 0 ] || kill "${fakes[@]}" 2>/dev/null
    wait
    rm -rf "$work"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT TERM

# fake NAME ARG...: starts it; its port is in $fake_port, what it says in $work/NAME
fake()
{
    local tries=0
    : >"$work/fake-$1"
    "$BUILD/tests/target/fake" "$@" >"$work/fake-$1" &
    fakes+=($!)
    until fake_port=$(head -n 1 "$work/fake-$1") && [ -n "$fake_port" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || return 1
        sleep 0.05
    done
}

url() { printf 'iscsi://%s127.0.0.1:%s/iqn.2026-01.test:%s' "${3:-}" "${2:-$TARGET_PORT}" "$1"; }

# told NAME STATUS CAUSE FIX ARG...: the probe ends with STATUS; its one line on
# stderr has the cause and the fix (extended regular expressions), and stdout does
# not have it, too.
told()
{
    local name="probe: $1" want=$2 cause=$3 fix=$4 status=0 out err start=$EPOCHREALTIME took
    shift 4
    out=$(mktemp -p "$work")
    err=$(mktemp -p "$work")
    timeout 20 ${run_in:-} "$probe" probe "$@" >"$out" 2>"$err" </dev/null || status=$?
    took=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
    if [ "$status" -ne "$want" ]; then
        fail "$name" "exit $status, not $want"
    elif [ "$(wc -l <"$err")" -ne 1 ] || ! grep -q '^lunstick probe: ' "$err"; then
        fail "$name" "not one line that says who speaks"
    elif ! grep -qE -- "$cause" "$err"; then
        fail "$name" "does not say: $cause"
    elif ! grep -qE -- "$fix" "$err"; then
        fail "$name" "does not help: $fix"
    elif grep -qFf <(sed 's/^lunstick probe: //' "$err") "$out"; then
        fail "$name" "says it twice"
    elif [ "$took" -ge 10000 ]; then
        fail "$name" "took $took ms"
    else
        ok "$name"
        return
    fi
    sed 's/^/    /' "$err" "$out"
}

# works NAME LINE... -- ARG...: exit status 0, nothing on stderr, and these lines
works()
{
    local name="probe: $1" lines=() status=0 line
    shift
    while [ "$1" != -- ]; do
        lines+=("$1")
        shift
    done
    shift
    timeout 20 "$probe" probe "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    if [ "$status" -ne 0 ] || [ -s "$work/err" ]; then
        fail "$name" "exit $status"
        sed 's/^/    /' "$work/err" "$work/out"
        return
    fi
    for line in "${lines[@]}"; do
        if ! grep -qE -- "$line" "$work/out"; then
            fail "$name" "does not say: $line"
            sed 's/^/    /' "$work/out"
            return
        fi
    done
    ok "$name"
}

secret() { (umask 077; printf '%s\n' "$2" >"$work/$1"); }

mutual() {
    (umask 077; cat >"$work/$1.conf") <<CONF
url = "$(url mutual/1 "$TARGET_PORT" joe@)";
secret_file = "$work/joe";
target_user = "disk";
target_secret_file = "$work/$2";
CONF
}

# Two of one name, board and LUN: the second takes the first one's session.
one_identity()
{
    local tries=0 first status=0
    fake slow "$TARGET_PORT" || return 1
    "$probe" probe "$(url plain/1 "$fake_port")" >"$work/first.out" 2>"$work/first.err" &
    first=$!
    until grep -q held "$work/fake-slow"; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || return 1
        sleep 0.05
    done
    "$probe" probe "$(url plain/1)" || { echo "the second: exit $?"; return 1; }
    wait "$first" || status=$?
    cat "$work/first.out" "$work/first.err"
    [ "$status" -eq 1 ] && [ "$(wc -l <"$work/first.err")" -eq 1 ] &&
        grep -q '^lunstick probe: .*another initiator uses this name (each bridge needs its own)' "$work/first.err"
}

secret joe secret-of-joe
secret wrong another-secret
secret disk secret-of-disk
mutual mutual disk
mutual mutual-wrong wrong

# ---- those that wait for an answer run beside the others ----
fake full
told "a portal that does not answer" 1 "127.0.0.1:$fake_port does not answer within" 'check address and network' \
    "$(url plain/1 "$fake_port")" &
slow=($!)
fake silent
told "a listener that says nothing" 1 'does not answer the login within 4000 ms' 'takes the connection' \
    "$(url plain/1 "$fake_port")" &
slow+=($!)
fake mute
told "a target that goes mute after the login" 1 'does not answer' 'busy' "$(url plain/1 "$fake_port")" &
slow+=($!)

works "a disk" 'LUNs +0 1$' 'capacity +16 MB: 32768 blocks of 512 bytes' 'USB host +would see a removable disk of 16 MB' \
    -- "$(url plain/1)"
fake closes
told "a target that closes during the login" 1 'closed the connection during the login' 'is it an iSCSI target' \
    "$(url plain/1 "$fake_port")"
told "a port where nobody listens" 1 '127.0.0.1:9 refuses the connection' 'is the target running there, and on this port' \
    "$(url plain/1 9)"
told "a name that does not resolve" 1 'is not found' 'check the name and /etc/resolv.conf' \
    "iscsi://$(printf 'n%.0s' {1..64}).invalid/iqn.2026-01.test:plain/1"
# a network name space without any network: nothing of it leaves the machine
if run_in="unshare -rn" && $run_in true 2>/dev/null || { run_in="unshare -n" && $run_in true 2>/dev/null; }; then
    told "a network that is not there" 1 'is not reachable' 'check cable, network and address' "$(url plain/1)"
    told "a name server that is not there" 1 'is not found' 'check the name and /etc/resolv.conf' \
        iscsi://disk.invalid/iqn.2026-01.test:plain/1
else
    skip "probe: a network that is not there" "unshare -n is not permitted"
fi
run_in=
told "a target name that is wrong" 2 'no target of this name for us \(iqn.2026-01.test:nobody\)' \
    'check the name, and that the target admits iqn\.[^ ]+:[0-9a-f]{16}$' "$(url nobody/1)"
long=$(printf 'x%.0s' {1..205})
told "a target name of 223 bytes that is wrong" 2 "for us \(iqn.2026-01.test:${long}y\)" 'the target admits iqn\.[^ ]+:[0-9a-f]{16}$' \
    "$(url "${long}y/1")"
told "a LUN that is not there" 2 'has no LUN 7 for us' 'but these: 0 1$' "$(url plain/7)"
told "a LUN that is no disk" 2 'not a disk' 'choose another LUN' "$(url plain/0)"
told "a wrong secret" 2 'authentication failed' 'check user and secret$' --secret-file "$work/wrong" "$(url chap/1 "$TARGET_PORT" joe@)"
told "a wrong user" 2 'authentication failed' 'check user and secret$' --secret-file "$work/joe" "$(url chap/1 "$TARGET_PORT" jim@)"
told "no secret where one is wanted" 2 'it asks for CHAP' 'give the user in the URL and the secret in a file' "$(url chap/1)"
works "CHAP" 'CHAP yes' -- --secret-file "$work/joe" "$(url chap/1 "$TARGET_PORT" joe@)"
works "mutual CHAP" 'CHAP both ways' -- --config "$work/mutual.conf"
told "a target that does not prove itself" 2 'does not prove that it is iqn.2026-01.test:mutual \(mutual CHAP\)' \
    "check the target's user and secret on both sides" --config "$work/mutual-wrong.conf"
works "a target with header digest" 'header digest yes' -- --header-digest "$(url digest/1)"
works "a target without header digest, although asked" 'header digest no' -- --header-digest "$(url plain/1)"
check "probe: two initiators with one identity" one_identity
wait "${slow[@]}"
