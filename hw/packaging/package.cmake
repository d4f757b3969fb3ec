# SPDX-License-Identifier: BSD-2-Clause
#
# What belongs to an installation besides the program, and the .deb:
#   cmake --build BUILD && (cd BUILD && cpack -G DEB)
# of a dynamic build for the machine itself, of a static one (musl-arm64) for
# every Debian of that architecture.
set(_dir "${CMAKE_CURRENT_LIST_DIR}")
set(_hw "${_dir}/..")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/configfs-templates" DESTINATION share/lunstick
        FILES_MATCHING PATTERN "*.scheme")
install(FILES "${_hw}/systemd/lunstickd@.service" "${_hw}/systemd/lunstick-map@.service"
        DESTINATION lib/systemd/system)
install(FILES "${_hw}/systemd/lunstick.sysusers" DESTINATION lib/sysusers.d
        RENAME lunstick.conf)
install(FILES "${_hw}/systemd/lunstick.modules" DESTINATION lib/modules-load.d
        RENAME lunstick.conf)
install(FILES "${_hw}/lunstick.conf" "${_hw}/pi/config.txt"
        DESTINATION share/doc/lunstick/examples)
install(FILES "${_dir}/copyright" "${PROJECT_SOURCE_DIR}/THIRD-PARTY.md"
        DESTINATION share/doc/lunstick)

# boot=lunstick for initramfs-tools: with the static arm64 program, which needs
# nothing else in an initramfs
if(LUNSTICK_STATIC AND CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
  set(_boot "${PROJECT_SOURCE_DIR}/boot")
  install(PROGRAMS "${_boot}/initramfs/init" "${_boot}/initramfs/shutdown"
          DESTINATION lib/lunstick/boot)
  install(FILES "${_boot}/initramfs/modules" DESTINATION lib/lunstick/boot)
  install(DIRECTORY "${_boot}/initramfs/etc" DESTINATION lib/lunstick/boot)
  install(DIRECTORY "${_boot}/initramfs/lib/" DESTINATION lib/lunstick/boot/lib/lunstick
          FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
                           GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  install(CODE "execute_process(COMMAND \"${_hw}/static/programs/build\" OUTPUT_VARIABLE dir
                                OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
                file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/lunstick/boot/bin\"
                     TYPE PROGRAM FILES \"\${dir}/busybox\" \"\${dir}/kexec\"
                                  \"\${dir}/unzstd\")
                file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/lunstick/boot\"
                     TYPE FILE FILES \"\${dir}/applets\")")
  install(TARGETS lunstick-boot RUNTIME DESTINATION lib/lunstick/boot/bin)
  install(PROGRAMS "${_boot}/initramfs-tools/hook"
          DESTINATION share/initramfs-tools/hooks RENAME lunstick)
  install(FILES "${_boot}/initramfs-tools/script"
          DESTINATION share/initramfs-tools/scripts RENAME lunstick)
  install(FILES "${_boot}/initramfs-tools/conf"
          DESTINATION share/initramfs-tools/conf-hooks.d RENAME lunstick)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME lunstick)
set(CPACK_PACKAGE_VENDOR lunstick)
set(CPACK_PACKAGE_CONTACT "The lunstick maintainers <lunstick@lunstick.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "iSCSI disk as a USB disk, on a USB device port")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS "${_dir}/modes.cmake")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "A small computer with a USB device port, a Raspberry Pi 4 for one, becomes a
 USB stick whose contents are on an iSCSI target.")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "kmod, systemd")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${_dir}/postinst;${_dir}/prerm;${_dir}/postrm")
if(LUNSTICK_STATIC)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS OFF)
else()
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64)$")
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE amd64)
endif()

# Debian's musl compiler for arm64 comes without a strip of its own name, and
# the build machine's own does not know the architecture.
if(CMAKE_CROSSCOMPILING AND CPACK_DEBIAN_PACKAGE_ARCHITECTURE STREQUAL "arm64")
  find_program(LUNSTICK_STRIP NAMES aarch64-linux-gnu-strip llvm-strip)
  mark_as_advanced(LUNSTICK_STRIP)
  if(LUNSTICK_STRIP)
    set(CMAKE_STRIP "${LUNSTICK_STRIP}" CACHE FILEPATH "" FORCE)
  endif()
endif()
include(CPack)
