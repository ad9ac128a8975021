# Read by cpack, which alone knows the version: makes the changelog.
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${CPACK_PACKAGE_CONTACT}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/../deploy/deb/changelog.in ${CPACK_SLUICE_MADE}/changelog.Debian @ONLY)
execute_process(COMMAND gzip -9nf ${CPACK_SLUICE_MADE}/changelog.Debian COMMAND_ERROR_IS_FATAL ANY)
