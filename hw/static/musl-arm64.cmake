# SPDX-License-Identifier: BSD-2-Clause
# Toolchain: static arm64 binaries against musl, on amd64.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(_cc /usr/bin/aarch64-linux-musl-gcc)
set(_asm /usr/include/aarch64-linux-gnu/asm)
include("${CMAKE_CURRENT_LIST_DIR}/musl.cmake")

# Tests run where an emulator is installed (qemu-user-static).
find_program(LUNSTICK_QEMU_ARM64 qemu-aarch64-static)
if(LUNSTICK_QEMU_ARM64)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${LUNSTICK_QEMU_ARM64}")
endif()
