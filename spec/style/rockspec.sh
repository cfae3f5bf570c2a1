#!/bin/sh
# rockspec.sh - the rock has every file there is, and builds and loads with nothing but libuv.
#
# Built from a copy: luarocks leaves its objects beside the sources.
set -eu
lua5.4 tools/rockspec.lua --check

command -v luarocks >/dev/null || { echo 'luarocks is not installed'; exit 77; }
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp -R core bindings rockspec "$tree"
cd "$tree"
luarocks --lua-version 5.4 lint rockspec/weir-scm-1.rockspec
luarocks --lua-version 5.4 --tree "$tree/rocks" make rockspec/weir-scm-1.rockspec >log 2>&1 || { cat log; exit 1; }
cd /
LUA_PATH="$tree/rocks/share/lua/5.4/?.lua;$tree/rocks/share/lua/5.4/?/init.lua" \
    LUA_CPATH="$tree/rocks/lib/lua/5.4/?.so" lua5.4 -e '
    local weir = require "weir"
    local squares = weir.run(function() return weir.map({1, 2, 3}, function(n) weir.sleep(0) return n * n end) end)
    assert(squares.n == 3 and squares[3] == 9)'
