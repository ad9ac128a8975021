# Engines broken on purpose, to see that the model has teeth. Production code knows nothing of them: a copy of one
# source file is made with one string replaced by another, and linked before the library, whose own object of that file
# the linker then leaves out; nothing where its files are compiled in groups.
#
#   sluice_broken_engine(NAME lease_not_fenced SOURCE core/engine/subscription.cc
#     REPLACE "the string, which must be there exactly once"
#     WITH "what is there instead"
#     VIOLATES "the invariant that the model must name"
#     SEEDS 20)                                          # within so many
#
# makes the program model_broken_NAME and a test that passes when that program's output names the invariant.
function(sluice_broken_engine)
  get_target_property(in_groups sluice_core_engine UNITY_BUILD)
  if(in_groups)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 0 ARG "" "NAME;SOURCE;REPLACE;WITH;VIOLATES;SEEDS" "")
  set(source ${PROJECT_SOURCE_DIR}/${ARG_SOURCE})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  file(READ ${source} text)
  string(LENGTH "${ARG_REPLACE}" length)
  string(FIND "${text}" "${ARG_REPLACE}" first)
  string(FIND "${text}" "${ARG_REPLACE}" last REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    message(FATAL_ERROR "${ARG_SOURCE} does not have exactly once what the broken engine ${ARG_NAME} replaces:\n"
                        "${ARG_REPLACE}")
  endif()
  string(REPLACE "${ARG_REPLACE}" "${ARG_WITH}" text "${text}")
  get_filename_component(file ${source} NAME)
  set(copy ${CMAKE_CURRENT_BINARY_DIR}/broken/${ARG_NAME}/${file})
  set(before "")
  if(EXISTS ${copy})
    file(READ ${copy} before)
  endif()
  if(NOT text STREQUAL before)
    file(WRITE ${copy} "${text}")
  endif()
  add_executable(model_broken_${ARG_NAME} model_test.cc ${copy})
  target_link_libraries(model_broken_${ARG_NAME} PRIVATE model_world sluice_warnings)
  # What the change leaves unused is not what is tested here.
  set_source_files_properties(${copy} PROPERTIES COMPILE_OPTIONS "-Wno-unused;-Wno-unused-parameter")
  add_test(NAME model_catches_${ARG_NAME} COMMAND model_broken_${ARG_NAME} --seeds=${ARG_SEEDS})
  set_tests_properties(model_catches_${ARG_NAME} PROPERTIES
    LABELS model TIMEOUT 120 PASS_REGULAR_EXPRESSION "VIOLATED: ${ARG_VIOLATES}")
endfunction()
