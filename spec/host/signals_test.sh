#!/bin/sh
# host/signals_test.sh - SIGINT, SIGTERM and SIGHUP, once and twice: a script, an executable, the prompt, --explore.
#
# No signal is sent before the program has said that it is where it is to be; nothing is asserted on times.
set -eu

case $WEIR in /*) ;; *) WEIR=$PWD/$WEIR ;; esac
dir=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
WEIR_HISTORY=''
export WEIR_HISTORY

fail() {
    echo "not ok: $*" >&2
    for file in out err; do [ ! -f "$dir/$file" ] || sed "s/^/$file: /" "$dir/$file" | head -40 >&2; done
    exit 1
}

has() { grep -q -e "$2" "$1" || fail "no line matches '$2' in $1"; }
lacks() { ! grep -q -e "$2" "$1" || fail "a line matches '$2' in $1"; }

start() { # COMMAND..., what is asked of it comes from the file `in`
    : >out
    "$@" <in >out 2>err &
    pid=$!
}

said() { # LINE [TIMES]: wait until it said so
    until [ "$(grep -c -x -e "$1" out)" -ge "${2:-1}" ]; do
        kill -0 "$pid" 2>/dev/null || fail "it ended before it said $1"
        sleep 0.01
    done
}

ended() { # CODE WHEN
    code=0
    wait "$pid" || code=$?
    pid=''
    [ "$code" -eq "$1" ] || fail "exit code $code instead of $1: $2"
}

: >in
cat >waits.lua <<'LUA'
local weir = require "weir"
local slow <const> = ... == "slow"
local guard <close> = setmetatable({}, { __close = function(_, err)
  print("cleaning", err.reason)
  io.stdout:flush()
  weir.shield(weir.sleep, slow and 60 or 0.001)
  print "cleaned"
end })
weir.spawn(function()
  print "ready"
  io.stdout:flush()
end)
weir.sleep(60)
LUA
"$WEIR" build waits.lua -o waits 2>err || fail 'weir build'

# --- a script, and an executable made of one
for program in "$WEIR waits.lua" ./waits; do
    for signal in INT:130 TERM:143 HUP:129; do
        expected=${signal#*:} signal=${signal%:*}
        # shellcheck disable=SC2086 # words
        start $program
        said ready
        kill -s "$signal" "$pid"
        ended "$expected" "$program, SIG$signal"
        has out "^cleaning	SIG$signal$"
        has out '^cleaned$'
        lacks err .

        # the second, of whatever kind, does not wait for the cleanup; the code is the first one's
        # shellcheck disable=SC2086
        start $program slow
        said ready
        kill -s "$signal" "$pid"
        said "cleaning	SIG$signal"
        kill -s TERM "$pid"
        ended "$expected" "$program, SIG$signal and SIGTERM"
        lacks out '^cleaned$'
        has err '^weir: stopped at once$'
    done
done

# who ignores SIGHUP for it (nohup) means it
: >out
(
    trap '' HUP
    exec "$WEIR" waits.lua
) >out 2>err &
pid=$!
said ready
kill -s HUP "$pid"
kill -s TERM "$pid"
ended 143 'SIGHUP was ignored'
has out '^cleaning	SIGTERM$'

# --- the prompt: an interrupt ends the input that runs, as often as it comes; the others end the session
cat >typed <<'LUA'
tell = function(word) print(word) io.stdout:flush() end
do local _ <close> = setmetatable({}, { __close = function() tell "cleaned" end }) tell "ready" weir.sleep(60) end
tell "between"
tell "ready" weir.sleep(60)
tell "after"
LUA
cp typed in
start "$WEIR" -i
said ready
kill -s INT "$pid"
said ready 2
kill -s INT "$pid"
ended 0 'the prompt, SIGINT twice'
[ "$(tr '\n' ' ' <out)" = 'ready cleaned between ready after ' ] || fail 'an interrupt ends one input'
[ "$(grep -c '^interrupted (SIGINT)$' err)" -eq 2 ] || fail 'it is said twice'
for signal in TERM:143 HUP:129; do
    expected=${signal#*:} signal=${signal%:*}
    start "$WEIR" -i
    said ready
    kill -s "$signal" "$pid"
    ended "$expected" "the prompt, SIG$signal"
    [ "$(tr '\n' ' ' <out)" = 'ready cleaned ' ] || fail "the session goes on after SIG$signal"
    lacks err .
done
echo 'print "ready" io.stdout:flush() while true do end' >in
start "$WEIR" -i
said ready
until ! kill -s INT "$pid" 2>/dev/null; do :; done
ended 130 'the prompt, an input that never waits, SIGINT until it ends'
has err '^weir: stopped at once$'

# --- --explore: the run that never ends is killed, and named
: >in
cat >hangs.lua <<'LUA'
local weir = require "weir"
local last = 0
weir.all { function() weir.sleep(1) last = 1 end, function() weir.sleep(1) last = 2 end }
if last == 1 then
  local file <close> = io.open("pid", "w")
  file:write(io.open "/proc/self/stat":read "n")
  file:close()
  while true do end
end
LUA
for signal in INT:130 TERM:143 HUP:129; do
    expected=${signal#*:} signal=${signal%:*}
    rm -f pid
    start "$WEIR" --explore 1000 hangs.lua
    until [ -s pid ]; do kill -0 "$pid" || fail 'no run hangs'; done
    kill -s "$signal" "$pid"
    ended "$expected" "--explore, SIG$signal"
    ! kill -0 "$(cat pid)" 2>/dev/null || fail 'the run goes on'
    has err '^weir: stopped in schedule [0-9]* of 1000; once more: --seed [0-9]*$'
done

echo 'ok: signals'
