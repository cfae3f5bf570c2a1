# WeirStatic.cmake - WEIR_STATIC: one file `weir` that needs the C library and nothing else.
#
# weir_linked(result folder name library): the archives of a connector's library and of what that stands on, or
# nothing, with a line on what is missing: the connector is then a module beside the binary, as in any build. libc and
# libm stay shared: a static glibc has no dlopen of modules (LUA_CPATH), and asks a shared one of its very own version
# for users, names and character sets all the same. What has no archive, or is never reached, is in host/static/absent.c.
# -flto makes it neither smaller nor faster (the libraries are 90 % of it, and compiled); relative relocations packed
# (-z pack-relative-relocs) save 6 % and need glibc 2.36 to run, where now 2.34 does.
option(WEIR_STATIC "The binary contains the connectors and all libraries but the C library" OFF)
if(WEIR_STATIC)
  add_compile_options(-ffunction-sections -fdata-sections)
endif()

set(WEIR_ARCHIVES_CURL curl nghttp2 idn2 unistring ssl crypto zstd brotlidec brotlicommon z)
set(WEIR_ARCHIVES_MICROHTTPD microhttpd)
set(WEIR_ARCHIVES_PQ pq pgcommon_shlib pgport_shlib ssl crypto)
set(WEIR_ARCHIVES_SQLITE sqlite3)
set(WEIR_ARCHIVES_EDIT edit tinfo bsd md)

function(weir_linked result folder name library)
  set(${result} "" PARENT_SCOPE)
  if(NOT (WEIR_STATIC AND WEIR_${library}_FOUND))
    return()
  endif()
  file(GLOB postgres /usr/lib/postgresql/*/lib) # where Debian has libpgcommon and libpgport
  set(archives "")
  foreach(archive IN LISTS WEIR_ARCHIVES_${library})
    find_library(WEIR_ARCHIVE_${archive} NAMES lib${archive}.a HINTS ${WEIR_${library}_LIBDIR} ${postgres})
    mark_as_advanced(WEIR_ARCHIVE_${archive})
    if(NOT WEIR_ARCHIVE_${archive})
      message(STATUS "weir: weir.${folder}.${name} stays beside the binary, lib${archive}.a was not found")
      return()
    endif()
    list(APPEND archives ${WEIR_ARCHIVE_${archive}})
  endforeach()
  set(${result} ${archives} PARENT_SCOPE)
endfunction()

# weir_write_linked(file folder_name...): `file` defines weir_linked_modules of host/embedded.h, the C modules that the
# binary contains beside weir.core.
function(weir_write_linked file)
  set(openers "")
  set(table "")
  foreach(module IN LISTS ARGN)
    string(APPEND openers "int luaopen_weir_${module}(lua_State *L);\n")
    string(REPLACE "_" "." name ${module})
    string(APPEND table "    {\"weir.${name}\", luaopen_weir_${module}},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${file} CONTENT "/* Made by cmake/WeirStatic.cmake. */
#include \"embedded.h\"

@openers@
const luaL_Reg weir_linked_modules[] = {
@table@    {NULL, NULL}};
" @ONLY)
endfunction()

# weir_link_static(target archive...): link these, drop what nobody calls and all names, fix all addresses before main.
function(weir_link_static target)
  if(NOT WEIR_STATIC)
    return()
  endif()
  target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/bindings/host/static/absent.c)
  target_link_libraries(${target} PRIVATE ${ARGN} m ${CMAKE_DL_LIBS})
  target_link_options(${target} PRIVATE -pie -s LINKER:--gc-sections LINKER:--as-needed LINKER:-z,relro,-z,now)
endfunction()
