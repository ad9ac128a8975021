# What most files of core/ and of the tests include. More than half of the time a file takes goes into reading these. The presets
# compile files in groups; where they are not, every target of some size has these precompiled. The fuzz build has neither: it
# finds the file that misses an include.
set(SLUICE_COMMON_HEADERS
  <algorithm> <functional> <memory> <optional> <string> <vector>
  <absl/container/btree_map.h> <absl/container/flat_hash_map.h> <absl/status/statusor.h> <absl/time/time.h> <fmt/format.h>)
function(sluice_precompile name)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS" ${ARGN})
  list(LENGTH ARG_SOURCES files)
  if(files LESS 4 OR CMAKE_UNITY_BUILD OR SLUICE_FUZZ)
    return()
  endif()
  target_precompile_headers(${name} PRIVATE ${SLUICE_COMMON_HEADERS} ${ARG_HEADERS})
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # GCC 12 then warns of what it inlines from <string>, as if that were no system header.
    target_compile_options(${name} PRIVATE -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread -Wno-restrict)
  endif()
endfunction()

# One target per room, named after its folder: sluice_library(core_base ...) makes sluice::core_base.
function(sluice_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(sluice_${name} STATIC ${ARG_SOURCES})
  add_library(sluice::${name} ALIAS sluice_${name})
  sluice_precompile(sluice_${name} SOURCES ${ARG_SOURCES})
  set_target_properties(sluice_${name} PROPERTIES EXPORT_NAME ${name})
  target_link_libraries(sluice_${name} PUBLIC ${ARG_DEPS} PRIVATE $<BUILD_INTERFACE:sluice_warnings>)
  target_include_directories(sluice_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/sluice>)
  if(SLUICE_LTO AND name MATCHES "^core_")
    # Machine code as well, which everything else is linked from.
    target_compile_options(sluice_${name} PRIVATE -flto=auto -ffat-lto-objects)
  endif()
  if(SLUICE_TIDY)
    set_target_properties(sluice_${name} PROPERTIES CXX_CLANG_TIDY clang-tidy-14)
  endif()
endfunction()

# A message passes through many small functions of core/: across files they are a sixth faster (docs/performance.md).
function(sluice_link_optimised program)
  if(SLUICE_LTO)
    target_compile_options(${program} PRIVATE -flto=auto)
    # lld cannot read what GCC leaves. What it inlines from <string> it then warns of, as if that were no system header.
    target_link_options(${program} PRIVATE -flto=auto -fuse-ld=bfd -Wno-stringop-overflow -Wno-stringop-overread)
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
  sluice_precompile(${name} SOURCES ${ARG_SOURCES} HEADERS <gmock/gmock.h>)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} sluice_warnings GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 300 ${SLUICE_TEST_ENVIRONMENT})
endfunction()
