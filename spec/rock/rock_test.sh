#!/bin/sh
# rock_test.sh - the rocks: built from a clone, packed, installed from binary and source rocks, used, removed.
#
# Offline, and all in one temporary folder: home, caches and trees. The clone is what tools/dist.sh packs, so that a
# file which that leaves out is missed here. Three trees: `made` by `luarocks make`, `binary` from .rock files with no
# source and no compiler at hand, `source` from .src.rock files alone. Each is used by plain lua5.4 (use.lua).
set -eu

for program in luarocks zip unzip; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done
dir=$(mktemp -d)
dir=$(cd "$dir" && pwd -P)
trap 'rm -rf "$dir"' EXIT
here=$WEIR_SOURCE/spec/rock
mkdir "$dir/home" "$dir/tmp" "$dir/dist" "$dir/rocks" "$dir/empty" "$dir/shims" "$dir/server"
echo "repository = {} modules = {} commands = {}" >"$dir/server/manifest-5.4" # an empty list leaves the usual servers
echo "rocks_servers = { '$dir/server' }" >"$dir/config.lua"
unset LUA_PATH LUA_CPATH XDG_CACHE_HOME XDG_CONFIG_HOME
export HOME="$dir/home" TMPDIR="$dir/tmp" LUAROCKS_CONFIG="$dir/config.lua"

fail() {
    echo "not ok: $*" >&2
    [ ! -f "$dir/log" ] || tail -n 40 "$dir/log" | sed 's/^/log: /' >&2
    exit 1
}

rocks() { # TREE COMMAND...: luarocks of Lua 5.4 in a tree; what it says is in $dir/log
    tree=$dir/$1
    shift
    luarocks --lua-version 5.4 --tree "$tree" "$@" >"$dir/log" 2>&1
}

in_tree() { # TREE MORE COMMAND...: with this tree for `require`, and MORE (";;" is where Lua looks by itself)
    tree=$dir/$1
    more=$2
    shift 2
    LUA_PATH="$tree/share/lua/5.4/?.lua;$tree/share/lua/5.4/?/init.lua$more" \
        LUA_CPATH="$tree/lib/lua/5.4/?.so$more" "$@"
}

use() { # TREE
    # shellcheck disable=SC2086 # words
    in_tree "$1" '' lua5.4 "$here/use.lua" "$dir/$1" weir $modules || fail "the rocks in $1"
    # cjson and luv are the system's.
    # shellcheck disable=SC2086
    in_tree "$1" ';;' lua5.4 "$here/use.lua" "$dir/$1" $guests || fail "the rocks in $1, beside $guests"
}

rocks made config rocks_servers || fail 'luarocks config'
if grep -q http "$dir/log"; then fail 'luarocks would ask a server'; fi

# Which connectors can be built here, and what of the system's Lua modules there is.
names=weir
modules=''
http=0
while read -r name library module; do
    if pkg-config --exists "$library"; then
        names="$names weir-$name"
        case $module in
        weir.http) http=$((http + 1)) ;;
        *) modules="$modules $module" ;;
        esac
    fi
done <<'END'
curl       libcurl        weir.http
microhttpd libmicrohttpd  weir.http
libpq      libpq          weir.postgres
sqlite     sqlite3        weir.sqlite
END
[ $http -lt 2 ] || modules="$modules weir.http"
guests=''
lua5.4 -e 'require "cjson"' 2>/dev/null && guests="$guests weir.json"
lua5.4 -e 'require "luv"' 2>/dev/null && guests="$guests luv"

# --- a clone, and `luarocks make`
sh "$WEIR_SOURCE/tools/dist.sh" "$dir/dist" >"$dir/log" 2>&1 || fail 'tools/dist.sh'
version=$(sed -n 's/^#define WEIR_VERSION "\(.*\)"$/\1/p' "$WEIR_SOURCE/core/include/weir/version.h")
tar -C "$dir" -xzf "$dir/dist/weir-$version.tar.gz"
cd "$dir/weir-$version"
if rocks made make rockspec/weir-sqlite-scm-1.rockspec; then fail 'a connector was installed without weir'; fi
for name in $names; do
    rocks made make "rockspec/$name-scm-1.rockspec" CFLAGS='-O0 -fPIC' || fail "luarocks make $name"
done
find "$dir/made/lib" -name '*.so' >"$dir/modules"
while read -r module; do # luarocks has no list of symbols for the linker: WEIR_HIDDEN (weir/begin.h) does it
    shown=$(nm -D --defined-only "$module" | awk '$3 !~ /^luaopen_weir_/ {print $3}')
    [ -z "$shown" ] || fail "$module shows $shown"
