#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The tests with real kernels: every script of this folder that is named in the
# list, or those given as arguments. One line per test; see tests/run.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -eq 0 ]; then
    set -- usb disk media lifecycle rough wire faults cable hosts try
fi
for name; do
    bash "$here/$name.sh"
done
