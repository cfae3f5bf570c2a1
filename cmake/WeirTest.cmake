# WeirTest.cmake - how a test becomes a ctest test.
#
# Names are kind.group.unit (asan.c.timer), so that one ctest can run several builds; groups are c, weir (specs in the
# binary), lua (the same under plain lua5.4), host, examples, style and fuzz. Every command goes
# through build/env, which sets paths and seed; the seed of a run is printed by each test that uses one and
# WEIR_SEED=n repeats it. Tests run in the source folder, in any order, beside each other.

if(WEIR_SANITIZE)
  set(WEIR_KIND asan)
elseif(WEIR_STRESS)
  set(WEIR_KIND stress)
elseif(WEIR_FUZZ)
  set(WEIR_KIND clang)
elseif(WEIR_STATIC)
  set(WEIR_KIND static)
elseif(CMAKE_BUILD_TYPE STREQUAL Debug)
  set(WEIR_KIND dev)
else()
  set(WEIR_KIND release)
endif()

set(WEIR_TIMEOUT 300)
set(WEIR_TEST_ENVIRONMENT "")
if(WEIR_STRESS)
  set(WEIR_TEST_ENVIRONMENT "export WEIR_STRESS=1\nexport WEIR_TEST_FACTOR=\"\${WEIR_TEST_FACTOR:-40}\"")
endif()
if(WEIR_SANITIZE)
  # A plain lua5.4 that loads a watched module needs the run-time library first: hence a lua5.4 of our own.
  execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=libasan.so
                  OUTPUT_VARIABLE WEIR_LIBASAN OUTPUT_STRIP_TRAILING_WHITESPACE)
  file(REAL_PATH ${WEIR_LIBASAN} WEIR_LIBASAN)
  find_program(WEIR_LUA54 NAMES lua5.4 lua54 lua)
  configure_file(cmake/lua5.4.in ${PROJECT_BINARY_DIR}/tools/lua5.4 @ONLY
                 FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
  string(CONCAT WEIR_TEST_ENVIRONMENT
    "export PATH=\"$WEIR_BUILD/tools:$PATH\"\n"
    "export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1\n"
    "export UBSAN_OPTIONS=print_stacktrace=1\n"
    "export WEIR_TEST_FACTOR=\"\${WEIR_TEST_FACTOR:-15}\"")
endif()
if(WEIR_FUZZ)
  set(WEIR_TEST_ENVIRONMENT "export UBSAN_OPTIONS=print_stacktrace=1")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/env.sh.in ${PROJECT_BINARY_DIR}/env @ONLY
               FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)

# weir_test(group unit command...): exit code 77 means skipped, with the reason in the output.
function(weir_test group unit)
  set(name ${WEIR_KIND}.${group}.${unit})
  add_test(NAME ${name} COMMAND ${PROJECT_BINARY_DIR}/env ${ARGN} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${WEIR_TIMEOUT} SKIP_RETURN_CODE 77 LABELS ${group})
endfunction()

# weir_c_test(unit source): an executable over the static core, with cmocka and spec/core's helpers.
function(weir_c_test unit source)
  set(target test_${unit})
  add_executable(${target} ${source})
  weir_compile(${target})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/spec/core)
  target_compile_options(${target} PRIVATE -iquote ${PROJECT_SOURCE_DIR}/core)
  target_link_libraries(${target} PRIVATE weir_check weir_static PkgConfig::WEIR_CMOCKA)
  weir_test(c ${unit} $<TARGET_FILE:${target}>)
endfunction()

# weir_lua_test(unit spec): inside the binary, and under plain lua5.4 with weir as a module. The stress build differs
# in the core alone, which is the same in both; what takes long is watched by the sanitizers in the binary alone.
set(WEIR_LONG cache_model coroutine docs limit_submit postgres_chaos postgres_failure postgres_stream queueing
              sqlite_end webhooks)
function(weir_lua_test unit spec)
  weir_test(weir ${unit} $<TARGET_FILE:weir_host> spec/support/run_busted.lua ${spec})
  if(NOT WEIR_STRESS AND NOT (WEIR_SANITIZE AND unit IN_LIST WEIR_LONG))
    weir_test(lua ${unit} lua5.4 spec/support/run_busted.lua ${spec})
  endif()
endfunction()
