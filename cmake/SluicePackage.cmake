# The Debian package: `cpack -G DEB` in the build folder. The programs with their man pages, completion, unit and settings; not the
# libraries, which `cmake --install` brings.
#
#   cpack -G DEB -D CPACK_PACKAGE_VERSION=0.2.0      # the same build as another version
#
# What goes to /etc and to systemd is a component of its own that an ordinary `cmake --install` leaves out.
set(package_files ${PROJECT_SOURCE_DIR}/deploy/deb)
set(made ${PROJECT_BINARY_DIR}/deb)
find_program(HELP2MAN help2man)
set(SLUICE_PACKAGE_MAINTAINER "Sluice <sluice@localhost>" CACHE STRING "Who answers for the Debian package")

# At install time: it needs the programs.
install(CODE "
  file(MAKE_DIRECTORY ${made})
  execute_process(COMMAND $<TARGET_FILE:sluice> completion bash OUTPUT_FILE ${made}/sluice COMMAND_ERROR_IS_FATAL ANY)"
  COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${made}/sluice DESTINATION share/bash-completion/completions COMPONENT package EXCLUDE_FROM_ALL)
if(HELP2MAN)
  function(sluice_man program section description)
    set(page ${made}/${program}.${section})
    install(CODE "
      execute_process(COMMAND ${HELP2MAN} --no-info --no-discard-stderr --section=${section} \"--name=${description}\"
        --version-string=${PROJECT_VERSION} --output=${page} $<TARGET_FILE:${program}> COMMAND_ERROR_IS_FATAL ANY)
      execute_process(COMMAND gzip -9nf ${page} COMMAND_ERROR_IS_FATAL ANY)"
      COMPONENT package EXCLUDE_FROM_ALL)
    install(FILES ${page}.gz DESTINATION share/man/man${section} COMPONENT package EXCLUDE_FROM_ALL)
  endfunction()
  sluice_man(sluiced 8 "durable publish/subscribe over gRPC, the server")
  sluice_man(sluice 1 "publish, receive and administer with a Sluice server")
else()
  message(STATUS "No help2man: a Debian package of this build has no man pages")
endif()
install(FILES deploy/systemd/sluiced.service DESTINATION /lib/systemd/system COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${package_files}/sluiced.yaml DESTINATION /etc/sluice COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${package_files}/copyright ${made}/changelog.Debian.gz docs/operations.md docs/api.md docs/format.md DESTINATION share/doc/sluice
  COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${package_files}/lintian-overrides DESTINATION share/lintian/overrides RENAME sluice
  COMPONENT package EXCLUDE_FROM_ALL)
install(FILES deploy/prometheus/alerts.yaml deploy/grafana/sluice.json DESTINATION share/doc/sluice/examples
  COMPONENT package EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sluice)
set(CPACK_PACKAGE_CONTACT ${SLUICE_PACKAGE_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "durable publish/subscribe over gRPC")
set(CPACK_PACKAGE_DESCRIPTION "One server, sluiced, keeps messages in a folder and delivers them.
A message is on the disk before its publisher hears of it; it is delivered
at least once, in order, exactly once or by push as its subscription asks.
Clients speak sluice.v1 or google.pubsub.v1, both over gRPC.
.
The package has the server as a service of systemd and the tool sluice.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL programs package)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/package)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser")
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
file(WRITE ${made}/conffiles "/etc/sluice/sluiced.yaml\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${package_files}/postinst ${package_files}/prerm ${package_files}/postrm ${made}/conffiles)
set(CPACK_SLUICE_MADE ${made})
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_CURRENT_LIST_DIR}/SluicePackageVersion.cmake)
include(CPack)
