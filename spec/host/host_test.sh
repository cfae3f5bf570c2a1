#!/bin/sh
# host/host_test.sh - the weir program from outside: arguments, streams, exit codes, signals, busted.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() {
    echo "not ok: $*" >&2
    for file in "$dir/out" "$dir/err"; do
        [ -f "$file" ] && sed "s|^|$(basename "$file"): |" "$file" | head -40 >&2
    done
    exit 1
}

# run CODE WORDS...: weir with these, its output in $dir/out and $dir/err
run() {
    expected=$1
    shift
    code=0
    "$WEIR" "$@" >"$dir/out" 2>"$dir/err" </dev/null || code=$?
    [ "$code" -eq "$expected" ] || fail "exit code $code instead of $expected: weir $*"
}

has() { # FILE PATTERN
    grep -q -e "$2" "$dir/$1" || fail "no line matches '$2' in $1"
}

lacks() { # FILE PATTERN
    ! grep -q -e "$2" "$dir/$1" || fail "a line matches '$2' in $1"
}

weir_require="local weir = require 'weir' "

# --- arguments and streams
run 0 --help
has out '^usage: weir'
run 0 -v
has out '^weir [0-9].*Lua 5.4.*libuv 1'
run 0 -e 'print(1)' -e 'print(2)'
[ "$(tr '\n' ' ' <"$dir/out")" = '1 2 ' ] || fail 'chunks run in order'
run 0 -l weir -e 'print(weir.now() > 0)'
has out '^true$'
run 0 -lweir -l j=weir.json '-eprint(j.encode { weir.kind(1) })' -e 'n = 1' -en=n+1 -e'print(n)'
[ "$(tr '\n' ' ' <"$dir/out")" = '["error"] 2 ' ] || fail 'what is attached to -e and -l is read'
run 1 -lno.such
has err "module 'no.such' not found"
run 2 --nonsense
has err 'unknown option: --nonsense'
run 2 --timeout x -e 'print(1)'
has err 'seconds > 0, got: x'
run 2 -e
run 2 -e 1 -l
has err 'missing after: -l'
run 2 no/such/script.lua
has err 'no/such/script.lua'
echo 'print(...) print(arg[0], #arg)' >"$dir/args.lua"
run 0 "$dir/args.lua" a 'b c' --timeout
has out "^a	b c	--timeout$"
has out "args.lua	3$"
echo 'print "from stdin"' | "$WEIR" - >"$dir/out" || fail 'the script comes from stdin'
has out '^from stdin$'
printf '#!/usr/bin/env weir\nprint "shebang"\n' >"$dir/bang"
run 0 "$dir/bang"
has out '^shebang$'

# --- errors: the line of the script, the stacks, the code
run 1 -e 'x = = 1'
has err 'command line'
printf 'local function deep()\n  error "broke"\nend\ndeep()\n' >"$dir/error.lua"
run 1 "$dir/error.lua"
has err 'error.lua:2: broke'
has err "error.lua:4: in main chunk"
run 1 -e "error { code = 7 }"
has err 'table'
run 1 -e "error(nil)"
has err 'nil'
run 1 -e "$weir_require weir.detach(error, 'lost') weir.sleep(0.001) print 'went on'"
has out '^went on$'
has err 'unhandled error in task [0-9]*: lost'
run 0 -e "$weir_require weir.on_unhandled(function() return true end) weir.detach(error, 'lost')"
run 7 -e "$weir_require weir.spawn(weir.sleep, 100) os.exit(7)"
run 0 -e "$weir_require weir.daemon(weir.sleep, 1e9) print 'ends'"
run 0 -e "$weir_require weir.detach(function() weir.sleep(0.001) print 'joined' end)"
has out '^joined$'

# --- the Lua half is inside, compiled: its functions have the names and lines that they have as text
run 0 spec/host/compiled.lua text
mv "$dir/out" "$dir/text"
run 0 spec/host/compiled.lua
cmp "$dir/out" "$dir/text" >&2 || fail 'what is inside and the text of it differ'

# --- deadlock is 3, with a report, also where nothing but callbacks could wake
run 3 -e "$weir_require local s = weir.semaphore{permits=1, name='db'} s:with(function() s:with(print) end)"
has err "deadlock.*'db'"
run 3 -e "$weir_require weir.await(function() end)"
has err 'waits in weir.await'
many="for _ = 1, 25 do weir.spawn(weir.await, function() end) end"
run 3 -e "$weir_require $many"
has err '^  task 20 .* waits in weir.await'
has err '^  \.\.\. and 6 more$'
idle_pool="local pool = weir.pool{create=function() return 1 end, min=1} pool:with(print)"
run 3 -e "$weir_require $idle_pool weir.await(function() end)"
has err 'deadlock'
run 3 -e "$weir_require weir.spawn(weir.await, function() end)"
run 3 -e "$weir_require weir.detach(weir.await, function() end)"

# --- --timeout is 124, and cleanup runs
run 124 --timeout 0.05 -e "$weir_require local _ <close> = setmetatable({}, {__close = function()
    weir.shield(weir.sleep, 0.001) print 'cleaned' end}) weir.sleep(100)"
has out '^cleaned$'
run 0 --timeout 100 -e 'print "in time"'
run 3 --timeout 100 -e "$weir_require weir.await(function() end)"

