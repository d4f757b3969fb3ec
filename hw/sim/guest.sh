#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The guests: start, stop, run a command inside. To be sourced by the scripts
# pi, host, both and boot, which say what kind of guest it is:
#
#   guest         its name, also of its tap, address and profile
#   guest_memory  in MiB
#   guest_qemu    what its QEMU gets beside the common options
#   guest_append  the same for the kernel command line
#
# Commands travel over virtio ports (guest/agent says how), so a guest without a
# working network still answers. Each of the four ports takes one command at a
# time; a caller waits for a free one. A port whose caller went away in the
# middle is left as "$port.busy" and brought back in step by the next caller.

# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

guest_run=$sim_run/$guest
guest_ports=4

# The log outlives the guest until `net down`; in LUNSTICK_SIM_LOGS it stays.
guest_log=${LUNSTICK_SIM_LOGS:-$guest_run}/console-$guest.log

guest_is_up() { alive "qemu-$guest"; }

guest_start() {
    local extra=() disks=() i kernel
    while [ $# -gt 0 ]; do
        case $1 in
        --lunstickd | --add) extra+=("$1" "${2:?}"); shift 2 ;;
        --disk) disks+=("${2:?}"); shift 2 ;;
        *) usage ;;
        esac
    done
    guest_begin
    "$sim_dir/initramfs" "${extra[@]}" "$guest_run/initrd"
    read -r kernel < <("$sim_dir/kernel")
    for i in "${!disks[@]}"; do
        guest_qemu+=(-drive "if=none,id=disk$i,format=raw,file=${disks[i]}"
                     -device "virtio-blk-pci,drive=disk$i")
    done
    guest_virt "$kernel" "$guest_run/initrd" "console=ttyAMA0 quiet loglevel=4 panic=-1 \
sim.profile=$guest sim.address=$("$sim_dir/net" address "$guest") \
sim.speed=${LUNSTICK_SIM_SPEED:-high} $guest_append ${LUNSTICK_SIM_WORDS:-}" -no-reboot
    guest_wait "${LUNSTICK_SIM_BOOT_SECONDS:-60}"
}

# guest_begin: what every start begins with; an empty $guest_run.
guest_begin() {
    ! guest_is_up || die "the $guest guest runs already" "hw/sim/$guest stop"
    "$sim_dir/net" up
    need_packages qemu-system-arm
    mkdir -p "$guest_run" "${guest_log%/*}"
    rm -f "$guest_run"/agent*
}

# guest_virt KERNEL INITRD WORDS OPTION...: the QEMU process, with virtio ports and
# the guest's network card. INITRD may be empty.
guest_virt() {
    local kernel=$1 initrd=$2 words=$3 ports=() i cpu=()
    shift 3
    for ((i = 1; i <= guest_ports; i++)); do
        mkfifo "$guest_run/agent$i.in" "$guest_run/agent$i.out"
        ports+=(-chardev "pipe,id=agent$i,path=$guest_run/agent$i"
                -device "virtserialport,nr=$i,chardev=agent$i,name=agent$i")
    done
    case ${LUNSTICK_SIM_ICOUNT:-0} in
    0) cpu=(-smp "${LUNSTICK_SIM_CPUS:-1}" -accel tcg) ;;
    1) cpu=(-smp 1 -accel tcg,thread=single -icount shift=0,sleep=off) ;;
    *) cpu=(-smp 1 -accel tcg,thread=single -icount shift=0,sleep=on) ;;
    esac
    guest_spawn -serial "file:$guest_log" -M "virt,gic-version=${guest_gic:-3}" -cpu cortex-a72 "${cpu[@]}" \
        -m "${LUNSTICK_SIM_MEMORY:-$guest_memory}" -device virtio-serial-pci "${ports[@]}" \
        -device "virtio-net-pci,netdev=net,romfile=,mac=$("$sim_dir/net" mac "$guest")" \
        -kernel "$kernel" ${initrd:+-initrd "$initrd"} -append "$words" "${guest_qemu[@]}" "$@"
}

# guest_spawn OPTION...: what every guest has: its name, its tap as the netdev `net`.
guest_spawn() {
    spawn "qemu-$guest" "$guest_run/qemu.log" qemu-system-aarch64 \
        -name "$LUNSTICK_SIM-$guest" -nodefaults -display none \
        -netdev "tap,id=net,ifname=$guest,script=no,downscript=no" "$@"
}

# guest_wait SECONDS: until its agent answers. A serial port, which is the only one then,
# loses what comes before somebody listens.
guest_wait() {
    local limit=$1 patience=$1 until=$((SECONDS + $1))
    [ "$guest_ports" -gt 1 ] || patience=3
    until guest_call "$patience" sync 0 /dev/null 2>/dev/null; do
        guest_is_up || die "the $guest guest ended at once: $(tail -n 1 "$guest_run/qemu.log")" \
            "its console log is $guest_log"
        [ $SECONDS -ge $until ] || continue
        guest_stop
        die "the $guest guest did not reach its shell within $limit s" \
            "its console log is $guest_log"
    done
    say "the $guest guest is up"
}

