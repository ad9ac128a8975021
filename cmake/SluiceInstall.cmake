# The libraries as a CMake package: find_package(sluice) gives sluice::client, find_package(sluice COMPONENTS embedded) gives
# sluice::core_embedded, and each needs only what it builds on. It brings the headers under include/sluice, so that no
# other package's "client" or "core" is shadowed.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sluice)
function(sluice_install_targets part)
  install(TARGETS ${ARGN} EXPORT sluice-${part} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT sluice-${part} NAMESPACE sluice:: FILE sluice-${part}-targets.cmake DESTINATION ${package_dir})
endfunction()
sluice_install_targets(core sluice_core_flow sluice_core_message sluice_core_metrics sluice_core_base)
sluice_install_targets(client sluice_client sluice_protos)
sluice_install_targets(embedded sluice_core_embedded sluice_core_engine sluice_core_filter sluice_core_storage
  sluice_core_storage_local sluice_core_storage_memory)
if(SLUICE_LTO)
  # What is left for optimising across files is for this version of GCC alone: others refuse it.
  install(CODE "
    file(GLOB archives \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/libsluice_core_*.a\")
    foreach(archive \${archives})
      execute_process(COMMAND ${CMAKE_OBJCOPY} --remove-section=.gnu.lto_* --remove-section=.gnu.debuglto_* \${archive}
        COMMAND_ERROR_IS_FATAL ANY)
    endforeach()")
endif()
foreach(folder client/cpp core/base core/embedded core/engine core/filter core/flow core/message core/metrics core/storage)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sluice/${folder}
    FILES_MATCHING PATTERN "*.h")
endforeach()
install(DIRECTORY ${PROJECT_BINARY_DIR}/core/base/include/ ${PROJECT_BINARY_DIR}/protos/gen/
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sluice FILES_MATCHING PATTERN "*.h")
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/sluice-config.cmake.in ${PROJECT_BINARY_DIR}/sluice-config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sluice-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sluice-config.cmake ${PROJECT_BINARY_DIR}/sluice-config-version.cmake
  DESTINATION ${package_dir})
