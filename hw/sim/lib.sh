#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the scripts of the simulated Pi share: names, places, processes.
# To be sourced, by bash, under `set -euo pipefail`.
#
# A simulation is one network namespace with the guests in it. Its name is
# LUNSTICK_SIM; several may run side by side. Everything it keeps is below
# $sim_run. A process is recorded there by id and start time, and only what is
# recorded, and still is that process, is ever ended.

sim_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=SCRIPTDIR/../common.sh
. "$sim_dir/../common.sh"

LUNSTICK_SIM=${LUNSTICK_SIM:-lunstick-sim}
LUNSTICK_SIM_SUITE=${LUNSTICK_SIM_SUITE:-bookworm}
case $LUNSTICK_SIM in
*[!A-Za-z0-9._-]* | .* | '') die "LUNSTICK_SIM='$LUNSTICK_SIM' is not a name" \
    "letters, digits, dots, dashes" ;;
esac
sim_run=/run/lunstick-sim/$LUNSTICK_SIM
# shellcheck disable=SC2034
sim_cache=$LUNSTICK_CACHE/sim

# What usb-redir gets for LUNSTICK_SIM_PCAP: the host's end of the cable, as pcap.
# shellcheck disable=SC2034
sim_pcap=${LUNSTICK_SIM_PCAP:+,pcap=$LUNSTICK_SIM_PCAP}

# Words for a kernel that starts many programs: at the same address each time, none
# of them is translated by QEMU twice. A third of the time; the others are a tenth.
# shellcheck disable=SC2034
sim_fast="norandmaps nokaslr audit=0 apparmor=0 init_on_alloc=0 rcupdate.rcu_expedited=1"

# usage: the comment at the top of the script that calls, as help; exit 2.
usage() { sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

need_root() { [ "$(id -u)" -eq 0 ] || die "needs root for a network namespace" "use sudo"; }

# start_time PID: of a living process, in clock ticks since boot. A zombie is dead.
start_time() {
    local stat
    read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ "$1" != Z ] && echo "${20}"
}

# record NAME PID: makes a process one of the simulation's.
record() {
    local t
    t=$(start_time "$2") || return 0
    mkdir -p "$sim_run/pids"
    echo "$2 $t" >"$sim_run/pids/$1"
}

# alive NAME: whether the recorded process still runs. Sets $pid.
alive() {
    local t
    read -r pid t 2>/dev/null <"$sim_run/pids/$1" && [ "$(start_time "$pid")" = "$t" ]
}

# end NAME: ends the recorded process, gently for a second. Returns when it is gone.
end() {
    local i
    if alive "$1"; then
        kill -TERM "$pid" 2>/dev/null || true
        for ((i = 0; i < 20; i++)); do
            alive "$1" || break
            sleep 0.05
        done
        if alive "$1"; then kill -KILL "$pid" 2>/dev/null || true; fi
        while alive "$1"; do sleep 0.05; done
    fi
    rm -f "$sim_run/pids/$1"
}

net_is_up() { ip netns list 2>/dev/null | grep -qE "^$LUNSTICK_SIM( |\$)"; }

# spawn NAME LOG CMD...: starts a recorded process inside the namespace, detached
# from the terminal and from the caller's files.
spawn() {
    local name=$1 log=$2
    shift 2
    setsid ip netns exec "$LUNSTICK_SIM" "$@" </dev/null >"$log" 2>&1 &
    record "$name" $!
}
