# WeirDependencies.cmake - what weir stands on, each found once, with one line on how to get it.
#
#   PkgConfig::WEIR_UV    libuv >= 1.44 (shared)        PkgConfig::WEIR_LUA   Lua 5.4 (headers, shared)
#   weir::uv_host  weir::lua_host  weir::cjson          for the binary: static where there is an archive
#   PkgConfig::WEIR_CURL  PkgConfig::WEIR_MICROHTTPD  PkgConfig::WEIR_PQ    optional, one connector each
#   PkgConfig::WEIR_SQLITE  PkgConfig::WEIR_EDIT        likewise; WEIR_EDIT is libedit, for the prompt
# The prefix WEIR_UV is repeated in weirConfig.cmake: the exported targets name it.

find_package(PkgConfig REQUIRED)

function(weir_require prefix what hint)
  if(NOT ${prefix}_FOUND)
    message(FATAL_ERROR "${what} was not found.\n  Debian, Ubuntu: apt-get install ${hint}\n"
                        "  or let `make run` or `make test` install it; see tools/setup.sh")
  endif()
endfunction()

foreach(name lua5.4 lua-5.4 lua54 lua)
  if(NOT WEIR_LUA_FOUND)
    pkg_check_modules(WEIR_LUA QUIET IMPORTED_TARGET ${name}>=5.4)
    if(WEIR_LUA_FOUND AND WEIR_LUA_VERSION VERSION_GREATER_EQUAL 5.5)
      unset(WEIR_LUA_FOUND CACHE)
    endif()
  endif()
endforeach()
weir_require(WEIR_LUA "Lua 5.4" liblua5.4-dev)
pkg_check_modules(WEIR_UV QUIET IMPORTED_TARGET libuv>=1.44)
weir_require(WEIR_UV "libuv 1.44 or later" libuv1-dev)
pkg_check_modules(WEIR_CURL QUIET IMPORTED_TARGET libcurl>=7.84)
pkg_check_modules(WEIR_MICROHTTPD QUIET IMPORTED_TARGET libmicrohttpd>=0.9.70)
pkg_check_modules(WEIR_PQ QUIET IMPORTED_TARGET libpq>=14)
pkg_check_modules(WEIR_EDIT QUIET IMPORTED_TARGET libedit)
pkg_check_modules(WEIR_SQLITE QUIET IMPORTED_TARGET sqlite3>=3.38)

# weir::NAME, for the binary: the first of the archives, else the shared library of `prefix`.
function(weir_prefer_static name prefix)
  find_library(WEIR_${prefix}_ARCHIVE NAMES ${ARGN} HINTS ${WEIR_${prefix}_LIBDIR})
  mark_as_advanced(WEIR_${prefix}_ARCHIVE)
  add_library(weir::${name} INTERFACE IMPORTED GLOBAL)
  if(WEIR_${prefix}_ARCHIVE)
    target_include_directories(weir::${name} INTERFACE ${WEIR_${prefix}_INCLUDE_DIRS})
    target_link_libraries(weir::${name} INTERFACE ${WEIR_${prefix}_ARCHIVE})
    set(how "static")
  else()
    target_link_libraries(weir::${name} INTERFACE PkgConfig::WEIR_${prefix})
    set(how "shared")
  endif()
  string(TOLOWER ${prefix} library)
  message(STATUS "weir: ${library} ${WEIR_${prefix}_VERSION}, ${how} in the binary")
endfunction()

find_package(Threads REQUIRED)
weir_prefer_static(lua_host LUA liblua5.4.a liblua-5.4.a liblua54.a)
target_link_libraries(weir::lua_host INTERFACE m ${CMAKE_DL_LIBS})
weir_prefer_static(uv_host UV libuv_a.a libuv.a)
target_link_libraries(weir::uv_host INTERFACE Threads::Threads ${CMAKE_DL_LIBS})

pkg_check_modules(WEIR_CJSON QUIET IMPORTED_TARGET lua5.4-cjson)
weir_require(WEIR_CJSON "lua-cjson for Lua 5.4" lua-cjson-dev)
weir_prefer_static(cjson CJSON liblua5.4-cjson.a)
