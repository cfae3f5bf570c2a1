# EmbedLua.cmake - the Lua half of the library as C arrays, for the binary.
#
# weir_embed_lua(OUTPUT file ROOT dir SOURCES files): `file` defines what bindings/host/embedded.h declares:
#     const struct weir_embedded weir_embedded_modules[];   {name, source, size, chunkname}, ended by a NULL name
# dir/init.lua is module `weir`, dir/http/init.lua `weir.http`, dir/json.lua `weir.json`. Bytes, not string
# literals: those are limited in C11. Run with cmake -P this file writes the file; included it makes the rule.

if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(WEIR_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
  function(weir_embed_lua)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "OUTPUT;ROOT" "SOURCES")
    add_custom_command(
      OUTPUT ${arg_OUTPUT}
      COMMAND ${CMAKE_COMMAND} "-DOUTPUT=${arg_OUTPUT}" "-DROOT=${arg_ROOT}" "-DSOURCES=${arg_SOURCES}"
              -P ${WEIR_EMBED_SCRIPT}
      DEPENDS ${arg_SOURCES} ${WEIR_EMBED_SCRIPT}
      COMMENT "Embedding the Lua half"
      VERBATIM)
  endfunction()
  return()
endif()

set(arrays "")
set(table "")
set(n 0)
foreach(source IN LISTS SOURCES)
  file(RELATIVE_PATH path ${ROOT} ${source})
  string(REGEX REPLACE "(^|/)init\\.lua$|\\.lua$" "" name "weir/${path}")
  string(REPLACE "/" "." name "${name}")
  file(SIZE ${source} size)
  file(READ ${source} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "(................................................................................)"
                       "\\1\n" bytes "${bytes}")
  string(APPEND arrays "static const unsigned char source_${n}[] = {\n${bytes}0};\n")
  string(APPEND table
         "    {\"${name}\", (const char *)source_${n}, ${size}, \"@weir/${path}\"},\n")
  math(EXPR n "${n} + 1")
endforeach()
file(WRITE ${OUTPUT} "/* Made by cmake/EmbedLua.cmake from bindings/weir. */\n#include \"embedded.h\"\n\n${arrays}\n"
                     "const struct weir_embedded weir_embedded_modules[] = {\n${table}    {0, 0, 0, 0}};\n")
