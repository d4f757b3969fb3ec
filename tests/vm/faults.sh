#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What can be wrong between the Pi and its disk, as `lunstickd --once` tells it:
# one line with the cause and the fix, the exit status, soon, and nothing left
# behind; then what has to work: header digest, CHAP both ways; and two bridges
# with one identity.
. "$(dirname "$0")/lib.sh"
vm_begin faults
need_packages python3 jq

iqn=iqn.2026-01.test
target_start
tgtd_target plain 64M
tgtd_target chap 4M chap=joe:secret-of-joe
tgtd_target mutual 1M chap=joe:secret-of-joe mutual=disk:secret-of-disk
tgtd_target digest 1M digest
head -c 1048576 /dev/urandom >"$work/mutual.img"

# Two listeners that are no targets: one says nothing, one hangs up at the login.
net exec python3 - >"$work/fakes.log" 2>&1 <<'END' &
import socket, threading
def serve(port, closes):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("10.71.0.1", port))
    listener.listen(8)
    while True:
        connection = listener.accept()[0]
        if connection.recv(1 if closes else 0) or not closes:
            while not closes and connection.recv(4096):
                pass
        connection.close()
threading.Thread(target=serve, args=(3261, False)).start()
serve(3262, True)
END
fakes=$!
disown "$fakes"

{ pi start --lunstickd "$LUNSTICKD" && : >"$work/pi-is-up"; } >"$work/pi.log" 2>&1 &
both start --lunstickd "$LUNSTICKD" --add "$RECORDS:/usr/bin/records"

# ---- faults ----

# In the guest: run NAME UDC ARG...: the daemon, to its end, and what is left of it.
both run - <<END
mkdir -p /run/f /etc/lunstick
umask 077
echo secret-of-joe >/etc/lunstick/joe
echo secret-of-disk >/etc/lunstick/disk
echo another-secret >/etc/lunstick/wrong
cat >/etc/lunstick/mutual.conf <<CONF
url = "iscsi://joe@$PORTAL/$iqn:mutual/1";
secret_file = "/etc/lunstick/joe";
target_user = "disk";
target_secret_file = "/etc/lunstick/disk";
CONF
sed 's#/disk";#/wrong";#' /etc/lunstick/mutual.conf >/etc/lunstick/mutual-wrong.conf
cat >/run/f/run <<'RUN'
name=\$1 udc=\$2 start=\$(cut -d' ' -f1 /proc/uptime | tr -d .) status=0
shift 2
timeout 30 lunstickd --once --name "\$name" --udc "\$udc" "\$@" >/run/f/\$name.log 2>&1 </dev/null || status=\$?
end=\$(cut -d' ' -f1 /proc/uptime | tr -d .)
{
    grep -o "[^ ]*\$name[^ ]*" /proc/mounts
    ls -d /sys/kernel/config/usb_gadget/*\$name /run/lunstick/\$name /run/lunstick/*/\$name 2>/dev/null
    pgrep -f -- "--name \$name"
} >/run/f/\$name.left
echo "\$status \$(((end - start) * 10))" >/run/f/\$name.end
RUN
END

all_faults() {
    both run -t 90 - <<END
cd /run/f
r() { sh ./run "\$@"; }
r silent dummy_udc.1 iscsi://$PORTAL:3261/$iqn:plain/1 &
r noname dummy_udc.1 iscsi://disk.invalid/$iqn:plain/1 &
r nohost dummy_udc.2 iscsi://10.71.0.99/$iqn:plain/1 &
r noroute dummy_udc.0 iscsi://10.72.0.1/$iqn:plain/1
r refused dummy_udc.0 iscsi://$PORTAL:3999/$iqn:plain/1
r closes dummy_udc.0 iscsi://$PORTAL:3262/$iqn:plain/1
r noiqn dummy_udc.0 iscsi://$PORTAL/$iqn:nobody/1
r nolun dummy_udc.0 iscsi://$PORTAL/$iqn:plain/7
r nodisk dummy_udc.0 iscsi://$PORTAL/$iqn:plain/0
r wrongsecret dummy_udc.0 --secret-file /etc/lunstick/wrong iscsi://joe@$PORTAL/$iqn:chap/1
r nosecret dummy_udc.0 iscsi://$PORTAL/$iqn:chap/1
r nomutual dummy_udc.0 --config /etc/lunstick/mutual-wrong.conf
wait
tar -c . >/run/faults.tar
END
    both get /run/faults.tar "$work/faults.tar"
    mkdir -p "$work/f"
    tar -xf "$work/faults.tar" -C "$work/f"
}

# told NAME STATUS CAUSE FIX
told() {
    local log=$work/f/$1.log status ms
    read -r status ms <"$work/f/$1.end"
    echo "exit $status after $ms ms"
    cat "$log"
    same "exit status" "$2" "$status"
    same "lines of error" 1 "$(grep -c '^lunstickd: error: ' "$log")"
    same "lines with the cause" 1 "$(grep -cE -- "$3" "$log")"
    grep -qE -- "^lunstickd: error: .*$3.*$4" "$log"
    [ "$ms" -lt 10000 ]
    same "left behind" "" "$(cat "$work/f/$1.left")"
}

nothing_left() {
    same "gadgets left" "" "$(both run 'ls /sys/kernel/config/usb_gadget')"
    same "mounts left" 0 "$(both run 'grep -c functionfs /proc/mounts || true')"
    same "processes left" "" "$(both run 'pidof lunstickd || true')"
}

# ---- what works ----

