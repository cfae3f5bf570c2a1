#!/bin/sh
# host/dbpool_test.sh - scripts/dbpool.lua from outside: usage, the story on SQLite and on a real PostgreSQL.
set -eu

script=scripts/dbpool.lua
. spec/host/support.sh

# --- usage
run 0 --help
has out '^Usage: dbpool.lua'
run 2 --pool 5 --bulkhead 5
has err 'bulkhead must be less'
run 2 --scenario none
has err 'expected shared, bulkhead or separate'
run 2 --start 9 --seconds 8
has err 'start must be less'
run 1 --postgres postgres://nobody@127.0.0.1:1/nothing
has err '^dbpool.lua: '
! grep -q traceback "$dir/err" || fail 'a database that is not there is no fault of the program'

# --- SQLite: every request has an outcome, every report ends; held back, they refuse nobody
short='--seconds 1 --rate 50 --reports 6 --report-ms 20 --patience 5'
# shellcheck disable=SC2086 # words
run 0 $short --width 60
has out 'a pool of 10'
has out 'the reports start' 3
has out '^one pool, a bulkhead before the reports  *[0-9]'
# shellcheck disable=SC2086
run 0 $short --json
holds 'a.database == "SQLite" and #a.runs == 3'
holds '(function() for _, r in ipairs(a.runs) do
  assert(r.arrived > 10 and r.served + r.refused + r.failed == r.arrived and r.failed == 0 and r.reports_done == 6)
end return true end)()'

# --- its file goes, one that was named stays
run 0 --seconds 0.2 --reports 0 --scenario shared --path "$dir/kept.db"
[ -s "$dir/kept.db" ] || fail 'the file that was named is gone'

# --- Ctrl-C
"$WEIR" "$script" --seconds 60 --path "$dir/interrupted.db" >"$dir/out" 2>"$dir/err" &
pid=$!
until grep -q 'API requests a second' "$dir/out"; do kill -0 "$pid" || fail 'it ended by itself'; done
kill -s INT "$pid"
ended 130 "$pid" 'after SIGINT'
! grep -q traceback "$dir/err" || fail 'a traceback after Ctrl-C'

# --- PostgreSQL, where there is one; nothing is left in it
"$WEIR" - "$script" >"$dir/out" 2>"$dir/err" <<'LUA' || fail 'on PostgreSQL'
package.path = "spec/?.lua;" .. package.path
local postgres = require "support.postgres"
if not (postgres.found and pcall(require, "weir.postgres")) then
  print "left out: no PostgreSQL"
  return
end
local server <close> = postgres.start()
local command = ("%s %s --postgres '%s' --seconds 1 --rate 50 --reports 6 --report-ms 20 --patience 5 --json"):format(
  os.getenv "WEIR", arg[1], server:url())
local pipe = io.popen(command)
local a = require "weir.json".decode(pipe:read "a")
assert(pipe:close(), "the exit code is not 0")
assert(a.database == "PostgreSQL" and #a.runs == 3)
for _, r in ipairs(a.runs) do
  assert(r.failed == 0 and r.served + r.refused == r.arrived and r.reports_done == 6, r.scenario)
end
local left = server:psql("select count(*) from pg_tables where tablename = 'weir_dbpool'")
assert(left == "0", "the table is still there")
LUA

echo 'ok: dbpool.lua'