guest_stop() {
    end "qemu-$guest"
    find "$guest_run" -mindepth 1 ! -name 'console-*' -delete 2>/dev/null || true
}

# guest_call SECONDS VERB LIMIT BODY [ARG...]: one request over a free port, with
# the file BODY; the answer's two streams go to stdout and stderr, its status is
# returned. Fails with a message and status 125 if there is no answer within
# SECONDS.
guest_call() (
    local patience=$1 verb=$2 limit=$3 body=$4 port='' i lock in out id status len errlen deadline n
    local got line part
    shift 4
    id=$BASHPID.$RANDOM$RANDOM
    fail() { echo "${0##*/}: $1" >&2; exit 125; }
    guest_is_up || fail "the $guest guest is not running (hw/sim/$guest start)"

    # a free port, or the first that becomes free; rather one that is in step
    for i in busy idle wait; do
        [ -z "$port" ] || break
        for ((n = 1; n <= guest_ports; n++)); do
            port=$guest_run/agent$n
            exec {lock}>>"$port.lock"
            case $i in
            busy) [ ! -e "$port.busy" ] && flock -n "$lock" && break ;;
            idle) flock -n "$lock" && break ;;
            wait) flock -w "$patience" "$lock" && break ;;
            esac
            exec {lock}>&-
            port=''
        done
    done
    [ -n "$port" ] || fail "the $guest guest had no free port for $patience s"
    exec {in}<>"$port.in" {out}<>"$port.out"

    # the answer to a sync is the last thing to come: whatever is before it is
    # the rest of an answer that nobody waited for
    if [ -e "$port.busy" ]; then
        echo "sync $id.sync 0 0" >&$in
        timeout "$patience" grep -qam 1 "^$id.sync " <&$out ||
            fail "the $guest guest does not answer"
    fi
    : >"$port.busy"
    echo "$verb $id $limit $(stat -Lc %s "$body") $*" >&$in
    timeout "$patience" cat "$body" >&$in || fail "the $guest guest does not listen"
    deadline=$((SECONDS + patience))
    # a read whose time is up in the middle of a line has taken the line's beginning
    line=''
    while :; do
        if IFS= read -r -t 1 -u "$out" part; then
            read -r got status len errlen <<<"$line$part"
            [ "$got" != "$id" ] || break
            line=''
        else
            line+=$part
        fi
        guest_is_up || fail "the $guest guest ended in the middle (log: $guest_log)"
        [ $SECONDS -lt $deadline ] || fail "the $guest guest gave no answer within $patience s"
    done
    timeout "$patience" head -c "$len" <&$out
    timeout "$patience" head -c "$errlen" <&$out >&2
    rm -f "$port.busy"
    exit "$status"
)

# guest_request VERB SECONDS BODY [ARG...]: with a time limit that counts in the
# guest; here there is some more. A guest that counts instructions is slower than
# its clock.
guest_request() {
    local verb=$1 limit=$2 body=$3 factor=1 status=0
    shift 3
    [ "${LUNSTICK_SIM_ICOUNT:-0}" != 1 ] || factor=20
    guest_call $((limit * factor + 15)) "$verb" "$limit" "$body" "$@" || status=$?
    [ $status != 124 ] || echo "${0##*/}: stopped after $limit s in the $guest guest" >&2
    return $status
}

guest_main() {
    local verb=${1:-} limit=60 body
    [ $# -gt 0 ] || usage
    shift
    if [ "${1:-}" = -t ]; then limit=${2:?}; shift 2; fi
    body=$(mktemp)
    # shellcheck disable=SC2064
    trap "rm -f '$body'" EXIT
    case $verb in
    start) need_root; guest_start "$@" ;;
    stop) need_root; guest_stop ;;
    run)
        [ $# -gt 0 ] || usage
        if [ "$*" = - ]; then cat; else printf '%s\n' "$*"; fi >"$body"
        guest_request run "$limit" "$body"
        ;;
    put)
        [ $# -eq 2 ] || usage
        [ -f "$1" ] || die "there is no file $1"
        guest_request put "$limit" "$1" "$(stat -Lc %a "$1")" "$2" ||
            die "cannot write $2 in the $guest guest"
        ;;
    get)
        [ $# -eq 2 ] || usage
        guest_request get "$limit" /dev/null 0 "$1" >"$2.part" || {
            rm -f "$2.part"
            die "cannot read $1 in the $guest guest"
        }
        mv -f "$2.part" "$2"
        ;;
    log) cat "$guest_log" ;;
    console) exec tail -n +1 -f "$guest_log" ;;
    *) usage ;;
    esac
}
