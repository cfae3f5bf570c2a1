#!/bin/sh
# install.sh - what is installed works from where it lies: binary, module, pkg-config, CMake package.
#
# Everything goes below a fresh prefix, and once more below a DESTDIR. Programs without Lua and with one are built against
# it by pkg-config and by CMake, shared and static; so is a C module, with headers that fit and with others.
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
cat >"$top/host.c" <<'END'
#include <lualib.h>
#include <weir/lua.h>
int main(void)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    weir_lua_preload(L);
    int rc = luaL_dostring(L, "local weir = require 'weir' assert(weir.run(function() weir.sleep(0) return 7 end) == 7)");
    lua_close(L);
    return rc != LUA_OK;
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
pkg_check_modules(LUA REQUIRED IMPORTED_TARGET lua5.4)
add_executable(host host.c)
target_link_libraries(host weir::lua PkgConfig::LUA)
END

cd "$top"
libdir=$(dirname "$(find "$top/usr" -name libweir.a)")
PKG_CONFIG_PATH="$libdir/pkgconfig"
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # flags are words
${CC:-cc} main.c -o plain $(pkg-config --cflags --libs weir)
LD_LIBRARY_PATH="$libdir" ./plain
if command -v c++ >/dev/null; then
    # shellcheck disable=SC2046
    c++ -x c++ -Wall -Wextra -Werror main.c -o plus $(pkg-config --cflags --libs weir)
    LD_LIBRARY_PATH="$libdir" ./plus
fi
cmake -S . -B out -DCMAKE_PREFIX_PATH="$top/usr" >log 2>&1 && cmake --build out >>log 2>&1 || { cat log; exit 1; }
out/shared
out/static
out/host
# shellcheck disable=SC2046
${CC:-cc} host.c -o host $(pkg-config --cflags --libs weir-lua lua5.4)
./host

# Packed and unpacked elsewhere, and without the shared library: the same flags and --static.
DESTDIR="$top/stage" cmake --install "$WEIR_BUILD" --prefix /opt/weir >>log 2>&1 || { cat log; exit 1; }
mv stage/opt/weir moved
moved=$(dirname "$(find "$top/moved" -name libweir.a)")
rm "$moved"/libweir.so*
PKG_CONFIG_PATH="$moved/pkgconfig"
# shellcheck disable=SC2046
${CC:-cc} main.c -o alone $(pkg-config --static --cflags --libs weir)
./alone
PKG_CONFIG_PATH="$libdir/pkgconfig"

unset LUA_PATH LUA_CPATH
share=$top/usr/share/lua/5.4
LUA_PATH="$share/?.lua;$share/?/init.lua" LUA_CPATH="$libdir/lua/5.4/?.so" \
    lua5.4 -e 'local weir = require "weir"; assert(weir.run(function() weir.sleep(0) return 7 end) == 7)'

# A C module gets the table it was built for, or an error that names both weirs.
cat >module.c <<'END'
#include <weir/lua.h>
int luaopen_module(lua_State *L);
int luaopen_module(lua_State *L)
{
    lua_pushboolean(L, weir_lua_open(L)->runtime(L) != NULL);
    return 1;
}
END
cp -R usr/include other
version=$(sed -n 's/^#define WEIR_VERSION "\(.*\)"/\1/p' other/weir/version.h)
module() { # include folder
    # shellcheck disable=SC2046
    ${CC:-cc} -shared -fPIC "-I$1" module.c -o module.so $(pkg-config --cflags lua5.4)
    LUA_PATH="$share/?.lua;$share/?/init.lua" LUA_CPATH="./?.so;$libdir/lua/5.4/?.so" \
        lua5.4 -e 'print(pcall(require, "module"))' >said
}
expect() { # what was said
    grep -qF -e "$1" said || { echo "the module does not say: $1"; cat said; exit 1; }
}
module usr/include
expect 'true	true'
sed -i 's/^#define WEIR_VERSION ".*"/#define WEIR_VERSION "7.7.7"/' other/weir/version.h
module other # of another release, and it fits
expect 'true	true'
cp other/weir/waiter.h waiter.h
sed -i 's|^    weir_timer timer;.*|    char more[64];\n&|' other/weir/waiter.h
module other
expect 'headers of weir 7.7.7 '
expect "weir $version is loaded"
cp waiter.h other/weir/waiter.h
sed -i 's/^#define WEIR_LUA_API_VERSION .*/#define WEIR_LUA_API_VERSION 9/' other/weir/lua.h
module other
expect '7.7.7 (table 9 '
expect "weir $version is loaded (table 1 "

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