done <"$dir/modules"
[ "$(wc -l <"$dir/modules")" -eq "$(echo "$names" | wc -w)" ] || fail "the modules of $names"
needed=$(readelf -d "$dir/made/lib/lua/5.4/weir/core.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
for library in $needed; do
    case $library in
    libuv.so.* | libc.so.* | libm.so.* | libdl.so.*) ;;
    *) fail "weir alone needs $library" ;;
    esac
done
use made

# --- a connector that was built for another weir says so
case $names in
*weir-sqlite*)
    sed -i 's/^\(#define WEIR_LUA_API_VERSION\) .*/\1 9999/' bindings/include/weir/lua.h
    rocks other make --deps-mode=none rockspec/weir-sqlite-scm-1.rockspec CFLAGS='-O0 -fPIC' ||
        fail 'luarocks make weir-sqlite, for another weir'
    mkdir -p "$dir/mixed/share" "$dir/mixed/lib"
    cp -R "$dir/made/share/lua" "$dir/mixed/share"
    cp -R "$dir/made/lib/lua" "$dir/mixed/lib"
    cp "$dir/other/lib/lua/5.4/weir/sqlite/sqlite3.so" "$dir/mixed/lib/lua/5.4/weir/sqlite"
    said=$(in_tree mixed '' lua5.4 -e 'print(select(2, pcall(require, "weir.sqlite.sqlite3")))' 2>&1) ||
        fail "a connector for another weir crashed: $said"
    case $said in
    *'was built with the headers of weir'*) ;;
    *) fail "what is said of a connector for another weir: $said" ;;
    esac
    ;;
esac

# --- the types, for language servers
types=$(luarocks --lua-version 5.4 --tree "$dir/made" show --rock-dir weir)/types
grep -q '^---@meta weir$' "$types/weir.lua" || fail "no types in $types"
cp "$WEIR" "$dir/shims/weir" # a program that has none beside it
(cd "$dir/empty" && in_tree made ';;' "$dir/shims/weir" new project) >"$dir/log" 2>&1 || fail 'weir new'
grep -q -F "\"$types\"" "$dir/empty/project/.luarc.json" || fail "weir new does not find the types of the rock"
rm -r "$dir/empty/project" "$dir/shims/weir"

# --- binary rocks, where there is neither source nor compiler. That is whom luarocks asks in which folder Debian
# has libraries, so that it has to be told.
libdir=$(pkg-config --variable=libdir libuv)
cd "$dir/rocks"
for name in $names; do
    rocks made pack "$name" || fail "luarocks pack $name"
done
for name in cc gcc c99 ld make cmake; do
    printf '#!/bin/sh\necho "%s was called: $*"\nexit 1\n' $name >"$dir/shims/$name"
    chmod +x "$dir/shims/$name"
done
rm -r "$dir/weir-$version"
cd "$dir/empty"
for name in $names; do
    PATH="$dir/shims:$PATH" rocks binary install "$dir/rocks/$name-scm-1".*.rock LIBUV_LIBDIR="$libdir" \
        CURL_LIBDIR="$libdir" MICROHTTPD_LIBDIR="$libdir" PQ_LIBDIR="$libdir" SQLITE_LIBDIR="$libdir" ||
        fail "luarocks install of $name's binary rock"
done
mv "$dir/made" "$dir/away"
use binary

# --- source rocks: their tarball is in them, and the URL is not looked at
mv "$dir/dist"/*.src.rock "$dir/rocks"
rm -r "$dir/dist"
for name in $names; do
    rocks source install "$dir/rocks/$name-$version-1.src.rock" CFLAGS='-O0 -fPIC' ||
        fail "luarocks install of $name's source rock"
done
use source

# --- halves of two versions are not put together, and none is taken away
if [ "$names" != weir ]; then
    other=${names##* }
    if rocks source install "$dir/rocks/$other-scm-1".*.rock; then fail "$other scm beside weir $version"; fi
    grep -q 'satisfy dependency weir scm' "$dir/log" || fail "what luarocks says of $other scm beside weir $version"
    use source
    if rocks source remove weir; then fail 'weir was removed from under its connectors'; fi
fi

# --- gone without a trace
for kind in binary source; do
    for name in $(echo "$names" | tr ' ' '\n' | tac); do
        rocks "$kind" remove "$name" || fail "luarocks remove $name"
    done
    left=$(find "$dir/$kind" ! -type d ! -name manifest)
    [ -z "$left" ] || fail "left in the tree: $left"
    left=$(find "$dir/$kind" -type d -name 'weir*')
    [ -z "$left" ] || fail "left in the tree: $left"
done
left=$(find "$dir/home" "$dir/empty" -type f)
[ -z "$left" ] || fail "left elsewhere: $left"

echo "ok: $names $version, with$guests"
