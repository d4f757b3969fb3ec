# SPDX-License-Identifier: BSD-2-Clause
# Toolchain: static amd64 binaries against musl, on amd64.
set(_cc /usr/bin/musl-gcc)
set(_asm /usr/include/x86_64-linux-gnu/asm)
include("${CMAKE_CURRENT_LIST_DIR}/musl.cmake")
