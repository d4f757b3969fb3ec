#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/package/debian.sh [SUITE]: builds and tests what is committed in a
# minimal Debian SUITE (trixie by default, or bookworm) that has nothing but apt:
# whether the scripts install what they need, and the presets build with that
# suite's compilers and libraries. By hand; root; two minutes, 2 GB below TMPDIR,
# all of which is deleted in the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=../../hw/common.sh
. hw/common.sh
# shellcheck source=../lib.sh
. tests/lib.sh

suite=${1:-trixie}
[ "$(id -u)" -eq 0 ] || die "needs root" "use sudo" 2
need_packages mmdebstrap git
archive=$(_debian_archive)
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/root

system() {
    mmdebstrap --quiet --variant=apt "$suite" "$root" \
        "deb [signed-by=${archive#* }] ${archive%% *} $suite main"
}

# inside COMMAND: in the new system, whose mounts and processes end with it.
inside() {
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child sh -euc '
        mount --rbind /dev "$1/dev"
        mount -t proc proc "$1/proc"
        mount -t tmpfs tmp "$1/tmp"
        exec env -i PATH=/usr/sbin:/usr/bin chroot "$1" bash -euo pipefail -c "cd /lunstick; $2"
    ' sh "$root" "$1"
}

preset() { inside "cmake --preset $1 && cmake --build --preset $1"; }

say "making a Debian $suite"
check "$suite is made" system
mkdir "$root/lunstick"
git -c safe.directory="$PWD" archive HEAD | tar -x -C "$root/lunstick"
check "$suite: tests/run.sh unit" inside "tests/run.sh unit"
check "$suite: hw/static/fetch" inside hw/static/fetch
for name in clang release musl-amd64 musl-arm64; do
    say "building $name"
    check "$suite: preset $name builds" preset "$name"
done
for name in release musl-arm64; do
    inside "BUILD=build/$name tests/package/run.sh" | sed -u "s/^\(ok\|FAIL\|skip\) /\1 $suite $name: /"
done
