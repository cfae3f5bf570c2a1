#!/bin/sh
# install.sh - what is installed works from where it lies: binary, module, pkg-config, CMake package.
#
# Everything goes below a fresh prefix; a C program without Lua is then built against it in three ways.
set -eu
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
cmake --install "$WEIR_BUILD" --prefix "$top/usr" >"$top/log" || { cat "$top/log"; exit 1; }

cat >"$top/main.c" <<'END'
#include <weir/weir.h>
int main(void)
{
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
    int idle = weir_turn(rt) == 0 && weir_runtime_quiesce(rt) == 0;
    weir_runtime_free(rt);
    weir_simulator_free(sim);
    return !idle;
}
END
cat >"$top/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.21)
project(consumer C)
find_package(weir 0.1 REQUIRED)
foreach(kind shared static)
  add_executable(${kind} main.c)
  target_link_libraries(${kind} weir::${kind})
endforeach()
END

cd "$top"
libdir=$(dirname "$(find "$top/usr" -name libweir.a)")
PKG_CONFIG_PATH="$libdir/pkgconfig"
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # flags are words
${CC:-cc} main.c -o plain $(pkg-config --cflags --libs weir)
LD_LIBRARY_PATH="$libdir" ./plain
cmake -S . -B out -DCMAKE_PREFIX_PATH="$top/usr" >log 2>&1 && cmake --build out >>log 2>&1 || { cat log; exit 1; }
out/shared
out/static

unset LUA_PATH LUA_CPATH
share=$top/usr/share/lua/5.4
LUA_PATH="$share/?.lua;$share/?/init.lua" LUA_CPATH="$libdir/lua/5.4/?.so" \
    lua5.4 -e 'local weir = require "weir"; assert(weir.run(function() weir.sleep(0) return 7 end) == 7)'
# The manual page and the completions are there, and name every option that --help does.
options=$(usr/bin/weir --help | grep -o -e '  -[a-z-]*' | tr -d ' ' | sort -u)
for file in usr/share/man/man1/weir.1 usr/share/bash-completion/completions/weir usr/share/zsh/site-functions/_weir \
    usr/share/fish/vendor_completions.d/weir.fish; do
    for option in $options; do
        [ "$option" != - ] && [ "$option" != -- ] || continue
        word=${option#-}
        grep -q -e "\\(^\|[^a-z]\)${word#-}\\([^a-z]\|\$\)" "$file" || { echo "$file does not name $option"; exit 1; }
    done
done
[ -z "$(command -v mandoc)" ] || mandoc -T lint -W warning usr/share/man/man1/weir.1

# The types are there, and a new project says where.
usr/bin/weir new project >log || { cat log; exit 1; }
grep -q "usr/share/weir/types" project/.luarc.json
head -n 2 usr/share/weir/types/weir.lua usr/share/weir/types/weir/test.lua | grep -c '^---@meta weir' | grep -qx 2

usr/bin/weir -e 'local weir = require "weir"; weir.sleep(0); print("installed")' | grep -qx installed