# --- virtual time: jumps, an order from a seed, many orders; the seed that fails fails again
run 0 --virtual-time -e "$weir_require weir.sleep(1e6) print(weir.now())"
has out '^1000000.0$'
run 124 --virtual-time --timeout 10 -e "$weir_require local _ <close> = setmetatable({}, {__close = function()
    weir.shield(weir.sleep, 1) print(weir.now()) end}) weir.sleep(100)"
has out '^11.0$'
lacks err .
run 3 --virtual-time -e "$weir_require weir.await(function() end)"
has err 'waits in weir.await'
run 2 --seed x -e 'print(1)'
has err 'integer, got: x'
run 2 --explore 0 -e 'print(1)'
run 2 --explore 3 -
cat >"$dir/race.lua" <<'LUA'
local weir = require "weir"
local balance = 100
local function withdraw(n)
  local seen = balance
  weir.sleep(1)
  if seen >= n then balance = balance - n end
end
weir.all { function() withdraw(80) end, function() weir.sleep(1) withdraw(70) end }
print("balance", balance)
os.exit(balance < 0 and 9 or 0, true)
LUA
run 0 --virtual-time "$dir/race.lua"
run 9 --explore 100 "$dir/race.lua"
has out 'balance	-50'
seed=$(sed -n 's/^weir: schedule [0-9]* of 100 ended with exit code 9; once more: --seed \([0-9]*\)$/\1/p' "$dir/err")
[ -n "$seed" ] || fail 'it does not say which seed failed'
run 9 --seed "$seed" "$dir/race.lua"
run 9 --seed "$seed" "$dir/race.lua"
run 0 --explore 20 -e "$weir_require weir.all { function() weir.sleep(1) end, function() weir.sleep(1) end } print 'unseen'"
lacks out unseen
has err '^weir: 20 schedules, none failed (seeds 1 to 20)$'
run 134 --explore 2 -e 'os.execute("kill -ABRT $PPID")'
run 0 --seed 5 -e "print(math.random(1e9))"
mv "$dir/out" "$dir/first"
run 0 --seed 5 -e "print(math.random(1e9))"
cmp -s "$dir/out" "$dir/first" || fail 'chance does not come from the seed'

# --- --stats
run 0 --stats -e "$weir_require weir.spawn(weir.sleep, 0.001):await()"
has err '^weir: 2 tasks: 2 done, 0 failed'
lacks out .
run 4 --stats -e "os.exit(4)"
has err '^weir: [0-9.]* s, [0-9.]* s CPU'

# --- signals: the first cancels with cleanup, partial output is whole, the code is 128 + n
cat >"$dir/signal.lua" <<'LUA'
local weir = require "weir"
local guard <close> = setmetatable({}, { __close = function()
  weir.shield(weir.sleep, 0.001)
  print "cleaned"
end })
weir.all { function()
  print "ready"
  io.stdout:flush()
  weir.sleep(100)
end }
LUA
signal() { # NAME CODE
    "$WEIR" "$dir/signal.lua" >"$dir/out" 2>"$dir/err" &
    pid=$!
    until grep -q ready "$dir/out"; do kill -0 "$pid" || fail 'it ended before the signal'; done
    kill -s "$1" "$pid"
    code=0
    wait "$pid" || code=$?
    [ "$code" -eq "$2" ] || fail "exit code $code instead of $2 after SIG$1"
    has out '^cleaned$'
    lacks err 'traceback'
}
signal INT 130
signal TERM 143

# the second ends it at once, under a script that never waits
echo 'print "busy" io.stdout:flush() while true do end' >"$dir/busy.lua"
"$WEIR" "$dir/busy.lua" >"$dir/out" 2>"$dir/err" &
pid=$!
until grep -q busy "$dir/out"; do kill -0 "$pid" || fail 'it ended by itself'; done
kill -s TERM "$pid"
until ! kill -s TERM "$pid" 2>/dev/null; do :; done
code=0
wait "$pid" || code=$?
[ "$code" -eq 143 ] || fail "exit code $code instead of 143 after two signals"

# a closed pipe is an error of the write, not a death by signal
{ "$WEIR" -e 'for i = 1, 1e5 do assert(io.write(i, "\n")) end' 2>"$dir/err" || echo $? >"$dir/code"; } |
    head -1 >/dev/null
[ "$(cat "$dir/code")" -eq 1 ] || fail "exit code $(cat "$dir/code") after a closed pipe"

# --- busted inside: bodies may wait; whatever interpreter .busted names, this is it
mkdir "$dir/specs"
cat >"$dir/specs/.busted" <<'LUA'
return { _all = { lua = "lua-that-is-not-there" } }
LUA
cat >"$dir/specs/wait_spec.lua" <<'LUA'
local weir = require "weir"
describe("a body", function()
  it("may wait", function() weir.sleep(0.001) assert.equal(1, weir.spawn(function() return 1 end):await()) end)
end)
LUA
cat >"$dir/specs/bad_spec.lua" <<'LUA'
it("fails", function() assert.is_true(false) end)
LUA
case $WEIR in /*) program=$WEIR ;; *) program=$PWD/$WEIR ;; esac
code=0
(cd "$dir/specs" && "$program" busted -o TAP wait_spec.lua) >"$dir/out" 2>"$dir/err" || code=$?
[ "$code" -eq 0 ] || fail "exit code $code instead of 0: weir busted"
has out '^ok 1'
code=0
(cd "$dir/specs" && "$program" busted -o TAP bad_spec.lua) >"$dir/out" 2>"$dir/err" || code=$?
[ "$code" -eq 1 ] || fail "exit code $code instead of 1: weir busted with a failure"

echo 'ok: the weir program'
