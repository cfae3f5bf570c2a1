#!/bin/sh
# host/prompt_test.sh - the prompt of the weir program: input from a pipe, and from a terminal with history.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
WEIR_HISTORY=$dir/history
export WEIR_HISTORY

fail() {
    echo "not ok: $*" >&2
    sed 's/^/out: /' "$dir/out" >&2
    sed 's/^/err: /' "$dir/err" >&2
    exit 1
}

# typed CODE WORDS...: weir with these words, the text on standard input
typed() {
    expected=$1
    shift
    code=0
    "$WEIR" "$@" >"$dir/out" 2>"$dir/err" || code=$?
    [ "$code" -eq "$expected" ] || fail "exit code $code instead of $expected"
}

said() { # the lines of standard output
    [ "$(cat "$dir/out")" = "$1" ] || fail "expected: $1"
}

has() { # FILE PATTERN
    grep -q -e "$2" "$dir/$1" || fail "no line matches '$2' in $1"
}

# --- values, statements, what goes on over several lines, what waits
typed 0 -i <<'LUA'
1 + 1
=2 + 2
x = 5
x, nil, "text"
for i = 1, 2 do
  print(i)
end
weir.sleep(0.001)
{ 1, 2, { "three", [true] = 4 }, name = "n", ["odd key"] = false }
nil
LUA
said '2
4
5	nil	text
1
2
{ 1, 2, { "three", [true] = 4 }, name = "n", ["odd key"] = false }
nil'

# --- tables that contain themselves, or too much, have an end; a __tostring that fails does no harm
typed 0 -i <<'LUA'
do local t = {} t.t = t loop = t end
loop
{ { { { {} } } } }
#require("weir.repl").show((function() local t = {} for i = 1, 1000 do t[i] = i end return t end)()) < 1000
setmetatable({}, { __tostring = function() error "no" end })
LUA
has out '{ t = <table: .*, above> }'
has out '{ { { { {...} } } } }\|{ { { {...} } } }'
has out '^true$'
has out '__tostring fails'

# --- an error ends its input, not the session; what is spawned goes on behind the prompt
typed 0 -i <<'LUA'
error "boom"
x = = 1
error({ code = 7 })
weir.sleep(-1)
do weir.spawn(function() weir.sleep(0.002) print "behind" end) end
print "before"
weir.sleep(0.02)
print "after"
LUA
said 'before
behind
after'
has err 'stdin:1: boom'
has err 'unexpected symbol'
has err '{ code = 7 }'
has err 'weir.sleep'

# --- what an input waits for and what it started belong to it: one report, with the line that was typed, and the session
# goes on; a deadlock too
typed 0 -i <<'LUA'
weir.spawn(error, "awaited"):await()
weir.spawn(error, "not awaited") weir.sleep(60)
do weir.spawn(function() local _ <close> = setmetatable({}, { __close = function() print "cleaned" end }) weir.sleep(60) end)
  weir.sleep(0) error "stopped" end
weir.await(function() end)
print "goes on"
LUA
said 'cleaned
goes on'
[ "$(grep -c -e '^awaited$' -e '^not awaited$' -e '^stdin:2: stopped$' -e deadlock "$dir/err")" -eq 4 ] || fail 'not four reports'
has err '^  task [0-9]* waits in weir.await at stdin:1$'
! grep -q -e unhandled -e repl.lua -e interrupted "$dir/err" || fail 'the prompt itself is in a report'

# --- after a script and its arguments; input that ends in the middle of a statement says so
echo 'name = ...' >"$dir/named.lua"
printf 'name\nif true then\n' | typed 0 -i "$dir/named.lua" arg
said arg
has err 'in the middle of a statement'
typed 2 -i --virtual-time </dev/null
has err 'needs real time'

# --- a terminal: edited by libedit, remembered in a file
if "$WEIR" -e 'require "weir.edit.line"' 2>/dev/null && command -v script >/dev/null; then
    printf '6 * 7\n"again"\n' | TERM=xterm script -qec "$WEIR" /dev/null >"$dir/out" 2>"$dir/err" || fail 'on a terminal'
    has out '^weir [0-9.]*, Lua 5.4'
    has out '^42'
    has history '6.*7'

    # keys as they are pressed: Ctrl-C ends an input that runs, and empties a line
    mkfifo "$dir/keys"
    TERM=xterm script -qec "$WEIR" /dev/null <"$dir/keys" >"$dir/out" 2>"$dir/err" &
    terminal=$!
    exec 3>"$dir/keys"
    # shellcheck disable=SC2059 # with its escapes
    press() { printf "$1" >&3; }
    shown() {
        until grep -q -e "$1" "$dir/out"; do
            kill -0 "$terminal" 2>/dev/null || fail "the terminal is gone before it shows $1"
            sleep 0.01
        done
    }
    press 'print(5 * 7) weir.sleep(60)\n'
    shown '^35'
    press '\003'
    shown 'interrupted (SIGINT)'
    press 'half of a line'
    shown 'half of a line'
    press '\003'
    until [ "$(tail -n 1 "$dir/out")" = '> ' ]; do sleep 0.01; done
    press 'print(7 * 7)\n'
    shown '^49'

    # the terminal goes away: what runs behind the prompt is cancelled, and cleans up
    press "do local _ = weir.spawn(function() local _ <close> = setmetatable({}, { __close = function()\n"
    press "io.open('$dir/cleaned', 'w'):close() end }) print('pid ' .. io.open '/proc/self/stat':read 'n') weir.sleep(60) end) end\n"
    shown '^pid [0-9]'
    weir=$(sed -n 's/^pid \([0-9]*\).*/\1/p' "$dir/out")
    kill -KILL "$terminal"
    until ! kill -0 "$weir" 2>/dev/null; do sleep 0.01; done
    [ -f "$dir/cleaned" ] || fail 'nothing is cleaned up when the terminal goes away'
    exec 3>&-
fi

echo 'ok: the prompt'
