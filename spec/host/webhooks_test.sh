#!/bin/sh
# host/webhooks_test.sh - scripts/webhooks.lua from outside: what arrives, what the journal says, how it ends.
#
# The receivers are those of its demonstration; they say what they saw. What is asserted does not depend on
# how long anything takes: counts, the order of records in the journal, exit codes.
set -eu

script=scripts/webhooks.lua
shown=journal
. spec/host/support.sh
webhooks="$WEIR $script"
trap 'exec 3<&- 4<&- 5>&-; rm -rf "$dir"' EXIT

# ask URL: what the receivers answer
ask() {
    "$WEIR" - "$1" <<'LUA'
io.write(require "weir.http".get(arg[1]).body)
LUA
}

# in_flight JOURNAL: the ids whose last record is the beginning of an attempt
in_flight() {
    "$WEIR" - "$1" <<'LUA'
local json, last = require "weir.json", {}
for line in io.lines(arg[1]) do
  local fine, record = pcall(json.decode, line)
  if fine and record.id then last[record.id] = record end
end
for id, record in pairs(last) do
  if not (record.delivered or record.failed or record.error) then print(id) end
end
LUA
}

# deliveries BASE FIRST LAST [MODE]: to five receivers in turn
deliveries() {
    i=$2
    while [ "$i" -le "$3" ]; do
        echo "{\"id\":\"e$i\",\"url\":\"$1/d$((i % 5))/${4:-}\",\"destination\":\"d$((i % 5))\",\"body\":{\"n\":$i,\"l\":[]}}"
        i=$((i + 1))
    done
}

# --- the receivers: those that take everything, and those that take 3 in a second --------------------------
mkfifo "$dir/port" "$dir/strict"
"$WEIR" scripts/webhooks/server.lua 0 7 >"$dir/port" &
exec 3<"$dir/port"
read -r word port <&3
[ "$word" = listening ] || fail "the server said '$word $port'"
base=http://127.0.0.1:$port
"$WEIR" scripts/webhooks/server.lua 3 7 >"$dir/strict" &
exec 4<"$dir/strict"
read -r word port <&4
[ "$word" = listening ] || fail "the second server said '$word $port'"
strict=http://127.0.0.1:$port

# --- usage -------------------------------------------------------------------------------------------------
run 0 --help
has out '^Usage: webhooks.lua'
run 2 --limit 0 x
has err '--limit: expected an integer'
run 2 --no-such-option
has err 'unknown option'
run 2 "$dir/missing"
has err 'missing: No such file'
run 2 "$dir"
has err 'Is a directory'
run 2 --resume "$dir/missing"
has err '--resume needs --journal'
run 2 --journal "$dir/missing/j" /dev/null
has err '--journal: '
run 2 --journal "$dir/none" --resume /dev/null
has err '^webhooks.lua: --journal: .*none: No such file'
[ ! -e "$dir/none" ] || fail "--resume made a journal"
run 2 --journal "$dir" --resume /dev/null
has err '^webhooks.lua: --journal: .*: Is a directory'
: >"$dir/one"
for pair in "--journal $dir/one $dir/./one" "--dead-letter $dir//one $dir/one" \
    "--journal $dir/one --dead-letter $dir/one /dev/null"; do
    # shellcheck disable=SC2086
    run 2 $pair
    has err 'expected different files'
done
ln -s "$dir/one" "$dir/symbolic"
ln "$dir/one" "$dir/hard"
ln -s . "$dir/here"
for pair in "--journal $dir/one $dir/symbolic" "--resume --journal $dir/hard $dir/one" \
    "--journal $dir/one --dead-letter $dir/hard /dev/null" "--journal $dir/new --dead-letter $dir/here/new /dev/null"; do
    # shellcheck disable=SC2086
    run 2 $pair
    has err 'expected different files' 1
done
[ ! -s "$dir/one" ] && [ ! -s "$dir/new" ] || fail "written before it was refused"
run 2 --journal "$dir/one" --other-source /dev/null
has err '--other-source is for --resume'
run 2 --unlimited /dev/null
has err 'for the demonstration'
run 0 --quiet /dev/null
[ ! -s "$dir/out" ] && [ ! -s "$dir/err" ] || fail "--quiet is not quiet"

