# One target per room, named after its folder: sluice_library(core_base ...) makes sluice::core_base.
function(sluice_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(sluice_${name} STATIC ${ARG_SOURCES})
  add_library(sluice::${name} ALIAS sluice_${name})
  set_target_properties(sluice_${name} PROPERTIES EXPORT_NAME ${name})
  target_link_libraries(sluice_${name} PUBLIC ${ARG_DEPS} PRIVATE $<BUILD_INTERFACE:sluice_warnings>)
  target_include_directories(sluice_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/sluice>)
  if(SLUICE_TIDY)
    set_target_properties(sluice_${name} PROPERTIES CXX_CLANG_TIDY clang-tidy-14)
  endif()
endfunction()

# What every test runs with, as arguments of set_tests_properties.
set(SLUICE_TEST_ENVIRONMENT "")
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=thread")
  set(SLUICE_TEST_ENVIRONMENT
    ENVIRONMENT "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/tsan.supp:history_size=7")
endif()

# A GoogleTest program; every test in it becomes one of ctest's. LABELS: unit, conformance, integration, fault.
function(sluice_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} sluice_warnings GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 300 ${SLUICE_TEST_ENVIRONMENT})
endfunction()
