#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The conformance suite of libiscsi (iscsi-test-cu, family SCSI), run in the host
# against the USB disk's SCSI device, and in the same host straight against a disk
# of the same make on the same tgtd: thinly provisioned, with --dataloss. The
# verdicts have to be the same; where they are not, a list of raw CBWs has to show
# that the bytes are (cdbs.txt, cdb_compare).
#
# A test that the suite skips on one side did not run on both.
# CONFORMANCE: short (default) leaves out what takes long; long leaves out nothing.
. "$(dirname "$0")/lib.sh"
vm_begin conformance
export LUNSTICK_SIM_PACKAGES=libiscsi-bin
programs=$root/build/musl-arm64/tests/vm
limit=900
[ "${CONFORMANCE:=short}" = short ] || limit=7200

# Each moves tens of megabytes, or asks thousands of times.
takes_long() {
    case $1 in
    OrWrite.Simple | OrWrite.Verify | Prefetch*.Simple | Read[16]*.Simple | Unmap.Simple) ;;
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
# kernel makes CHECK CONDITION of that.
shown_by() {
    case $1 in
    ProutRegister.Simple) echo register-with-the-wrong-key ;;
    *) return 1 ;;
    esac
}

# Some tests say only when they are verbose that they are skipped.
# verdicts LOG: a line `SUITE.TEST passed|failed|skipped` for each test that ended.
verdicts() {
    awk '/^Suite: / { suite = $2 }
        /^  Test: / { name = suite "." $2; skipped = 0; open = 1 }
        open && /\[SKIPPED\]/ { skipped = 1 }
        open && /(^|[.][.][.])passed/ { print name, skipped ? "skipped" : "passed"; open = 0 }
        open && /(^|[.][.][.])FAILED/ { print name, "failed"; open = 0 }' "$1"
}

# run_suite SIDE DEVICE: the tests of $work/SIDE.tests, in the host; the verdicts go
# to $work/SIDE. A test in which the suite dies has failed; what is behind it runs.
run_suite() {
    local left=$work/$1.tests ended
    : >"$work/$1"
    while [ -s "$left" ]; do
        sed 's/^/SCSI./' "$left" >"$work/list"
        host put "$work/list" /run/list
        host run -t "$limit" "iscsi-test-cu --dataloss --Verbose-scsi --test=/run/list $2 >/run/$1.log 2>&1 || true"
        host get -t 300 "/run/$1.log" "$work/$1.log"
        ended=$(verdicts "$work/$1.log" | tee -a "$work/$1" | wc -l)
        tail -n +$((ended + 1)) "$left" >"$work/left"
        mv "$work/left" "$left"
        [ -s "$left" ] || break
        grep '^  Test: ' "$work/$1.log" || { cat "$work/$1.log"; return 1; }
        echo "$(head -n 1 "$left") failed" >>"$work/$1"
        sed -i 1d "$left"
    done
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
    # the suite asks for more than the 120 KiB that usb-storage lets through
    host run 'echo 1024 >/sys/block/sda/device/max_sectors'
    run_suite here /dev/sg0
    # NAME HERE THERE of those that ran on both
    join <(sort "$work/here") <(sort "$work/there") | awk '$2 != "skipped"' >"$work/both"
    [ -s "$work/both" ]
}

count() { awk "$1" "$work/both" | wc -l; }

summary() {
    local ran
    ran=$(wc -l <"$work/both")
    echo "   conformance ($CONFORMANCE): run $ran, equal $(count '$2 == $3')," \
        "different $(count '$2 != $3'), skipped $(($(wc -l <"$work/all") - ran))"
    awk '$2 != $3 { print "   " $1 ": " $2 " here, " $3 " there" }' "$work/both"
}

nine_of_ten() { [ $(($(count '$2 == $3') * 10)) -ge $(($(wc -l <"$work/both") * 9)) ]; }

what_fails_here_alone_has_the_same_bytes() {
    local name line
    for name in $(awk '$2 == "failed" && $3 == "passed" { print $1 }' "$work/both"); do
        line=$(shown_by "$name") || { echo "$name fails here and passes there"; return 1; }
        grep -A3 "^$line:" "$work/compared" | tee "$work/line"
        [ -s "$work/line" ] && ! grep -q DIFFERENT "$work/line"
    done
}

bytes_are_the_same() {
    host put "$programs/cdb_compare" /run/cdb_compare
    host put "$root/tests/vm/cdbs.txt" /run/cdbs
    host run "/run/cdb_compare iscsi://$PORTAL/iqn.2026-01.test:there/1 </run/cdbs" >"$work/compared" || {
        grep -B3 DIFFERENT "$work/compared" || tail -n 3 "$work/compared"
        return 1
    }
    disk_wait host
}

no_reset() {
    host run 'dmesg' >"$work/dmesg"
    ! grep -E 'reset .*USB device|device offline|I/O error' "$work/dmesg"
}

target_start
tgtd_target here 1G thin serial=1
tgtd_target there 1G thin serial=1
host start &
booting=$!
pi start --lunstickd "$LUNSTICKD"
wait "$booting"
daemon_start pi "$(url here)"
disk_wait host

test_case "conformance: $(grep -c '^[a-z]' "$root/tests/vm/cdbs.txt") raw CBWs have the target's data, status and sense" bytes_are_the_same
test_case "conformance: iscsi-test-cu runs on the USB disk and on the target" suite_runs
# in one piece: other scripts write, too
[ ! -s "$work/both" ] || printf '%s\n' "$(summary)"
test_case "conformance: nine of ten verdicts are the target's own" nine_of_ten
test_case "conformance: what fails here alone has the same bytes on both sides" what_fails_here_alone_has_the_same_bytes
test_case "conformance: no reset, no I/O error" no_reset
