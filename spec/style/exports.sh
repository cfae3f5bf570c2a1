#!/bin/sh
# exports.sh - what each file made shows to the outside and what it needs from there.
#
# The binary shows the Lua API alone and brings its own Lua and libuv; modules show luaopen_*, libweir weir_*.
# Connectors need their library, never libuv, Lua or libweir.
set -eu
rc=0

shows() { # file, pattern of what it may show; names with a version are copies of libc's
    [ -f "$1" ] || { echo "$1 was not built"; exit 1; }
    extra=$(nm -D --defined-only "$1" | awk '$2 ~ /[TDBRVW]/ && $3 !~ /@/ {print $3}' | grep -vxE "$2" || true)
    [ -z "$extra" ] || { printf '%s shows:\n%s\n' "$1" "$extra"; rc=1; }
}

needs_no() { # file, pattern of libraries
    extra=$(objdump -p "$1" | awk '$1 == "NEEDED" {print $2}' | grep -E "$2" || true)
    [ -z "$extra" ] || { printf '%s needs:\n%s\n' "$1" "$extra"; rc=1; }
}

linker='_init|_fini|_IO_stdin_used|__bss_start|_edata|_end|__data_start|data_start'
shows "$WEIR_BUILD/lib/libweir.so" 'weir_[a-z].*'
shows "$WEIR_BUILD/lua/weir/core.so" 'luaopen_weir_core'
needs_no "$WEIR_BUILD/lua/weir/core.so" '^liblua'
shows "$WEIR" "lua_.*|luaL_.*|luaopen_.*|$linker"
if grep -q '_ARCHIVE:.*NOTFOUND' "$WEIR_BUILD/CMakeCache.txt"; then
    echo 'the binary uses shared libraries here'
else
    needs_no "$WEIR" '^lib(lua|uv)'
fi
for module in "$WEIR_BUILD"/lua/weir/*/*.so; do
    [ -f "$module" ] || continue
    shows "$module" 'luaopen_weir_.*'
    needs_no "$module" '^lib(lua|uv|weir)'
done
exit $rc