# --- good and bad lines, answers for good, dead letters ------------------------------------------------------
{
    deliveries "$base" 1 5 fine
    echo
    echo 'nonsense'
    echo '{"id":"x","url":"ftp://127.0.0.1/"}'
    echo "{\"url\":\"$base/d1/fine\"}"
    echo "{\"id\":\"e1\",\"url\":\"$base/d1/fine\"}"
    echo "{\"id\":\"y\",\"url\":\"$base/d1/fine\",\"paylod\":1}"
    echo '[1,2]'
    echo "{\"id\":\"gone\",\"url\":\"$base/g/gone\",\"headers\":{\"X-A\":\"b\"},\"body\":{ \"empty\": [], \"t\":\"}\\\"\" }}"
    echo "{\"id\":6,\"url\":\"$base/l/late\",\"destination\":\"late\",\"body\":\"text\"}"
    printf '{"id":"e7","url":"%s/d2/fine"}' "$base" # no newline at the end
} >"$dir/in"
run 1 --journal "$dir/journal" --dead-letter "$dir/dead" --retries 2 "$dir/in"
has out '8 deliveries in .* 7 delivered, 1 failed'
has out '6 lines are no deliveries'
has out '^  late  *1  *0  *1  *0 '
has err 'in:7: not JSON'
has err 'in:8: url: expected http'
has err 'in:9: id: expected'
has err "in:10: id 'e1' is on line 1 already"
has err "in:11: 'paylod' is none of"
has err 'in:12: '
has journal '"delivered":200' 7
has journal '{"id":"6","attempt":1,"error":"HTTP 503"}' 1
has journal '{"id":"gone","failed":"HTTP 410","attempts":1,"line":"[0-9a-f]*"}' 1
has dead . 1
has dead '"id":"gone".*"body":{ "empty": \[\], "t":"}\\"" }.*"error":"HTTP 410","status":410,"attempts":1}$' 1
run 1 --quiet --dead-letter "$dir/dead2" "$dir/dead" # a dead letter can be sent again
has dead2 '"error":' 1
run 2 --journal "$dir/journal" "$dir/in"
has err '--resume goes on'
run 1 --resume --journal "$dir/journal" "$dir/in"
has out '0 deliveries in .* 0 delivered, 0 failed'
has out '8 more were done before'
has out '1 had failed before'
grep -v -e nonsense -e ftp -e '^{"url' -e paylod -e '^\[' "$dir/in" | awk '!/"e1"/ || !n++' >"$dir/good"
run 1 --resume --journal "$dir/journal" "$dir/good" # for the one that failed before, alone
has out '8 more were done before'

# --- a line that was cut, a disk that is full ----------------------------------------------------------------
echo "{\"id\":\"gone\",\"url\":\"$base/g/gone\"}" >"$dir/in"
printf '{"id":"a","ur' >"$dir/dead"
run 1 --dead-letter "$dir/dead" "$dir/in"
has dead '^{"id":"gone".*}$' 1
if [ -c /dev/full ]; then
    for option in --dead-letter --journal; do
        run 2 --quiet $option /dev/full "$dir/in"
        has err '^webhooks.lua: cannot write to /dev/full: ' 1
        has err . 1
    done
fi

# --- standard input, JSON ----------------------------------------------------------------------------------
code=0
deliveries "$base" 11 15 fine | (sleep 0.2; cat) | $webhooks --json - >"$dir/out" 2>"$dir/err" || code=$?
[ "$code" -eq 0 ] || fail "exit code $code from standard input"
holds 'a.delivered == 5 and a.failed == 0 and #a.destinations == 5'

# --- 429 and Retry-After: sent far too fast, taken all the same ----------------------------------------------
i=0
while [ $i -lt 8 ]; do
    i=$((i + 1))
    echo "{\"id\":\"s$i\",\"url\":\"$strict/s/fine\",\"destination\":\"s\"}"
