#!/bin/sh
# host/embed_test.sh - tasks that a C host starts, where things go wrong: embed.c over libweir-lua.a.
set -eu
pkg-config --exists lua5.4 || { echo "needs lua5.4 for C"; exit 77; }
flags=${WEIR_CFLAGS:-}
[ "$WEIR_KIND" != asan ] || flags="$flags -fsanitize=address,undefined"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# shellcheck disable=SC2046,SC2086
"$CC" -std=gnu11 -Wall -Wextra -Werror -O1 -g $flags $(pkg-config --cflags lua5.4 libuv) "-I$WEIR_SOURCE/core/include" \
    "-I$WEIR_SOURCE/bindings/include" "$WEIR_SOURCE/spec/host/embed.c" -o "$folder/embed" "-L$WEIR_BUILD/lib" \
    -lweir-lua $(pkg-config --libs libuv lua5.4) -lm -ldl
"$folder/embed" 2>"$folder/errors" || { tail -n 20 "$folder/errors"; exit 1; }
grep -q "error in the host's callback: .*of the callback" "$folder/errors"
grep -q 'cannot wait for its end' "$folder/errors"
