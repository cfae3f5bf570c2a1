#!/bin/sh
# host/fanout_test.sh - scripts/fanout.lua from outside: what it prints, writes and exits with.
#
# The server is the one of its demonstration; its answers take some milliseconds and, for the first request
# of some items, are errors. What is asserted does not depend on how long anything takes.
set -eu

dir=$(mktemp -d)
fanout="$WEIR scripts/fanout.lua"
trap 'exec 3<&-; rm -rf "$dir"' EXIT

fail() {
    echo "not ok: $*" >&2
    for file in "$dir/out" "$dir/err" "$dir/results"; do
        [ -f "$file" ] && sed "s|^|$(basename "$file"): |" "$file" | head -30 >&2
    done
    exit 1
}

# run CODE WORDS...: fanout.lua with these, its output in $dir/out and $dir/err
run() {
    expected=$1
    shift
    code=0
    $fanout "$@" >"$dir/out" 2>"$dir/err" || code=$?
    [ "$code" -eq "$expected" ] || fail "exit code $code instead of $expected: fanout.lua $*"
}

# has FILE PATTERN [COUNT]: so many lines match
has() {
    n=$(grep -c -e "$2" "$dir/$1") || true
    if [ $# -eq 3 ]; then
        [ "$n" -eq "$3" ] || fail "$n lines match '$2' in $1, not $3"
    else
        [ "$n" -gt 0 ] || fail "no line matches '$2' in $1"
    fi
}

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
"$WEIR" scripts/fanout/server.lua 7 >"$dir/port" &
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

# --- arguments, standard input, summaries ----------------------------------------------------------
run 0 "$base/item/1" "$base/item/2"
has out '2 URLs in .* 2 ok, 0 failed'
run 0 --json "$base/item/1"
"$WEIR" -e 'local s = require "weir.json".decode(io.read "a"); assert(s.urls == 1 and s.ok == 1 and s.failed == 0)' \
    <"$dir/out" || fail "--json"
printf '%s\n' "$base/item/1" >"$dir/list"
code=0
$fanout --out - - <"$dir/list" >"$dir/out" 2>"$dir/err" || code=$?
[ "$code" -eq 0 ] || fail "exit code $code from standard input"
has out '"status":200' 1
has err '1 URLs in'
run 0 --quiet "$base/item/1"
[ ! -s "$dir/out" ] && [ ! -s "$dir/err" ] || fail "--quiet is not quiet"
: >"$dir/empty"
run 0 "$dir/empty"
has out '0 URLs in'

# --- a slow one is given up, the first failure stops the rest ------------------------------------
run 1 --fail-fast --limit 1 --retries 0 --out "$dir/results" "$base/nowhere" "$base/item/1"
has results . 1
has err 'stopped, argument:1: .*HTTP 404'

# --- Ctrl-C in the middle ------------------------------------------------------------------------
i=0
while [ $i -lt 5000 ]; do
    i=$((i + 1))
    echo "$base/item/$i"
done >"$dir/many"
rm -f "$dir/results"
$fanout --limit 2 --out "$dir/results" "$dir/many" >"$dir/out" 2>"$dir/err" &
pid=$!
until [ -s "$dir/results" ]; do
    kill -0 $pid 2>/dev/null || fail "it ended before it was interrupted"
    sleep 0.02
done
kill -INT $pid
code=0
wait $pid || code=$?
[ "$code" -eq 130 ] || fail "exit code $code after SIGINT"
whole results
n=$(wc -l <"$dir/results")
[ "$n" -gt 0 ] && [ "$n" -lt 5000 ] || fail "$n results after SIGINT"
has out "interrupted, $n URLs in"

# --- the demonstration, small ------------------------------------------------------------------------
run 0 --demo 300 --limit 20
has out 'each of the 300 items answered exactly once'

echo ok
