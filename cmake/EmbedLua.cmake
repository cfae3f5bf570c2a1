# EmbedLua.cmake - the Lua half of the library as C arrays, for the binary.
#
# weir_embed_lua(OUTPUT file ROOT dir SOURCES files [DUMP target]): `file` defines what bindings/host/embedded.h declares:
#     const struct weir_embedded weir_embedded_modules[];   {name, chunk, size, chunkname}, ended by a NULL name
# dir/init.lua is module `weir`, dir/http/init.lua `weir.http`, dir/json.lua `weir.json`. Text, or what the program
# `target` (host/embed/dump.c) makes of it: a third smaller, and loaded without a parser. Bytes, not string literals: those are
# limited in C11. Run with cmake -P this file writes the file; included it makes the rule.

if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(WEIR_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
  function(weir_embed_lua)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "OUTPUT;ROOT;DUMP" "SOURCES")
    set(from ${arg_ROOT})
    set(dump "")
    if(arg_DUMP)
      cmake_path(REMOVE_EXTENSION arg_OUTPUT OUTPUT_VARIABLE from)
    endif()
    set(names "")
    set(folders "")
    foreach(source IN LISTS arg_SOURCES)
      file(RELATIVE_PATH name ${arg_ROOT} ${source})
      list(APPEND names ${name})
      cmake_path(GET name PARENT_PATH folder)
      list(APPEND folders ${from}/${folder})
    endforeach()
    if(arg_DUMP)
      list(REMOVE_DUPLICATES folders)
      set(dump COMMAND ${CMAKE_COMMAND} -E make_directory ${folders}
               COMMAND ${arg_DUMP} ${from} ${arg_ROOT} ${names})
    endif()
    add_custom_command(
      OUTPUT ${arg_OUTPUT}
      ${dump}
      COMMAND ${CMAKE_COMMAND} "-DOUTPUT=${arg_OUTPUT}" "-DFROM=${from}" "-DNAMES=${names}" -P ${WEIR_EMBED_SCRIPT}
      DEPENDS ${arg_SOURCES} ${WEIR_EMBED_SCRIPT} ${arg_DUMP}
      COMMENT "Embedding the Lua half"
      VERBATIM)
  endfunction()
  return()
endif()

set(arrays "")
set(table "")
set(n 0)
foreach(path IN LISTS NAMES)
  string(REGEX REPLACE "(^|/)init\\.lua$|\\.lua$" "" name "weir/${path}")
  string(REPLACE "/" "." name "${name}")
  file(SIZE ${FROM}/${path} size)
  file(READ ${FROM}/${path} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "(................................................................................)"
                       "\\1\n" bytes "${bytes}")
  string(APPEND arrays "static const unsigned char chunk_${n}[] = {\n${bytes}0};\n")
  string(APPEND table
         "    {\"${name}\", (const char *)chunk_${n}, ${size}, \"@weir/${path}\"},\n")
  math(EXPR n "${n} + 1")
endforeach()
file(WRITE ${OUTPUT} "/* Made by cmake/EmbedLua.cmake from bindings/weir. */\n#include \"embedded.h\"\n\n${arrays}\n"
                     "const struct weir_embedded weir_embedded_modules[] = {\n${table}    {0, 0, 0, 0}};\n")
