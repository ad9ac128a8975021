# The C++ client as a CMake package: find_package(sluice) gives sluice::client. It brings the headers under
# include/sluice, so that no other package's "client" or "core" is shadowed.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sluice)
install(TARGETS sluice_client sluice_core_flow sluice_core_message sluice_core_base sluice_protos EXPORT sluice
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT sluice NAMESPACE sluice:: FILE sluice-targets.cmake DESTINATION ${package_dir})
foreach(folder client/cpp core/base core/flow core/message)
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
