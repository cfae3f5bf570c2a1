#!/bin/sh
# host/pool_test.sh - a script that ends, by itself or by a signal, while it has pools.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cat >"$dir/pool.lua" <<'END'
local weir = require "weir"
local pool = weir.pool {
  name = "db", min = 2, create = function() weir.sleep(0.01) return {} end, destroy = function() print "destroyed" end,
  check = function() weir.sleep(3600) end, check_timeout = math.huge, check_idle = 0,
}
if arg[1] == "wait" then
  weir.spawn(function() pool:with(function() weir.sleep(3600) end) end)
  repeat weir.sleep(0.001) until pool.idle + pool.active == 2
  print "ready"
  io.flush()
  weir.sleep(3600)
else
  repeat weir.sleep(0.001) until pool.idle == 2
end
END

fail() {
    echo "not ok: $*" >&2
    sed 's/^/| /' "$dir/out" "$dir/err" >&2
    exit 1
}

# By itself: what is idle is destroyed.
"$WEIR" "$dir/pool.lua" >"$dir/out" 2>"$dir/err" || fail "exit code $?"
[ "$(grep -c destroyed "$dir/out")" -eq 2 ] || fail "what was idle was not destroyed"
[ ! -s "$dir/err" ] || fail "it said something"

# By a signal: what is out comes back and is destroyed; the check that it needs for being suspect is not waited for.
"$WEIR" "$dir/pool.lua" wait >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 600); do
    ! grep -q ready "$dir/out" || break
    sleep 0.05
done
kill -TERM $pid
code=0
wait $pid || code=$?
[ $code -eq 143 ] || fail "exit code $code after SIGTERM"
[ "$(grep -c destroyed "$dir/out")" -eq 2 ] || fail "what was idle or lent was not destroyed"
[ ! -s "$dir/err" ] || fail "it said something"

# In its cleanup a script that was told to end may use its pools, and have more made.
cat >"$dir/cleanup.lua" <<'END'
local weir = require "weir"
local pool = weir.pool { create = function() return "c" end, destroy = function() print "destroyed" end }
pool:with(function() end)
local _ <close> = setmetatable({}, { __close = function()
  weir.shield(function()
    local _ <close> = pool:acquire()
    print("cleanup", pool:with(function(c) weir.sleep(0.01) return c end))
  end)
end })
print "ready" io.flush()
weir.sleep(3600)
END
"$WEIR" "$dir/cleanup.lua" >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 600); do
    ! grep -q ready "$dir/out" || break
    sleep 0.05
done
kill -TERM $pid
code=0
wait $pid || code=$?
[ $code -eq 143 ] || fail "exit code $code after SIGTERM in a cleanup"
grep -q '^cleanup	c$' "$dir/out" || fail "the cleanup could not use the pool"
[ "$(grep -c destroyed "$dir/out")" -eq 2 ] || fail "what the cleanup used was not destroyed"
