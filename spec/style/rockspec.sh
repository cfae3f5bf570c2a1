#!/bin/sh
# rockspec.sh - the rockspecs name every file there is, and luarocks finds nothing wrong with them.
#
# That they build, install and work is for spec/rock.
set -eu
lua5.4 tools/rockspec.lua --check

command -v luarocks >/dev/null || { echo 'luarocks is not installed'; exit 77; }
for file in rockspec/*.rockspec; do
    luarocks --lua-version 5.4 lint "$file"
done
