#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The conformance suite of libiscsi (iscsi-test-cu, family SCSI), run in the host
# against the USB disk's SCSI device, and in the same host straight against a disk
# of the same make on the same tgtd: thinly provisioned, with --dataloss. The
# verdicts have to be the same; where they are not, a list of raw CBWs has to show
# that the bytes are (cdbs.txt, cdb_compare).
#
# A test that the suite skips on one side did not run on both; what it skips here
# and not there has to be what needs a second iSCSI session.
# CONFORMANCE: short (default) leaves out what takes long; long leaves out nothing.
. "$(dirname "$0")/lib.sh"
vm_begin conformance
export LUNSTICK_SIM_PACKAGES=libiscsi-bin
programs=$root/build/musl-arm64/tests/vm
limit=900
[ "${CONFORMANCE:=short}" = short ] || limit=7200

# Each moves tens of megabytes, or asks five hundred times and more.
takes_long() {
    case $1 in
    GetLBAStatus.Simple | OrWrite.Simple | OrWrite.Verify | Prefetch*.Simple | Read[16]*.Simple | Unmap.Simple) ;;
    Verify*.Simple | Write[1SV]*.Simple | *.BeyondEol | *.Mismatch* | *.Async) ;;
    WriteSame*.Check | WriteSame*.ZeroBlocks | WriteSame*.Unmap | WriteSame*.UnmapUntilEnd) ;;
    Reserve6.LUNReset | Reserve6.ITNexusLoss) ;;
    *) return 1 ;;
    esac
}

# Speaks iSCSI whatever device it was given, and dies where there is no session.
is_for_iscsi() { [ "$1" = ReportLUNs.Simple ]; }

# The line of cdbs.txt that shows the same bytes for a test that differs.
# RESERVATION CONFLICT cannot come over BOT: it comes as its sense, and the host's
# kernel makes CHECK CONDITION of that. 65536 blocks in one command are one more than
# usb-storage can be told to let through: the host's kernel refuses the READ.
shown_by() {
    case $1 in
    ProutRegister.Simple) echo register-without-the-key ;;
    WriteSame16.Unmap) echo read-unmapped-32-mib ;;
    *) return 1 ;;
    esac
}

# Some tests say only when they are verbose that they are skipped, and why.
# verdicts LOG: a line `SUITE.TEST passed|failed|skipped WHY` for each test that
# ended. WHY of one that failed: where in the suite's source.
verdicts() {
    awk 'function tell() { if (verdict) print name, verdict, why; verdict = why = "" }
        /^Suite: / { tell(); suite = $2 }
        /^  Test: / { name = suite "." $2 }
        /\[SKIPPED\]/ { why = $0; sub(/.*\[SKIPPED\] */, "", why) }
        /(^|[.][.][.])passed/ { verdict = why ? "skipped" : "passed" }
        /(^|[.][.][.])FAILED/ { verdict = "failed"; why = "" }
        verdict == "failed" && match($0, /[a-z0-9_]+[.]c:[0-9]+/) {
            place = substr($0, RSTART, RLENGTH)
            if (!index(why, place)) why = why (why ? " " : "") place
        }
        /^Run Summary:/ { tell() }' "$1"
}

# counted LOG VERDICTS: they are as many as the suite says itself, if it lived to say so.
counted() {
    local told
    told=$(awk '$1 == "tests" { print $3, $5 }' "$1")
    [ -z "$told" ] || same "tests and failures" "$told" "$(wc -l <"$2") $(awk '$2 == "failed"' "$2" | wc -l)"
}

# run_suite SIDE DEVICE: the tests of $work/SIDE.tests, in the host; the verdicts go
# to $work/SIDE. A test in which the suite dies has failed; what is behind it runs.
run_suite() {
    local left=$work/$1.left
    cp "$work/$1.tests" "$left"
    : >"$work/$1"
    while [ -s "$left" ]; do
        sed 's/^/SCSI./' "$left" >"$work/list"
        host put "$work/list" /run/list
        host run -t "$limit" "iscsi-test-cu --dataloss --Verbose-scsi --test=/run/list $2 >/run/$1.log 2>&1 || true"
        host get -t 300 "/run/$1.log" "$work/$1.log"
        verdicts "$work/$1.log" >"$work/ended"
        counted "$work/$1.log" "$work/ended"
        grep -q '^  Test: ' "$work/$1.log" || { cat "$work/$1.log"; return 1; }
        cat "$work/ended" >>"$work/$1"
        sed -i "1,$(wc -l <"$work/ended")d" "$left"
        [ -s "$left" ] || break
        echo "$(head -n 1 "$left") failed it ended the suite" >>"$work/$1"
        sed -i 1d "$left"
    done
    same "tests of $1" "$(cat "$work/$1.tests")" "$(cut -d' ' -f1 "$work/$1")"
}