# Two daemons at once, one disk each: sda and sdb in the order of their UDCs.
digest_and_mutual() {
    both run "lunstickd --name digest --udc dummy_udc.0 --header-digest $(url digest) >/run/digest.log 2>&1 & echo \$! >/run/digest.pid
        lunstickd --name mutual --udc dummy_udc.1 --config /etc/lunstick/mutual.conf >/run/mutual.log 2>&1 & echo \$! >/run/mutual.pid"
    both run -t 40 'until [ "$(cat /sys/block/sda/size 2>/dev/null || echo 0)" -gt 0 ] &&
            [ "$(cat /sys/block/sdb/size 2>/dev/null || echo 0)" -gt 0 ]; do sleep 0.1; done' || {
        both run 'cat /run/digest.log /run/mutual.log'
        return 1
    }
}

digest_is_used() {
    both run 'lunstick status --json digest' >"$work/digest.json"
    jq -c .luns[0].session "$work/digest.json"
    same "header digest" true "$(jq .luns[0].session.header_digest "$work/digest.json")"
}

mutual_is_used() {
    local image disks
    both run 'lunstick status --json mutual' >"$work/mutual.json"
    jq -c .luns[0].session "$work/mutual.json"
    same "authenticated" "true true" \
        "$(jq -r '.luns[0].session | "\(.authenticated) \(.target_authenticated)"' "$work/mutual.json")"
    image=$(sha <"$work/mutual.img")
    disks=$(both run 'sha256sum /dev/sda /dev/sdb')
    echo "$image $disks"
    grep -q "^$image" <<<"$disks"
    ! both run 'grep -l secret-of /run/*.log /proc/[0-9]*/cmdline 2>/dev/null'
}

stop_both() {
    both run -t 20 'kill $(cat /run/digest.pid /run/mutual.pid); while pidof lunstickd; do sleep 0.1; done'
    nothing_left
}

# ---- two with one identity ----

# As a copied memory card makes them: one board, one name, one LUN.
start_twins() {
    local guest tries=0
    until [ -e "$work/pi-is-up" ]; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { cat "$work/pi.log"; return 1; }
        sleep 0.1
    done
    for guest in both pi; do
        "$guest" run 'echo 0123456789abcdef0123456789abcdef >/etc/machine-id'
    done
    daemon_start both "$(url plain)"
    disk_wait both
    both run 'dmesg -c >/dev/null; records write /dev/sda /run/records >/run/records.log 2>&1 & echo $! >/run/records.pid'
    daemon_start pi "$(url plain)"
}

logins() { "$1" run 'lunstick status --json' | jq '.luns[0].session.logins'; }

twins_are_told() {
    start_twins
    for guest in both pi; do
        "$guest" run -t 12 'until grep -q "another initiator uses this name" /run/lunstickd.log; do sleep 0.1; done' || {
            "$guest" run 'cat /run/lunstickd.log'
            return 1
        }
    done
    both run 'grep -m 1 "another initiator" /run/lunstickd.log'
}

twins_do_not_flap() {
    local before after
    before=$(($(logins both) + $(logins pi)))
    sleep 4
    after=$(($(logins both) + $(logins pi)))
    echo "logins of both: $before, and $((after - before)) in 4 s more"
    [ "$before" -le 20 ] && [ $((after - before)) -le 5 ]
}

# The twin goes, and the disk is there; what it said it had written is written.
twins_lose_nothing() {
    local acked
    daemon_stop pi
    both run 'kill -0 $(cat /run/records.pid)' # no I/O error reached the host's program
    acked=$(acknowledged both)
    both run -t 10 "$(records_wait $((acked + 20)))"
    both run 'kill $(cat /run/records.pid); while pidof records; do sleep 0.1; done'
    records_fault "another initiator of the same name" - both "$work/plain.img"
    same "errors, resets" "0 0" "${v[errors]} ${v[resets]}"
}

test_case "faults: all of them happen" all_faults
test_case "faults: a portal that says nothing" told silent 1 'does not answer the login within 5000 ms' ''
test_case "faults: a host that is not there" told nohost 1 '10.71.0.99:3260 (is not reachable|does not answer)' 'check .*address'
test_case "faults: a network that is not there" told noroute 1 '10.72.0.1:3260 is not reachable' 'check cable, network and address'
test_case "faults: a name that does not resolve" told noname 1 'cannot resolve disk.invalid' 'check .*/etc/resolv.conf'
test_case "faults: a port where nobody listens" told refused 1 "$PORTAL:3999 refuses the connection" 'is the target running there, and on this port'
test_case "faults: a target that closes during the login" told closes 1 'closed the connection during the login' 'is it an iSCSI target'
test_case "faults: a wrong target name" told noiqn 2 'it has no target of this name for us' 'the target admits iqn\.[^ ]+:[0-9a-f]{16}$'
test_case "faults: a wrong LUN" told nolun 2 'no such LUN on the target' 'lunstick probe'
test_case "faults: a LUN that is no disk" told nodisk 2 'not a disk' 'choose another LUN'
test_case "faults: a wrong CHAP secret" told wrongsecret 2 'authentication failed' 'check user and secret'
test_case "faults: no CHAP secret" told nosecret 2 'it asks for CHAP' 'the secret in a file'
test_case "faults: mutual CHAP that does not match" told nomutual 2 "does not prove that it is $iqn:mutual" 'on both sides'
test_case "faults: nothing is left behind" nothing_left
test_case "faults: disks with header digest and with CHAP both ways" digest_and_mutual
test_case "faults: the header digest is used" digest_is_used
test_case "faults: CHAP both ways, the data are the target's, no secret is shown" mutual_is_used
test_case "faults: both stop cleanly" stop_both
test_case "faults: two of one identity: both say so" twins_are_told
test_case "faults: two of one identity: no quick to and fro" twins_do_not_flap
test_case "faults: two of one identity: nothing is lost" twins_lose_nothing
kill "$fakes" 2>/dev/null || true
