#!/bin/sh
# host/no_answer_test.sh - an address where what one sends is lost: whatever bounds a connect ends it.
#
# In a network of the test's own (an unprivileged namespace), whose loopback has a route to 192.0.2.0/24 (RFC 5737) and
# nobody there: the kernel takes each SYN for a stray and drops it, as a firewall does. Nothing leaves the machine.
set -eu

apart='ip link set lo up && ip address add 192.0.2.1/32 dev lo && ip route add 192.0.2.0/24 dev lo'
unshare -rn sh -c "$apart" 2>/dev/null || { echo "needs a network namespace of its own (unshare -rn, ip)"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cat >"$dir/test.lua" <<'END'
local weir = require "weir"
local NOWHERE <const> = "192.0.2.2"

local function fails(kind, text, fn, ...)
  local fine, err = pcall(fn, ...)
  assert(not fine, "somebody answered")
  assert(weir.kind(err) == kind, ("%s, not %s: %s"):format(weir.kind(err), kind, err))
  assert(tostring(err):find(text, 1, true), tostring(err))
  return err
end

local has_http, http = pcall(require, "weir.http")
if has_http then
  local url <const> = "http://" .. NOWHERE .. "/"
  fails("timeout", NOWHERE, http.get, url, { connect_timeout = 0.1 })
  fails("timeout", "while connecting", http.get, url, { timeout = 0.1 })
  fails("timeout", "in http:get", weir.timeout, 0.1, http.get, url)
  local task = weir.spawn(http.get, url)
  weir.sleep(0.1)
  task:cancel "enough"
  fails("cancelled", "enough", task.await, task)
  local client <close> = http.client { connect_timeout = 0.1, max = 1 } -- who queues for a connection has his turn
  local all = weir.settle { function() client:get(url) end, function() client:get(url) end }
  assert(weir.kind(all[1].error) == "timeout" and weir.kind(all[2].error) == "timeout")
end

local has_postgres, postgres = pcall(require, "weir.postgres")
if has_postgres then
  local url <const> = "postgres://weir@" .. NOWHERE .. "/x"
  fails("timeout", NOWHERE, postgres.connect, { url = url, timeout = 0.1 })
  fails("timeout", NOWHERE, postgres.connect, url .. "?connect_timeout=1")
  fails("timeout", "in postgres.connect", weir.timeout, 0.1, postgres.connect, url)
  local pool <close> = postgres.pool { url = url, max = 1, create_timeout = 0.1, open_after = 1, backoff = 60 }
  fails("timeout", "create", pool.value, pool, "select 1")
  fails("open", "postgres", pool.value, pool, "select 1")
end
print(("ok: %s%s"):format(has_http and "http " or "", has_postgres and "postgres" or ""))
END
unshare -rn sh -c "$apart && exec \"\$WEIR\" '$dir/test.lua'"
