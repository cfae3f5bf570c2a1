#!/bin/sh
# rockspec.sh - the rocks have every file there is, and build and load beside each other.
#
# `weir` with nothing but libuv, its connectors where their library is. Built from a copy: luarocks leaves its
# objects beside the sources.
set -eu
lua5.4 tools/rockspec.lua --check

command -v luarocks >/dev/null || { echo 'luarocks is not installed'; exit 77; }
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp -R core bindings rockspec "$tree"
cd "$tree"

rock() { # name
    luarocks --lua-version 5.4 lint "rockspec/$1-scm-1.rockspec"
    luarocks --lua-version 5.4 --tree "$tree/rocks" make "rockspec/$1-scm-1.rockspec" >log 2>&1 || { cat log; exit 1; }
}

rock weir
modules='weir weir.test'
while read -r name library module; do
    if pkg-config --exists "$library"; then
        rock "weir-$name"
        modules="$modules $module"
    fi
done <<'END'
curl       libcurl        weir.http.curl
microhttpd libmicrohttpd  weir.http.microhttpd
libpq      libpq          weir.postgres
sqlite     sqlite3        weir.sqlite
END

cd /
LUA_PATH="$tree/rocks/share/lua/5.4/?.lua;$tree/rocks/share/lua/5.4/?/init.lua" \
    LUA_CPATH="$tree/rocks/lib/lua/5.4/?.so" lua5.4 - "$modules" <<'END'
for name in arg[1]:gmatch("%S+") do assert(require(name)) end
local weir = require "weir"
local squares = weir.run(function() return weir.map({1, 2, 3}, function(n) weir.sleep(0) return n * n end) end)
assert(squares.n == 3 and squares[3] == 9)
END
