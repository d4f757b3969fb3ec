# SPDX-License-Identifier: BSD-2-Clause
#
# What musl-amd64.cmake and musl-arm64.cmake share. They set:
#   _cc    the compiler
#   _asm   the directory of the architecture's kernel headers asm/
if(NOT EXISTS "${_cc}")
  message(FATAL_ERROR "${_cc} is missing: run hw/static/fetch")
endif()
set(CMAKE_C_COMPILER "${_cc}")

# The kernel's headers are in the C library's own directory, which musl must not
# see: a directory of links to them alone, searched last.
set(_kernel "${CMAKE_BINARY_DIR}/kernel-headers")
if(NOT EXISTS "${_asm}" OR NOT EXISTS /usr/include/linux/version.h)
  message(FATAL_ERROR "the kernel headers ${_asm} are missing: run hw/static/fetch")
endif()
file(MAKE_DIRECTORY "${_kernel}")
file(CREATE_LINK "${_asm}" "${_kernel}/asm" SYMBOLIC)
foreach(_name linux asm-generic mtd)
  file(CREATE_LINK "/usr/include/${_name}" "${_kernel}/${_name}" SYMBOLIC)
endforeach()

set(CMAKE_C_FLAGS_INIT "-idirafter \"${_kernel}\" -fno-pie -ffunction-sections -fdata-sections \
-fno-unwind-tables -fno-asynchronous-unwind-tables")
# -static: with -static-pie the linker makes a dynamic binary, and says nothing.
# norelro: RELRO would protect 200 bytes here and costs up to 64 KB of padding.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static -no-pie -Wl,--gc-sections -Wl,-z,norelro")

# Nothing of the build machine's may slip in.
set(CMAKE_FIND_ROOT_PATH "${_kernel}")
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
