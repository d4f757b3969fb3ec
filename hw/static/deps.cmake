# SPDX-License-Identifier: BSD-2-Clause
#
# The libraries: defines dep::iscsi, dep::usbgx, dep::aio and dep::config.
#   LUNSTICK_STATIC=OFF  from the machine: bookworm's and trixie's versions work
#   LUNSTICK_STATIC=ON   static, from the pinned sources in LUNSTICK_SOURCES,
#                        with the toolchain files beside this one
#   LUNSTICK_BUNDLED_LIBISCSI=ON  from the machine but for libiscsi, which comes
#                        from the pinned source: with our patches, and with the
#                        sanitizers of LUNSTICK_SANITIZE
# A static build also gets the target relink-kit (see THIRD-PARTY.md).
option(LUNSTICK_BUNDLED_LIBISCSI "libiscsi from the pinned source, with our patches" OFF)

# Assertions name their source file: not with the path it had when it was built.
set(LUNSTICK_SHORT_PATHS "-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/="
                         "-fmacro-prefix-map=${PROJECT_BINARY_DIR}/=")
add_compile_options(${LUNSTICK_SHORT_PATHS})

if(NOT LUNSTICK_STATIC)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(LUNSTICK_DEP_USBGX  REQUIRED IMPORTED_TARGET GLOBAL libusbgx>=0.2)
  pkg_check_modules(LUNSTICK_DEP_CONFIG REQUIRED IMPORTED_TARGET GLOBAL libconfig>=1.5)
  add_library(dep::usbgx  ALIAS PkgConfig::LUNSTICK_DEP_USBGX)
  add_library(dep::config ALIAS PkgConfig::LUNSTICK_DEP_CONFIG)

  # libaio has no .pc file
  find_path(LUNSTICK_AIO_INCLUDE libaio.h)
  find_library(LUNSTICK_AIO_LIBRARY aio)
  mark_as_advanced(LUNSTICK_AIO_INCLUDE LUNSTICK_AIO_LIBRARY)
  if(NOT LUNSTICK_AIO_INCLUDE OR NOT LUNSTICK_AIO_LIBRARY)
    message(FATAL_ERROR "libaio is missing: apt-get install libaio-dev")
  endif()
  add_library(dep::aio UNKNOWN IMPORTED GLOBAL)
  set_target_properties(dep::aio PROPERTIES
    IMPORTED_LOCATION "${LUNSTICK_AIO_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${LUNSTICK_AIO_INCLUDE}")

  if(NOT LUNSTICK_BUNDLED_LIBISCSI)
    pkg_check_modules(LUNSTICK_DEP_ISCSI REQUIRED IMPORTED_TARGET GLOBAL libiscsi>=1.19)
    add_library(dep::iscsi ALIAS PkgConfig::LUNSTICK_DEP_ISCSI)
    return()
  endif()
endif()

if(DEFINED ENV{LUNSTICK_SOURCES})
  set(_sources "$ENV{LUNSTICK_SOURCES}")
