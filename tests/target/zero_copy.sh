#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# That bridge/, gadget/ and initiator/ never copy what the host reads and writes:
# the same number of transfers of 4 KiB and of 64 KiB, one segment each, between
# a scripted USB port and tgtd, under callgrind. What our functions execute, and
# what the C library executes for them, must not grow with the length. Called by
# run.sh: BUILD, TARGET_DIR, TARGET_PORT, TARGET_FIXTURE.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib.sh
. "$here/../lib.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

small=4096 large=65536

# costs BYTES: for each of our functions "FILE FUNCTION COPIES OTHERS", in
# instructions per call: within memcpy, memmove and memset that it calls; its own
# and within what else of the C library it calls.
costs()
{
    LD_BIND_NOW=1 ZERO_COPY_BYTES=$1 timeout 100 valgrind --quiet --tool=callgrind \
        --toggle-collect=zero_copy_transfers --compress-strings=no --compress-pos=no \
        --callgrind-out-file="$work/out.$1.%p" "$BUILD/tests/target/test_bridge" transfers_of_one_segment \
        >"$work/said" 2>&1 || { cat "$work/said" >&2; return 1; }
    grep -l '^fn=zero_copy_transfers' "$work/out.$1".* | head -n 1 | xargs awk '
        function short(file) { sub(/.*=/, "", file)
            return match(file, /(bridge|gadget|initiator)\/[a-z0-9_]+\.[ch]$/) ? substr(file, RSTART) : "" }
        /^ob=/ { object = callee_object = $0; next }
        /^fl=/ { file = callee_file = short($0); next }
        /^fn=/ { name = file " " substr($0, 4); next }
        /^cob=/ { callee_object = $0; next }
        /^cf[il]=/ { callee_file = short($0); next }
        /^cfn=/ { callee = substr($0, 5); next }
        /^calls=/ {
            split(substr($1, 7), count, " ")
            if (callee_file != "")
                calls[callee_file " " callee] += count[1]
            getline
            if (file != "" && callee ~ /mem(cpy|move|set|pcpy)/)
                copies[name] += $2
            else if (file != "" && callee_object ~ /\/libc[.-]/)
                others[name] += $2
            callee_object = object
            callee_file = file
            next
        }
        /^[0-9]/ && file != "" { others[name] += $2 }
        END { for (name in calls) print name, int(copies[name] / calls[name]), int(others[name] / calls[name]) }' |
        sort >"$work/costs.$1"
    # Without these nothing was measured.
    grep -q '^gadget/bot.c on_io_done ' "$work/costs.$1" && grep -q '^initiator/conn.c lend_buffers ' "$work/costs.$1" &&
        grep -q '^bridge/segment.c ' "$work/costs.$1"
}

# growth LIMIT PATTERN: fails if a function of a file that matches grew by more
# than LIMIT instructions per call; the worst are shown.
growth()
{
    awk -v limit="$1" -v files="$2" '
        NR == FNR { copies[$1 " " $2] = $3; others[$1 " " $2] = $4; next }
        $1 ~ files {
            copied = $3 - copies[$1 " " $2]
            more = copied + $4 - others[$1 " " $2]
            printf "%s: %d instructions more per call, %d of them in memcpy and the like\n", $1 " " $2, more, copied
            if (more > limit)
                bad = 1
        }
        END { exit bad }' "$work/costs.$small" "$work/costs.$large" >"$work/growth"
    local status=$?
    sort -t: -k2 -rn "$work/growth" | head -n 5
    return $status
}

# A copy costs an instruction for each 32 bytes at the very least: 1920.
no_copy() { growth 500 '^(bridge|gadget|initiator/[^g])'; }

# Two marks and two looks at them for each 512 bytes of a READ, without
# optimisation: an instruction for 16 bytes, far less than a look at the data.
guard_is_cheap() { growth 4096 '^initiator/guard'; }

measure() { costs $small && costs $large; }

check "zero copy: transfers of $small and $large bytes are counted" measure
check "zero copy: no function of ours works more for longer data" no_copy
check "zero copy: proving that data-in came costs little" guard_is_cheap