done >"$dir/in"
run 0 --per-host-rate 1000 --retries 50 "$dir/in"
has out '8 deliveries in .* 8 delivered, 0 failed'
ask "$strict/report" >"$dir/out"
"$WEIR" - "$dir/out" <<'LUA' || fail "what the strict receiver saw"
local s = require "weir.json".decode(io.open(arg[1]):read "a").s
assert(s.taken == 8 and s.doubled == 0 and s.refused > 0, require "weir.json".encode(s))
LUA
run 1 --per-host-rate 1000 --retries 0 "$dir/in"

# --- too much to do, without a word for how long; and for longer than a run lasts ------------------------------
deliveries "$base" 21 25 curt >"$dir/in"
run 0 "$dir/in"
has out '5 deliveries in .* 5 delivered, 0 failed'
{
    i=0
    while [ $i -lt 10 ]; do
        i=$((i + 1))
        echo "{\"id\":\"h$i\",\"url\":\"$base/h/holiday\",\"destination\":\"h\"}"
    done
} >"$dir/in"
rm -f "$dir/journal" "$dir/dead"
run 1 --per-host-limit 1 --dead-letter "$dir/dead" "$dir/in"
has err "'h' asks to wait [0-9]* s: .* fails"
has out '10 deliveries in .* 0 delivered, 10 failed'
has dead 'destination asks to wait [0-9]* s' 9
rm "$dir/dead"
deliveries "$base" 31 33 fine >>"$dir/in"
run 1 --per-host-limit 1 --journal "$dir/journal" --dead-letter "$dir/dead" "$dir/in"
has err "'h' asks to wait [0-9]* s: .* --resume" 1
has out '13 deliveries in .* 3 delivered, 0 failed, 10 left'
has journal '"attempt":1}' 4
[ ! -s "$dir/dead" ] || fail "dead letters for what is left"
[ -z "$(in_flight "$dir/journal")" ] || fail "in flight to who asked to wait"
sed 's/holiday/fine/' "$dir/in" >"$dir/back"
cp "$dir/journal" "$dir/before"
run 2 --resume --journal "$dir/journal" "$dir/back"
has err 'journal was begun with .*/in, and .*/back is another source' 1
cmp -s "$dir/journal" "$dir/before" || fail "something was done with another source"
run 0 --resume --other-source --journal "$dir/journal" "$dir/back"
has out '10 deliveries in .* 10 delivered, 0 failed'
run 0 --resume --journal "$dir/journal" "$dir/back" # now it is known

# --- the source grows, is mended, is another with the same ids ----------------------------------------------------
{
    deliveries "$base" 51 53 fine
    echo nonsense
} >"$dir/in"
rm "$dir/journal"
run 1 --journal "$dir/journal" "$dir/in"
{
    deliveries "$base" 51 53 fine
    deliveries "$base" 54 56 fine
} >"$dir/in"
run 0 --resume --journal "$dir/journal" "$dir/in"
has out '3 deliveries in .* 3 delivered, 0 failed'
deliveries "$base" 51 51 fine >"$dir/in"
deliveries "$strict" 52 57 fine >>"$dir/in"
run 2 --resume --journal "$dir/journal" "$dir/in"
has err "'e52' was delivered with another line than .*/in has for it now" 1
run 0 --resume --other-source --journal "$dir/journal" "$dir/in"
has out '1 deliveries in .* 1 delivered, 0 failed'

# --- a source that is changed while it is read is noticed ---------------------------------------------------------
deliveries "$base" 301 700 fine >"$dir/in"
rm "$dir/journal"
$webhooks --per-host-rate 40 --quiet --journal "$dir/journal" "$dir/in" >"$dir/out" 2>"$dir/err" &
pid=$!
until [ -s "$dir/journal" ]; do
    kill -0 $pid 2>/dev/null || fail "it ended before its source was changed"
    sleep 0.02
done
printf '{"id":"e699","url":"' >"$dir/new"
dd if="$dir/new" of="$dir/in" conv=notrunc seek=30000 bs=1 2>/dev/null
ended 2 $pid "after its source was changed"
has err '^webhooks.lua: .*/in was changed while it was read$' 1
[ -z "$(in_flight "$dir/journal")" ] || fail "in flight after its source was changed"

