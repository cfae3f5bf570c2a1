#!/bin/sh
# core_pure.sh - the core knows nothing of Lua, all but core/uv nothing of libuv, and neither keeps state.
#
# The build shadows the headers; this looks at the text, and at what the objects of libweir.a ask for and
# hold: no Lua, no libuv, no clock, malloc or chance but through the env, no static that can change.
# The simulator is the env of tests and takes its memory from the system.
set -eu
rc=0
objects=$WEIR_BUILD/core/CMakeFiles

bad() { # title, findings
    if [ -n "$2" ]; then
        printf '%s:\n%s\n' "$1" "$2"
        rc=1
    fi
}

bad 'Lua in the core' "$(grep -rnE '\b[Ll]ua|LUA_' core --include='*.[ch]' || true)"
bad 'uv.h outside core/uv' "$(grep -rnE '#[[:space:]]*include[[:space:]]*[<"]uv\.h' core bindings --include='*.[ch]' |
    grep -v '^core/uv/' || true)"

# base < policy < sched < sync < uv: private headers are included downwards only.
later=''
for folder in uv sync sched policy base; do
    [ -n "$later" ] && bad "core/$folder includes from a later folder" \
        "$(grep -nE "#[[:space:]]*include[[:space:]]*\"(\.\./)?($later)/" "core/$folder"/*.[ch] 2>/dev/null || true)"
    later="$folder${later:+|$later}"
done

bad 'libweir.a asks for Lua' "$(nm -u "$WEIR_BUILD/lib/libweir.a" | grep -wE 'lua_.*|luaL_.*' || true)"

forbidden='uv_.*|malloc|calloc|realloc|free|clock|clock_gettime|gettimeofday|time|rand|random|srand|getrandom'
for object in $(find "$objects/weir_pure.dir" -name '*.o' ! -name 'simulator.*'); do
    bad "$object goes past the env" "$(nm -u "$object" | grep -wE "$forbidden" || true)"
done
for object in $(find "$objects" -name '*.o'); do
    bad "$object has statics that can change" \
        "$(objdump -t "$object" | awk 'NF > 3 && $(NF-2) ~ /^\.(data(\.rel(\.local)?)?|t?bss|tdata)$/ && $(NF-1) !~ /^0+$/')"
done
exit $rc
