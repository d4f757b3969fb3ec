# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# A tgtd of our own on loopback: its own control port and portal, a directory
# of its own, no rights needed. To be sourced. What is running is written to
# DIR/tgtd.env, so that another shell can go on with it (tgtd_attach).
#
#   tgtd_start DIR           picks free ports, starts it; sets TGTD_DIR,
#                            TGTD_PORT, TGTD_CONTROL and TGTD_PID
#   tgtd_attach DIR          the one that another shell started
#   tgtd_target NAME SIZE [chap=USER:SECRET] [mutual=USER:SECRET] [digest]
#               [readonly] [block=BYTES] [serial=TEXT] [thin]
#                            a target iqn.2026-01.test:NAME with LUN 1 on
#                            $TGTD_DIR/NAME.img, made if it is not there;
#                            sets TGTD_TID (1, 2, ...) and TGTD_IMAGE
#   tgtd_connections TID     sessions of a target, as tgtadm shows them
#   tgtd_freeze, tgtd_thaw   SIGSTOP, SIGCONT
#   tgtd_kill                SIGKILL; images and ports stay
#   tgtd_restart             again on the same ports, without targets
#   tgtd_stop                tgtd_kill and nothing left behind but the images

TGTD_PID=

tgtd_adm()
{
    tgtadm -C "$TGTD_CONTROL" --lld iscsi "$@"
}

tgtd_save()
{
    printf 'TGTD_PORT=%s TGTD_CONTROL=%s TGTD_PID=%s TGTD_TID=%s\n' \
        "$TGTD_PORT" "$TGTD_CONTROL" "$TGTD_PID" "$TGTD_TID" >"$TGTD_DIR/tgtd.env"
}

tgtd_attach()
{
    TGTD_DIR=$1
    # shellcheck source=/dev/null
    . "$1/tgtd.env"
}

# Alive, and no zombie that nobody reaps.
tgtd_alive()
{
    [ -n "$TGTD_PID" ] && [ -e "/proc/$TGTD_PID/stat" ] &&
        ! grep -q '^State:[[:space:]]*Z' "/proc/$TGTD_PID/status" 2>/dev/null
}

# Starts tgtd on the ports that are set; false if they are taken.
tgtd_run()
{
    local tries=0

    tgtd -f -C "$TGTD_CONTROL" --iscsi "portal=127.0.0.1:$TGTD_PORT" \
        </dev/null >>"$TGTD_DIR/tgtd.log" 2>&1 &
    TGTD_PID=$!
    TGTD_TID=0
    tgtd_save
    until tgtd_adm --op show --mode portal 2>/dev/null | grep -q ":$TGTD_PORT,"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 200 ] || ! tgtd_alive; then
            tgtd_stop
            return 1
        fi
        sleep 0.02
    done
}

tgtd_start()
{
    local tries

    TGTD_DIR=$1
    mkdir -p "$TGTD_DIR"
    for tries in 1 2 3 4 5 6 7 8; do
        # Below the ephemeral ports; the control port names a socket file.
        TGTD_PORT=$((20000 + (RANDOM + $$) % 10000))
        TGTD_CONTROL=$((1000 + (RANDOM + $$) % 30000))
        if [ -e "/var/run/tgtd/socket.$TGTD_CONTROL" ]; then
            continue
        fi
        tgtd_run && return 0
    done
    echo "tgtd does not start ($tries tries); its log:" >&2
    tail -5 "$TGTD_DIR/tgtd.log" >&2
    return 1
}

tgtd_freeze()
{
    kill -STOP "$TGTD_PID"
}

tgtd_thaw()
{
    kill -CONT "$TGTD_PID"
}

tgtd_kill()
{
    local tries=0

    [ -n "$TGTD_PID" ] || return 0
    kill -9 "$TGTD_PID" 2>/dev/null
    while tgtd_alive && [ "$tries" -lt 250 ]; do
        tries=$((tries + 1))
        sleep 0.02
    done
    wait "$TGTD_PID" 2>/dev/null
    rm -f "/var/run/tgtd/socket.$TGTD_CONTROL" "/var/run/tgtd/socket.$TGTD_CONTROL.lock"
    TGTD_PID=
    tgtd_save
}

tgtd_restart()
{
    tgtd_kill
    tgtd_run
}

tgtd_stop()
{
    tgtd_kill
    rm -f "$TGTD_DIR/tgtd.env"
}

# tgtd_account TID USER:SECRET [--outgoing]
tgtd_account()
{
    # May exist already: accounts belong to the daemon, not to the target.
    tgtd_adm --op new --mode account --user "${2%%:*}" --password "${2#*:}" 2>/dev/null || true
    tgtd_adm --op bind --mode account --tid "$1" --user "${2%%:*}" ${3:+"$3"}
}

tgtd_target()
{
    local name=$1 size=$2 option params=() new=() digest='' chap='' mutual=''
    local serial
    shift 2

    serial=$(printf '%s' "$name" | cksum | cut -d' ' -f1)
    for option in "$@"; do
        case $option in
        chap=*) chap=${option#*=} ;;
        mutual=*) mutual=${option#*=} ;;
        digest) digest=1 ;;
        readonly) params+=(readonly=1) ;;
        block=*) new+=(--blocksize "${option#*=}") ;;
        serial=*) serial=${option#*=} ;;
        thin) params+=(thin_provisioning=1) ;;
        *) echo "tgtd_target: option $option is not known" >&2; return 1 ;;
        esac
    done
    params+=("scsi_sn=$serial" "scsi_id=test-$serial")

    TGTD_TID=$((TGTD_TID + 1))
    tgtd_save
    TGTD_IMAGE=$TGTD_DIR/$name.img
    [ -e "$TGTD_IMAGE" ] || truncate -s "$size" "$TGTD_IMAGE" || return 1
    tgtd_adm --op new --mode target --tid "$TGTD_TID" \
        --targetname "iqn.2026-01.test:$name" || return 1
    tgtd_adm --op new --mode logicalunit --tid "$TGTD_TID" --lun 1 --bstype rdwr \
        --backing-store "$TGTD_IMAGE" "${new[@]}" || return 1
    for option in "${params[@]}"; do
        tgtd_adm --op update --mode logicalunit --tid "$TGTD_TID" --lun 1 \
            --params "$option" || return 1
    done
    if [ -n "$digest" ]; then
        tgtd_adm --op update --mode target --tid "$TGTD_TID" \
            --name HeaderDigest --value CRC32C || return 1
    fi
    [ -z "$chap" ] || tgtd_account "$TGTD_TID" "$chap" || return 1
    [ -z "$mutual" ] || tgtd_account "$TGTD_TID" "$mutual" --outgoing || return 1
    tgtd_adm --op bind --mode target --tid "$TGTD_TID" --initiator-address ALL
}

tgtd_connections()
{
    tgtd_adm --op show --mode conn --tid "$1"
}
