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

# By a signal: nothing can be begun any more, and nothing is waited for.
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
[ ! -s "$dir/err" ] || fail "it said something"

# In its cleanup a script that was told to end may use what is idle.
cat >"$dir/cleanup.lua" <<'END'
local weir = require "weir"
local pool = weir.pool { create = function() return "c" end, destroy = function() print "destroyed" end }
pool:with(function() end)
local _ <close> = setmetatable({}, { __close = function()
  weir.shield(function() print("cleanup", pool:with(function(c) weir.sleep(0.01) return c end)) end)
  weir.shield(function()
    local _ <close> = pool:acquire()
    print("another", pcall(pool.acquire, pool))
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
grep -q '^another	false	pool:create: cancelled' "$dir/out" || fail "a create began after the end"
