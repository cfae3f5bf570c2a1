#!/bin/sh
# host/fanout_test.sh - scripts/fanout.lua from outside: what it prints, writes and exits with.
#
# The server is the one of its demonstration; its answers take some milliseconds and, for the first request
# of some items, are errors: with this seed of none below 300. What is asserted does not depend on how long anything takes.
set -eu

script=scripts/fanout.lua
shown=results
. spec/host/support.sh
fanout="$WEIR $script"
trap 'exec 3<&-; rm -rf "$dir"' EXIT

# whole FILE: every line is one JSON object with the keys that there must be
whole() {
    "$WEIR" - "$dir/$1" <<'LUA' || fail "$1 is not made of whole records"
local json = require "weir.json"
for line in io.lines(arg[1]) do
  local record = json.decode(line)
  for _, key in ipairs { "line", "url", "ms", "bytes", "attempts" } do
    assert(record[key] ~= nil, key)
  end
end
local file = io.open(arg[1], "rb")
local text = file:read "a"
assert(text == "" or text:sub(-1) == "\n", "the last line is cut")
LUA
}

# --- the server --------------------------------------------------------------------------------
mkfifo "$dir/port"
"$WEIR" scripts/fanout/server.lua 15 >"$dir/port" &
exec 3<"$dir/port"
read -r word port <&3
[ "$word" = listening ] || fail "the server said '$word $port'"
base=http://127.0.0.1:$port

# --- usage -------------------------------------------------------------------------------------
run 0 --help
has out '^Usage: fanout.lua'
run 2 --limit 0 "$base/item/1"
has err '--limit: expected an integer'
run 2 --no-such-option
has err 'unknown option'
run 2 "$dir/missing"
has err 'missing: No such file'
run 2 --out "$dir/missing/results" "$base/item/1"
has err '--out: '
run 2 --header nonsense "$base/item/1"
has err "'Name: value'"
run 2 --header 'content-length: 1' "$base/item/1"
has err 'follows from --data'
run 2 - -
has err 'once'
run 2 --method CONNECT "$base/item/1"
has err 'other than CONNECT'
run 2 --method HEAD --data x "$base/item/1"
has err 'takes no --data'
run 2 "$dir"
has err 'Is a directory'

# --- a list with good, bad and repeated lines ----------------------------------------------------
cat >"$dir/urls" <<END
# a comment, then an empty line

$base/item/1
  $base/item/2
$base/item/1
ftp://127.0.0.1/file
not a url
$base/nowhere
http://127.0.0.1:1/refused
END
printf '%s' "$base/item/3" >>"$dir/urls" # no newline at the end

run 1 --out "$dir/results" --retries 1 "$dir/urls"
whole results
has results . 8
has results '"url":"[^"]*item' 4
has results '"line":3,' 1
has results '"line":5,' 1
has results '"line":6,.*"status":null,.*"attempts":0,"error":"line"' 1
has results '"line":8,.*"status":404,.*"attempts":1,"error":"status"' 1
has results '"line":9,.*"status":null,.*"attempts":2,"error":"network"' 1
has results '"line":10,.*"status":200' 1
has err "urls:6: expected http"
has err "urls:7: blank"
has out '8 URLs in .* 4 ok, 4 failed'
has out 'failed  *line 2, network 1, status 1'
has out "network  *$dir/urls:9: http://127.0.0.1:1/refused: "
has out "status  *$dir/urls:8: $base/nowhere: HTTP 404"
[ "$(grep -v 'network\|status' "$dir/out" | wc -L)" -le 80 ] || fail "a summary wider than 80 columns"