elseif(DEFINED ENV{LUNSTICK_CACHE})
  set(_sources "$ENV{LUNSTICK_CACHE}/sources")
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(_sources "$ENV{XDG_CACHE_HOME}/lunstick/sources")
else()
  # right where HOME is not set, too
  execute_process(COMMAND bash -c "echo ~" OUTPUT_VARIABLE _home OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(_sources "${_home}/.cache/lunstick/sources")
endif()
set(LUNSTICK_SOURCES "${_sources}" CACHE PATH "Tarballs of the third-party sources")

# lunstick_unpack(NAME DIR_VARIABLE PATCHES...): the unpacked, verified and
# patched source of NAME, a line of the list `sources`.
function(lunstick_unpack name var)
  set(list "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/sources")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${list}" ${ARGN})
  file(STRINGS "${list}" line REGEX "^[a-z]+ +${name} ")
  separate_arguments(line UNIX_COMMAND "${line}")
  list(GET line 2 version)
  list(GET line 3 sum)
  file(GLOB tarball "${LUNSTICK_SOURCES}/${name}_${version}.orig.tar.*z*")
  list(FILTER tarball EXCLUDE REGEX "asc$")
  if(NOT tarball)
    message(FATAL_ERROR "${name} ${version} is not in ${LUNSTICK_SOURCES}: "
                        "run hw/static/fetch --sources")
  endif()
  file(SHA256 "${tarball}" got)
  if(NOT got STREQUAL sum)
    message(FATAL_ERROR "${tarball} is not the pinned source of ${name} ${version}: "
                        "delete it and run hw/static/fetch --sources")
  endif()
  foreach(patch ${ARGN})
    file(SHA256 "${patch}" got)
    string(APPEND sum ${got})
  endforeach()
  string(SHA256 sum "${sum}")
  string(SUBSTRING ${sum} 0 8 short)
  set(dir "${CMAKE_CURRENT_BINARY_DIR}/src-${short}")
  if(NOT EXISTS "${dir}/unpacked")
    file(REMOVE_RECURSE "${dir}")
    file(ARCHIVE_EXTRACT INPUT "${tarball}" DESTINATION "${dir}")
    file(GLOB top LIST_DIRECTORIES true "${dir}/*/")
    foreach(patch ${ARGN})
      lunstick_patch("${top}" "${patch}")
    endforeach()
    file(TOUCH "${dir}/unpacked")
  endif()
  file(GLOB top LIST_DIRECTORIES true "${dir}/*/")
  list(FILTER top EXCLUDE REGEX "/unpacked$")
  set(${var} "${top}" PARENT_SCOPE)
endfunction()

function(lunstick_patch dir patch)
  find_program(LUNSTICK_PATCH patch)
  mark_as_advanced(LUNSTICK_PATCH)
  if(NOT LUNSTICK_PATCH)
    message(FATAL_ERROR "patch is missing: apt-get install patch")
  endif()
  execute_process(COMMAND "${LUNSTICK_PATCH}" -p1 --fuzz=0 --batch --input "${patch}"
                  WORKING_DIRECTORY "${dir}" OUTPUT_VARIABLE said ERROR_VARIABLE said
                  RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${patch} does not apply:\n${said}")
  endif()
endfunction()

# lunstick_third_party(NAME SOURCE_DIR LICENCE FILES...): a static library NAME of
# third-party FILES, compiled without the project's warnings, and its alias
# dep::NAME. Its users see only the directory include/ in its build directory,
# filled by lunstick_public_headers. LICENCE goes into the relinking kit.
function(lunstick_third_party name dir licence)
  list(TRANSFORM ARGN PREPEND "${dir}/")
  add_library(dep_${name} STATIC ${ARGN})
  add_library(dep::${name} ALIAS dep_${name})
  set_target_properties(dep_${name} PROPERTIES
    OUTPUT_NAME ${name}
    C_STANDARD 11 C_EXTENSIONS ON
    INTERPROCEDURAL_OPTIMIZATION OFF
    COMPILE_OPTIONS "-w;-Os;-ffunction-sections;-fdata-sections;${LUNSTICK_SHORT_PATHS}"
    COMPILE_DEFINITIONS _GNU_SOURCE)
  target_include_directories(dep_${name} SYSTEM INTERFACE "${CMAKE_CURRENT_BINARY_DIR}/include")
  set_property(TARGET dep_${name} PROPERTY LUNSTICK_LICENCE "${licence}")
  if(LUNSTICK_SANITIZE)
    target_compile_options(dep_${name} PRIVATE -fsanitize=${LUNSTICK_SANITIZE}
                           -fno-sanitize-recover=all -fno-omit-frame-pointer)
  endif()
  if(LUNSTICK_FUZZ)
    target_compile_options(dep_${name} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# lunstick_public_headers(PREFIX FILES...): #include <PREFIX/FILE> works for the
# library's users. PREFIX may be empty.
function(lunstick_public_headers prefix)
  foreach(file ${ARGN})
    get_filename_component(leaf "${file}" NAME)
    configure_file("${file}" "${CMAKE_CURRENT_BINARY_DIR}/include/${prefix}/${leaf}" COPYONLY)
  endforeach()
endfunction()

set(_libs libiscsi)
if(LUNSTICK_STATIC)
  set(_libs libaio libconfig libiscsi libusbgx)
endif()
foreach(_lib ${_libs})
  add_subdirectory("${CMAKE_CURRENT_LIST_DIR}/${_lib}" "${CMAKE_BINARY_DIR}/third-party/${_lib}")
endforeach()

if(LUNSTICK_STATIC)
  include("${CMAKE_CURRENT_LIST_DIR}/relink-kit.cmake")
endif()
