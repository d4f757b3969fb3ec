# SPDX-License-Identifier: BSD-2-Clause
#
# The target relink-kit packs lunstickd-relink-<architecture>.tar.gz: all that it
# takes to link the static binary again with changed libraries, as their licence
# (LGPL) asks. It is defined once all targets are known; nothing but the include
# is needed.

# lunstick_static_libs(TARGET VARIABLE): adds to VARIABLE the static libraries
# that TARGET links, directly or through others, in link order.
function(lunstick_static_libs target var)
  set(found ${${var}})
  get_target_property(libs ${target} LINK_LIBRARIES)
  if(NOT libs)
    get_target_property(libs ${target} INTERFACE_LINK_LIBRARIES)
  endif()
  foreach(lib ${libs})
    string(REGEX REPLACE "^\\$<LINK_ONLY:(.*)>$" "\\1" lib "${lib}")
    if(NOT TARGET "${lib}")
      continue()
    endif()
    get_target_property(real ${lib} ALIASED_TARGET)
    if(real)
      set(lib ${real})
    endif()
    get_target_property(type ${lib} TYPE)
    if(type STREQUAL "STATIC_LIBRARY" AND NOT lib IN_LIST found)
      list(APPEND found ${lib})
    elseif(NOT type STREQUAL "INTERFACE_LIBRARY")
      continue()
    endif()
    lunstick_static_libs(${lib} found)
  endforeach()
  set(${var} ${found} PARENT_SCOPE)
endfunction()

function(lunstick_relink_kit)
  if(NOT TARGET lunstickd)
    return()
  endif()
  set(libs "")
  lunstick_static_libs(lunstickd libs)
  set(own "")
  set(third "")
  set(licences "")
  set(patches "")
  foreach(lib ${libs})
    get_target_property(licence ${lib} LUNSTICK_LICENCE)
    if(licence)
      list(APPEND third "$<TARGET_FILE:${lib}>")
      list(APPEND licences "${licence}")
      get_target_property(changes ${lib} LUNSTICK_PATCHES)
      if(changes)
        list(APPEND patches ${changes})
      endif()
    else()
      list(APPEND own "$<TARGET_FILE:${lib}>")
    endif()
  endforeach()
  set(arch ${CMAKE_SYSTEM_PROCESSOR})
  set(kit "${CMAKE_BINARY_DIR}/lunstickd-relink-${arch}.tar.gz")
  get_filename_component(cc "${CMAKE_C_COMPILER}" NAME)
  add_custom_target(relink-kit
    COMMAND "${CMAKE_SOURCE_DIR}/hw/static/relink-kit" "${kit}" "${cc}"
            --own "$<TARGET_OBJECTS:lunstickd>" ${own}
            --libs ${third} --licences ${licences} --patches ${patches}
    DEPENDS lunstickd ${libs}
    COMMENT "Packing ${kit}"
    COMMAND_EXPAND_LISTS VERBATIM)
endfunction()

cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL lunstick_relink_kit)
