#!/bin/sh
# host/tool_test.sh - weir new and weir build: a project that runs and passes, an executable that stands alone.
set -eu

case $WEIR in /*) ;; *) WEIR=$PWD/$WEIR ;; esac
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

fail() {
    echo "not ok: $*" >&2
    for file in out err; do [ ! -f "$dir/$file" ] || sed "s/^/$file: /" "$dir/$file" >&2; done
    exit 1
}

run() { # CODE COMMAND...
    expected=$1
    shift
    code=0
    "$@" >"$dir/out" 2>"$dir/err" </dev/null || code=$?
    [ "$code" -eq "$expected" ] || fail "exit code $code instead of $expected: $*"
}

has() { grep -q -e "$2" "$dir/$1" || fail "no line matches '$2' in $1"; }

# --- new
run 0 "$WEIR" new --help
has out '^usage: weir new'
run 2 "$WEIR" new
run 2 "$WEIR" new a b
run 0 "$WEIR" new letters
has out 'cd letters'
run 2 "$WEIR" new letters
has err 'there already'
run 0 "$WEIR" new "a man's letters"
next=$(sed -n 's/^Next: \(cd .*\) && weir main.lua .*/\1/p' out)
(eval "$next" && test -f main.lua) || fail "this does not lead there: $next"
run 0 "$WEIR" letters/main.lua one three
has out '^three has 5 letters'
"$WEIR" -l weir.json -e 'local f = io.open "letters/.luarc.json" local settings = require "weir.json".decode(f:read "a")
    assert(settings["runtime.version"] == "Lua 5.4")
    local types = settings["workspace.library"][1]
    assert(not types or io.open(types .. "/weir.lua"):read "a":find "meta weir\n")'
cd letters
run 0 "$WEIR" busted -o TAP
has out '^ok 2'
cd ..

# --- build
run 0 "$WEIR" build --help
has out '^usage: weir build'
run 2 "$WEIR" build
run 2 "$WEIR" build missing.lua
has err 'missing.lua'
echo 'x = = 1' >wrong.lua
run 2 "$WEIR" build wrong.lua
has err 'wrong.lua:1'
run 2 "$WEIR" build letters/main.lua -o
run 0 "$WEIR" build letters/main.lua -o app
has err '1 module inside'
mkdir elsewhere
mv app elsewhere
mv letters gone
run 0 elsewhere/app --help -e four
has out '^--help has 6 letters'
has out '^four has 4 letters'

# a module is whose it is, whatever its name begins with
mkdir weir
echo 'return { mine = 5 }' >weir/mine.lua
echo 'os.exit(require "weir.mine".mine)' >mine.lua
run 0 "$WEIR" build mine.lua
has err '1 module inside'
mv weir gone
run 5 ./mine

# the exit code, the error's place, and what is C
cat >fails.lua <<'LUA'
#!/usr/bin/env weir
local http = require "weir.http"
if ... then error "wanted" end
os.exit(http and 7)
LUA
run 0 "$WEIR" build fails.lua
has err 'weir.http.curl'
run 7 ./fails
run 1 ./fails x
has err 'fails.lua:3: wanted'
"$WEIR" -e 'print "weir is still weir"' | grep -q weir || fail 'the program itself'

echo 'ok: weir new and weir build'