# --- one receiver has one rate, however its name is spelt -----------------------------------------------------------
port=${base##*:}
{
    echo "{\"id\":\"o1\",\"url\":\"http://127.0.0.1:$port/o/fine\"}"
    echo "{\"id\":\"o2\",\"url\":\"HTTP://127.0.0.1:0$port/o/fine\"}"
    echo "{\"id\":\"o3\",\"url\":\"http://u:p@127.0.0.1:$port/o/fine\"}"
} >"$dir/in"
run 0 --json "$dir/in"
holds "#a.destinations == 1 and a.destinations[1].destination == 'http://127.0.0.1:$port' and a.delivered == 3"

# --- a silent destination holds up nobody, and is given up ---------------------------------------------------
{
    i=0
    while [ $i -lt 40 ]; do
        i=$((i + 1))
        echo "{\"id\":\"q$i\",\"url\":\"$base/q/silent\",\"destination\":\"quiet\"}"
    done
    deliveries "$base" 101 160 fine
} >"$dir/in"
rm "$dir/journal"
run 1 --timeout 0.5 --retries 0 --give-up 4 --limit 6 --per-host-limit 2 --per-host-rate 1000 \
    --journal "$dir/journal" "$dir/in"
has out '100 deliveries in .* 60 delivered, 40 failed'
has out '^  quiet  *0  *40 '
has journal 'given up after 4 failures in a row'
n=$(grep -c '{"id":"q[0-9]*","attempt":1}' "$dir/journal") # 5, unless the machine dawdles
[ "$n" -lt 20 ] || fail "$n of 40 attempts were made at a silent destination"
last=$(grep -n '"delivered"' "$dir/journal" | tail -1 | cut -d: -f1)
gone=$(grep -n '"failed":"destination given up' "$dir/journal" | head -1 | cut -d: -f1)
[ "$last" -lt "$gone" ] || fail "the others waited for the silent one"

# --- a long source does not hold up what was read first: the complaint about its end comes after that was delivered ---
awk 'BEGIN { for (i = 1; i <= 30000; i++) printf "{\"id\":\"old%d\",\"delivered\":200,\"attempts\":1}\n", i }' >"$dir/journal"
{
    deliveries "$base" 201 205 fine
    sed 's/"delivered".*/"url":"http:\/\/127.0.0.1:1"}/' "$dir/journal"
    echo nonsense
} >"$dir/in"
code=0
$webhooks --quiet --resume --journal "$dir/journal" "$dir/in" 2>>"$dir/journal" || code=$?
[ "$code" -eq 1 ] || fail "exit code $code after a long source"
sed -n '/not JSON/q; /"e20[1-5]","delivered"/p' "$dir/journal" >"$dir/out"
has out . 5

# --- Ctrl-C: what is in flight is finished, the rest is for --resume ------------------------------------------
deliveries "$base" 1001 1300 fine >"$dir/in"
rm "$dir/journal"
$webhooks --per-host-rate 50 --journal "$dir/journal" "$dir/in" >"$dir/out" 2>"$dir/err" &
pid=$!
until [ -s "$dir/journal" ]; do
    kill -0 $pid 2>/dev/null || fail "it ended before it was interrupted"
    sleep 0.02
done
kill -INT $pid
ended 130 $pid "after SIGINT"
has out 'interrupted, '
before=$(grep -c delivered "$dir/journal")
[ "$before" -gt 0 ] && [ "$before" -lt 300 ] || fail "$before delivered after SIGINT"
[ -z "$(in_flight "$dir/journal")" ] || fail "in flight after SIGINT"
run 0 --per-host-rate 1000 --resume --journal "$dir/journal" "$dir/in"
has journal '"delivered":200' 300
has out "$before more were done before"

# --- Ctrl-C while standard input is silent -----------------------------------------------------------------------
mkfifo "$dir/silent"
rm "$dir/journal"
$webhooks --journal "$dir/journal" - <"$dir/silent" >"$dir/out" 2>"$dir/err" &
pid=$!
exec 5>"$dir/silent"
deliveries "$base" 1501 1501 fine >&5
until grep -qs delivered "$dir/journal"; do
    kill -0 $pid 2>/dev/null || fail "it ended before its input did"
    sleep 0.02
done
kill -INT $pid
ended 130 $pid "after SIGINT, with a silent pipe"
has out '1 delivered, 0 failed'
exec 5>&-

# --- killed three times: nothing is lost, and only what was in flight comes twice. While it runs no other can go on
# with its journal; when it is killed the lock is gone too.
ask "$base/report" >/dev/null
[ -z "$(ask "$base/twice")" ] || fail "taken twice: $(ask "$base/twice")"
deliveries "$base" 2001 2400 >"$dir/in"
: >"$dir/in-flight"
: >"$dir/journal"
for _ in 1 2 3; do
    records=$(($(wc -l <"$dir/journal") + 80))
    $webhooks --limit 8 --per-host-rate 40 --quiet --journal "$dir/journal" --resume "$dir/in" >"$dir/out" 2>"$dir/err" &
    pid=$!
    until [ "$(wc -l <"$dir/journal")" -ge $records ]; do
        kill -0 $pid 2>/dev/null || fail "it ended before it was killed"
        sleep 0.01
    done
    code=0
    $webhooks --resume --journal "$dir/journal" "$dir/in" >"$dir/out" 2>"$dir/err2" </dev/null || code=$?
    [ "$code" -eq 2 ] || fail "exit code $code of a second run with one journal"
    has err2 'journal: another run is using it$' 1
    kill -KILL $pid
    wait $pid 2>/dev/null || true
    printf '{"id":"e2400","deliv' >>"$dir/journal" # the write that it was about
    in_flight "$dir/journal" >>"$dir/in-flight"
done
[ "$(wc -l <"$dir/in-flight")" -le 24 ] || fail "$(wc -l <"$dir/in-flight") were in flight at three kills with a limit of 8"
run 0 --per-host-rate 1000 --resume --journal "$dir/journal" "$dir/in"
has err '[1-9][0-9]* done, [0-9]* were in flight and may arrive twice, 3 lines cut'
has journal '"delivered":200' 400
ask "$base/twice" >"$dir/twice"
while read -r id; do
    grep -qx "$id" "$dir/in-flight" || fail "$id was taken twice and was not in flight"
done <"$dir/twice"
ask "$base/report" >"$dir/out"
"$WEIR" - "$dir/out" <<'LUA' || fail "not all of the 400 were taken"
local taken = 0
for _, r in pairs(require "weir.json".decode(io.open(arg[1]):read "a")) do taken = taken + r.taken end
assert(taken == 400, taken)
LUA
echo "figures: kills=3 deliveries=400 delivered=$(grep -c '"delivered":200' "$dir/journal") repeated=$(grep -c . "$dir/twice" || true)"

# --- the demonstration, small; and what it is good for ---------------------------------------------------------
run 0 --demo-size 300 --demo-destinations 20 --per-host-rate 20
has out '300 deliveries in .* 300 delivered, 0 failed'
has out 'each of the 300 deliveries was taken exactly once'
run 1 --demo-size 300 --demo-destinations 2 --unlimited
has out 'without limits [0-9]* of 300 deliveries failed'

# --- a demonstration that cannot be: no library to serve with ----------------------------------------------------
mkdir -p "$dir/lua/weir/http"
cp "$WEIR_BUILD"/lua/weir/core.so "$dir/lua/weir"
cp "$WEIR_BUILD"/lua/weir/http/curl.so "$dir/lua/weir/http"
code=0
LUA_CPATH="$dir/lua/?.so;;" lua5.4 "$script" >"$dir/out" 2>"$dir/err" </dev/null || code=$?
[ "$code" -eq 2 ] || fail "exit code $code without a server"
has err . 1
has err "^webhooks.lua: the server of the demonstration did not start: module 'weir.http.microhttpd' not found$"

echo ok
