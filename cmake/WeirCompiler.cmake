# WeirCompiler.cmake - how weir is compiled: language, warnings, asserts, sanitizers.
#
# Asserts stay on in every build type: they are cheap and a broken invariant must not go on running.
# weir_compile(target) gives one target all of it. What faces the system (core/uv, bindings, tests)
# is gnu11; the rest of the core is strict C11, see core/CMakeLists.txt.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug ..." FORCE)
endif()

foreach(config RELEASE RELWITHDEBINFO MINSIZEREL)
  string(REGEX REPLACE "[-/]DNDEBUG" "" CMAKE_C_FLAGS_${config} "${CMAKE_C_FLAGS_${config}}")
endforeach()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(WEIR_CCACHE ccache)
mark_as_advanced(WEIR_CCACHE)
if(WEIR_CCACHE AND NOT DEFINED CMAKE_C_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${WEIR_CCACHE})
endif()

set(WEIR_FLAGS -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes)
if(WEIR_WERROR)
  list(APPEND WEIR_FLAGS -Werror)
endif()
# Calls inside libweir.so need no indirection: nobody replaces single functions of ours.
list(APPEND WEIR_FLAGS -fno-semantic-interposition)
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  list(APPEND WEIR_FLAGS -Wno-unused-command-line-argument)
endif()

if(WEIR_SANITIZE)
  set(WEIR_SANITIZE_FLAGS -fsanitize=${WEIR_SANITIZE} -fno-sanitize-recover=all
                          -fno-omit-frame-pointer)
  if(CMAKE_C_COMPILER_ID MATCHES Clang)
    # The binary loads modules that are watched too: both need the one shared run-time library.
    list(APPEND WEIR_SANITIZE_FLAGS -shared-libsan)
  endif()
endif()

# libFuzzer brings main, so that only its targets link with `fuzzer`; all the rest tells it where it has been.
# An undefined conversion of a number is no part of `undefined`.
if(WEIR_FUZZ)
  include(CheckCSourceCompiles)
  if(NOT WEIR_FUZZER) # it may have come since
    unset(WEIR_FUZZER CACHE)
  endif()
  set(watched address,undefined,float-cast-overflow)
  set(CMAKE_REQUIRED_FLAGS -fsanitize=fuzzer,${watched})
  check_c_source_compiles("
    int LLVMFuzzerTestOneInput(const unsigned char *bytes, unsigned long n);
    int LLVMFuzzerTestOneInput(const unsigned char *bytes, unsigned long n) { return n > 0 && *bytes == 1 ? -1 : 0; }"
    WEIR_FUZZER)
  unset(CMAKE_REQUIRED_FLAGS)
  set(WEIR_SANITIZE_FLAGS -fsanitize=fuzzer-no-link,${watched} -fno-sanitize-recover=all
                          -fno-omit-frame-pointer)
endif()

function(weir_compile target)
  target_compile_options(${target} PRIVATE ${WEIR_FLAGS} ${WEIR_SANITIZE_FLAGS})
  if(WEIR_STRESS)
    target_compile_definitions(${target} PRIVATE WEIR_STRESS=1)
  endif()
  get_target_property(type ${target} TYPE)
  if(NOT type MATCHES "OBJECT_LIBRARY|STATIC_LIBRARY")
    target_link_options(${target} PRIVATE ${WEIR_SANITIZE_FLAGS})
  endif()
endfunction()

# Export from `target` what the version script cmake/NAME.map lists, and nothing else.
function(weir_export target name)
  set(map ${PROJECT_SOURCE_DIR}/cmake/${name}.map)
  target_link_options(${target} PRIVATE LINKER:--version-script=${map} LINKER:--no-undefined-version)
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${map})
endfunction()