suite_runs() {
    local name
    host run 'iscsi-test-cu --list' | sed -n 's/^SCSI\.\(.*\..*\)/\1/p' >"$work/all"
    while read -r name; do
        [ "$CONFORMANCE" = short ] && takes_long "$name" || echo "$name"
    done <"$work/all" >"$work/there.tests"
    run_suite there "iscsi://$PORTAL/iqn.2026-01.test:there/1"
    # what is skipped there decides nothing here
    awk '$2 != "skipped" { print $1 }' "$work/there" | while read -r name; do
        is_for_iscsi "$name" || echo "$name"
    done >"$work/here.tests"
    # the suite asks for more than the 120 KiB that usb-storage lets through by itself
    host run 'echo 1024 >/sys/block/sda/device/max_sectors'
    run_suite here /dev/sg0
    # NAME HERE THERE of those that ran on both
    join <(cut -d' ' -f1,2 "$work/here" | sort) <(cut -d' ' -f1,2 "$work/there" | sort) |
        awk '$2 != "skipped"' >"$work/both"
    [ -s "$work/both" ]
}

# ran CONDITION: how many of those that ran on both
ran() { awk "$1" "$work/both" | wc -l; }

summary() {
    local all there
    all=$(wc -l <"$work/all") there=$(wc -l <"$work/there.tests")
    echo "   conformance ($CONFORMANCE): run $(ran 1), equal $(ran '$2 == $3')" \
        "($(ran '$2 $3 == "failedfailed"') of them fail on both), different $(ran '$2 != $3')," \
        "skipped $((all - $(ran 1))): left out for the short form $((all - there))," \
        "by the target $(awk '$2 == "skipped"' "$work/there" | wc -l)," \
        "only for iSCSI $((there - $(awk '$2 == "skipped"' "$work/there" | wc -l) - $(ran 1)))"
    awk '$2 != $3 { print "   " $1 ": " $2 " here, " $3 " there" }' "$work/both"
}

nine_of_ten() { [ $(($(ran '$2 == $3') * 10)) -ge $(($(ran 1) * 9)) ]; }

skipped_here_needs_iscsi() {
    ! awk '$2 == "skipped"' "$work/here" | grep -v 'Not an iSCSI device'
}

same_place() {
    local name
    for name in $(awk '$2 $3 == "failedfailed" { print $1 }' "$work/both"); do
        same "where it fails" "$(grep "^$name " "$work/there")" "$(grep "^$name " "$work/here")"
    done
}

what_fails_here_alone_has_the_same_bytes() {
    local name line
    for name in $(awk '$2 == "failed" && $3 == "passed" { print $1 }' "$work/both"); do
        line=$(shown_by "$name") || { echo "$name fails here and passes there"; return 1; }
        grep -A2 "^$line:" "$work/compared" || { echo "$line was not asked"; return 1; }
        ! different "$work/compared" | grep -x "$line" || return 1
    done
}

# compare NAME LIST: the list to the USB disk and to that target; the answers on stdout
compare() {
    host put "$2" /run/cdbs
    host run -t 300 "/run/cdb_compare iscsi://$PORTAL/iqn.2026-01.test:$1/1 </run/cdbs"
}

# The names of those that differ.
different() { awk '/^[a-z]/ { name = $1 } /^  DIFFERENT/ { sub(/:$/, "", name); print name }' "$1"; }

bytes_are_the_same() {
    host put "$programs/cdb_compare" /run/cdb_compare
    compare there "$work/cdbs" >"$work/compared" || {
        grep -B3 DIFFERENT "$work/compared" || tail -n 3 "$work/compared"
        return 1
    }
    disk_wait host
}

# Half as large, of another serial number, not thin, and nobody wrote to it.
another_disk_differs() {
    local status=0
    grep -E '^(read|unmap|inquiry-serial|read-capacity-10|test-unit-ready|read-beyond-the-end) ' \
        "$work/cdbs" >"$work/few"
    compare other "$work/few" >"$work/others" || status=$?
    disk_wait host
    cat "$work/others"
    same "exit status" 1 "$status"
    same "what differs" "read unmap read-capacity-10 inquiry-serial" "$(different "$work/others" | xargs)"
}

no_reset() {
    host run 'dmesg' >"$work/dmesg"
    ! grep -E 'reset .*USB device|device offline|I/O error' "$work/dmesg"
}

target_start
# WRITE SAME of 0 blocks writes it all, and the suite gives a SCSI device five seconds.
tgtd_target here 128M thin serial=1
tgtd_target there 128M thin serial=1
tgtd_target other 64M serial=2
host start &
booting=$!
pi start --lunstickd "$LUNSTICKD"
wait "$booting"
daemon_start pi "$(url here)"
disk_wait host

sed "$([ "$CONFORMANCE" = long ] || echo '/^# the long form alone/,$d')" "$root/tests/vm/cdbs.txt" >"$work/cdbs"
test_case "conformance: $(grep -c '^[a-z]' "$work/cdbs") raw CBWs have the target's data, status and sense" bytes_are_the_same
test_case "conformance: another disk is found to differ" another_disk_differs
test_case "conformance: iscsi-test-cu runs on the USB disk and on the target" suite_runs
# in one piece: other scripts write, too
[ ! -s "$work/both" ] || printf '%s\n' "$(summary)"
test_case "conformance: nine of ten verdicts are the target's own" nine_of_ten
test_case "conformance: what fails on both fails in the same place" same_place
test_case "conformance: what fails here alone has the same bytes on both sides" what_fails_here_alone_has_the_same_bytes
test_case "conformance: only what needs a session of its own is skipped here" skipped_here_needs_iscsi
test_case "conformance: no reset, no I/O error" no_reset
