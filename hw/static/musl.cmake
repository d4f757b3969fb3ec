# SPDX-License-Identifier: BSD-2-Clause
#
# What musl-amd64.cmake and musl-arm64.cmake share. They set:
#   _cc    the compiler
#   _asm   directories that may hold the architecture's kernel headers asm/
if(NOT EXISTS "${_cc}")
  message(FATAL_ERROR "${_cc} is missing: run hw/static/fetch")
endif()
set(CMAKE_C_COMPILER "${_cc}")

# The kernel's headers are in the C library's own directory, which musl must not
# see: a directory of links to them alone, searched last.
set(_kernel "${CMAKE_BINARY_DIR}/kernel-headers")
set(_found OFF)
foreach(_dir ${_asm})
  if(NOT _found AND EXISTS "${_dir}/types.h" AND EXISTS /usr/include/linux/version.h)
    file(MAKE_DIRECTORY "${_kernel}")
    file(CREATE_LINK "${_dir}" "${_kernel}/asm" SYMBOLIC)
    foreach(_name linux asm-generic mtd)
      file(CREATE_LINK "/usr/include/${_name}" "${_kernel}/${_name}" SYMBOLIC)
    endforeach()
    set(_found ON)
  endif()
endforeach()
if(NOT _found)
  message(FATAL_ERROR "the kernel headers are missing (${_asm}): run hw/static/fetch")
endif()

set(CMAKE_C_FLAGS_INIT "-idirafter ${_kernel} -fno-pie -ffunction-sections -fdata-sections \
-fno-unwind-tables -fno-asynchronous-unwind-tables")
# -static: with -static-pie the linker makes a dynamic binary, and says nothing
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static -no-pie -Wl,--gc-sections -Wl,-z,relro,-z,now")

# Nothing of the build machine's may slip in.
set(CMAKE_FIND_ROOT_PATH "${_kernel}")
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
