#!/bin/sh
# luacheck.sh - all Lua is clean by .luacheckrc.
command -v luacheck >/dev/null || { echo 'luacheck is not installed'; exit 77; }
exec luacheck --no-color -q .
