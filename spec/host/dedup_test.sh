#!/bin/sh
# host/dedup_test.sh - scripts/dedup.lua from outside: usage, the demonstration, Ctrl-C under requests.
set -eu

script=scripts/dedup.lua
. spec/host/support.sh

# --- usage
run 0 --help
has out '^Usage: dedup.lua'
has out 'max-bytes'
run 2 --origin ftp://somewhere
has err 'expected http://HOST'
run 2 --origin http://127.0.0.1:1 --demo 10
has err 'takes no --origin'
run 2 --max-bytes 1M
has err 'max-object is more than'

# --- the demonstration: both sides' counts agree, or the exit code says so
run 0 --demo 200
has out 'cold, all at once  *[0-9]*  *1 '
has out '200 pages'
run 0 --demo 100 --json
holds 'a.fine and #a.phases == 6 and a.phases[2].origin_hits == 1'

# --- an origin, and the proxy before it
: >"$dir/origin.out"
"$WEIR" - >"$dir/origin.out" 2>"$dir/origin.err" <<'LUA' &
local http, weir = require "weir.http", require "weir"
local n = 0
local server <close> = http.serve({}, function(request)
  n = n + 1
  if request.path == "/slow" then weir.sleep(0.5) end
  return { status = 200, body = ("%s %d"):format(request.path, n) }
end)
print("listening " .. server.port)
io.stdout:flush()
weir.await(function() end)
LUA
origin=$!
trap 'kill "$origin" 2>/dev/null || true; rm -rf "$dir"' EXIT
until grep -q listening "$dir/origin.out"; do kill -0 "$origin" || fail 'the origin did not start'; done
port=$(sed -n 's/^listening //p' "$dir/origin.out")

start_proxy() {
    : >"$dir/err"
    "$WEIR" "$script" --origin "http://127.0.0.1:$port" --listen 0 --log >"$dir/out" 2>"$dir/err" &
    proxy=$!
    until grep -q 'listening on' "$dir/err"; do kill -0 "$proxy" || fail 'the proxy did not start'; done
    at=$(sed -n 's/^dedup.lua: listening on \(http:[^,]*\),.*/\1/p' "$dir/err")
}
get() { # PATH FILE
    "$WEIR" -e "local r = require 'weir.http'.get '$at$1' print(r.status, r.body, r.headers['x-cache'])" >"$dir/$2" 2>&1
}

start_proxy
get /a first
get /a second
[ "$(cat "$dir/first")" = '200	/a 1	MISS' ] || fail "the first answer is $(cat "$dir/first")"
[ "$(cat "$dir/second")" = '200	/a 1	HIT' ] || fail "the second answer is $(cat "$dir/second")"
has err '^20[-0-9T:]*Z 127.0.0.1 GET /a 200 HIT [0-9.]* ms$'

# Ctrl-C: who is being served is served, then it ends
get /slow slow &
client=$!
until "$WEIR" -e "os.exit(require 'weir.http'.get '$at/stats':json().origin.requests >= 2)"; do :; done
kill -s INT "$proxy"
ended 130 "$proxy" 'after SIGINT'
wait "$client"
[ "$(cat "$dir/slow")" = '200	/slow 2	MISS' ] || fail "who waited for the origin got $(cat "$dir/slow")"
has err '^dedup.lua: [0-9]* requests in'
lacks() { ! grep -q -e "$2" "$dir/$1" || fail "a line matches '$2' in $1"; }
lacks err traceback

# the address is in use
start_proxy
code=0
"$WEIR" "$script" --origin "http://127.0.0.1:$port" --listen "${at##*:}" >"$dir/out" 2>"$dir/err2" || code=$?
[ "$code" -eq 1 ] || fail "exit code $code instead of 1 for an address in use"
grep -q '^dedup.lua: .*in use' "$dir/err2" || fail "it says $(cat "$dir/err2")"
kill -s TERM "$proxy"
ended 143 "$proxy" 'after SIGTERM'

echo 'ok: dedup.lua'