printf '\357\273\277%s\r\n\r\n  # mark of UTF-8, ends of lines\r\n%s\r\n' "$base/item/1" "$base/item/2" >"$dir/dos"
run 0 "$dir/dos"
has out '2 URLs in .* 2 ok, 0 failed'
{ printf 'http://%070000d\n' 1; echo ftp://a:secret@b/; echo nonsense; } >"$dir/bad"
run 1 --out "$dir/results" "$dir/bad"
has err 'longer than 8192 bytes'
has out '3 URLs in .* 0 ok, 3 failed'
has results '"attempts":0,"error":"line"' 3
[ "$(wc -L <"$dir/results")" -le 400 ] || fail "a line that is no URL is repeated in full"

# --- what a URL says of its user is used and never shown ------------------------------------------
run 1 --retries 0 --out "$dir/results" "http://me:secret@${base#http://}/item/1" http://me:secret@127.0.0.1:1/ \
    http://me:sec/ret@127.0.0.1:1/ http://me:secret@127.0.0.1:port/ 'http://me:sec ret@b/' me:secret@b://c
[ "$(cat "$dir/out" "$dir/err" "$dir/results" | grep -c 'me:\|sec\|ret@')" -eq 0 ] || fail "credentials are shown"
has results '"url":"[^"]*/item/1","status":200' 1

# --- arguments, standard input, summaries ----------------------------------------------------------
run 0 "$base/item/1" "$base/item/2"
has out '2 URLs in .* 2 ok, 0 failed'
run 0 --json "$base/item/1"
holds 'a.urls == 1 and a.ok == 1 and a.failed == 0'
holds 'a.complete == true'
"$WEIR" - "$dir/out" <<'LUA' || fail "--json has numbers of too many digits"
for number in io.open(arg[1]):read("a"):gmatch("%d+%.%d+") do assert(#number:match("%.(%d+)") <= 3, number) end
LUA
printf '%s\n' "$base/item/1" >"$dir/list"
code=0
$fanout --out - - <"$dir/list" >"$dir/out" 2>"$dir/err" || code=$?
[ "$code" -eq 0 ] || fail "exit code $code from standard input"
has out '"status":200' 1
has err '1 URL in'
mkfifo "$dir/pipe"
$fanout --out "$dir/results" - <"$dir/pipe" >"$dir/out" 2>"$dir/err" &
pid=$!
exec 4>"$dir/pipe"
printf '%s\n%s' "$base/item/1" "$base/item/2" >&4
if "$WEIR" -e 'require "weir.luv"' 2>"$dir/null"; then # what is there is fetched before the rest comes
    until [ -s "$dir/results" ]; do
        kill -0 $pid 2>/dev/null || fail "it ended before its input"
        sleep 0.02
    done
fi
exec 4>&-
ended 0 $pid "from a pipe"
has results '"status":200' 2
run 0 --quiet "$base/item/1"
[ ! -s "$dir/out" ] && [ ! -s "$dir/err" ] || fail "--quiet is not quiet"
: >"$dir/empty"
run 0 "$dir/empty"
has out '^fanout.lua: no URL in '

# --- a slow one is given up, the first failure stops the rest ------------------------------------
run 1 --fail-fast --limit 1 --retries 0 --out "$dir/results" "$base/nowhere" "$base/item/1"
has results . 1
has err 'stopped, argument:1: .*HTTP 404'

# --- nobody reads, no room ------------------------------------------------------------------------
i=0
while [ $i -lt 5000 ]; do
    i=$((i + 1))
    echo "$base/item/$i"
done >"$dir/many" # of results, more than a pipe takes
{
    code=0
    $fanout --out - "$dir/many" 2>"$dir/err" || code=$?
    echo $code >"$dir/code"
} | head -2 >"$dir/out"
[ "$(cat "$dir/code")" -eq 141 ] || fail "exit code $(cat "$dir/code") when the reader went away"
has out . 2
grep -v '^fanout.lua: [0-9]*/5000, ' "$dir/err" >"$dir/null" && fail "words for a reader that went away"
if [ -w /dev/full ]; then
    run 2 --out /dev/full "$dir/many"
    has out '^fanout.lua: stopped early, '
    has err '^fanout.lua: cannot write to /dev/full: No space left' 1
    has err traceback 0
fi

# --- Ctrl-C in the middle ------------------------------------------------------------------------
rm -f "$dir/results"
$fanout --limit 2 --out "$dir/results" "$dir/many" >"$dir/out" 2>"$dir/err" &
pid=$!
until [ -s "$dir/results" ]; do
    kill -0 $pid 2>/dev/null || fail "it ended before it was interrupted"
    sleep 0.02
done
kill -INT $pid
ended 130 $pid "after SIGINT"
whole results
n=$(wc -l <"$dir/results")
[ "$n" -gt 0 ] && [ "$n" -lt 5000 ] || fail "$n results after SIGINT"
has out "interrupted, $n URLs* in"
$fanout - <"$dir/pipe" >"$dir/out" 2>"$dir/err" &
pid=$!
exec 4>"$dir/pipe"
printf '%s\n' http://127.0.0.1:1/ not-a-url >&4
if "$WEIR" -e 'require "weir.luv"' 2>"$dir/null"; then
    until grep -q expected "$dir/err"; do
        kill -0 $pid 2>/dev/null || fail "it ended before it was interrupted"
        sleep 0.02
    done
    kill -INT $pid
    ended 130 $pid "after SIGINT, its input still open"
    has out "interrupted, "
    exec 4>&-
else
    exec 4>&-
    ended 1 $pid "from a pipe"
fi

# --- the demonstration, small ------------------------------------------------------------------------
run 0 --demo 300 --limit 20
has out 'each of the 300 items answered exactly once'
rm -f "$dir/results"
$fanout --demo 100000 --out "$dir/results" >"$dir/out" 2>"$dir/err" &
pid=$!
until [ -s "$dir/results" ]; do
    kill -0 $pid 2>/dev/null || fail "the demonstration ended before it was interrupted"
    sleep 0.02
done
kill -INT $pid
ended 130 $pid "after SIGINT"
has out '^fanout.lua: interrupted, [0-9]* URLs* in'

echo ok
