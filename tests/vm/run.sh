#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The tests with real kernels: every script of this folder that is named in the
# list, or those given as arguments. One line per test; see tests/run.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
scripts="
usb
disk
media
hosts
lifecycle
rough
wire
faults
outage
cache
frozen
cable
try
"
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $scripts
for name; do
    bash "$here/$name.sh"
done
