#!/bin/sh
# host/postgres_memory_test.sh - weir.postgres when Lua's memory runs out, at every allocation in turn.
set -eu
pkg-config --exists lua5.4 || { echo "needs lua5.4 for C"; exit 77; }
flags=""
[ "$WEIR_KIND" != asan ] || flags="-fsanitize=address,undefined"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# shellcheck disable=SC2046,SC2086
"$CC" -O1 -g $flags $(pkg-config --cflags lua5.4) "$WEIR_SOURCE/spec/host/failing_lua.c" \
  -o "$folder/failing_lua" $(pkg-config --libs lua5.4) -lm -ldl
# What is refused is reported: that of the programs themselves is not worth reading.
"$folder/failing_lua" "$WEIR_SOURCE/spec/host/postgres_memory.lua" 2>"$folder/errors" || {
  rc=$?
  tail -n 20 "$folder/errors"
  exit $rc
}
