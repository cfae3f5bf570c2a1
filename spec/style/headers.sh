#!/bin/sh
# headers.sh - each header compiles alone, twice over, and a public header names no private one.
set -eu
rc=0
flags="-Wall -Wextra -Wshadow -Wstrict-prototypes -Werror -fsyntax-only -x c"
lua=$(pkg-config --cflags lua5.4)

alone() { # header, flags
    # shellcheck disable=SC2086 # flags are words
    printf '#include "%s"\n#include "%s"\n' "$PWD/$1" "$PWD/$1" | ${CC:-cc} $flags $2 - || {
        echo "$1 does not compile alone"
        rc=1
    }
}

for header in core/include/weir/*.h; do
    alone "$header" "-std=c11 -Icore/include -Icmake/poison/lua -Icmake/poison/uv"
done
for header in core/*/*.h; do
    [ -f "$header" ] && alone "$header" "-std=gnu11 -Icore/include -iquote core -Icmake/poison/lua"
done
for header in bindings/include/weir/*.h bindings/*.h bindings/host/*.h; do
    [ -f "$header" ] &&
        alone "$header" "-std=gnu11 -Icore/include -Ibindings/include -iquote bindings $lua -Icmake/poison/uv"
done

private=$(grep -nE '#[[:space:]]*include[[:space:]]*"' core/include/weir/*.h bindings/include/weir/*.h || true)
if [ -n "$private" ]; then
    printf 'public headers include private ones:\n%s\n' "$private"
    rc=1
fi
exit $rc
