-- queued.lua - memory of a job that waits its turn: N calls of a limit whose one slot is taken.
--
-- Each call gives a task that can be awaited or cancelled. `limit:map` queues nothing: the array
-- is its queue. Usage: queued.lua [N]

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"

local n = tonumber(arg[1]) or 100000

weir.run(function()
  weir.scope(function(scope)
    local limit = weir.limit(1)
    local function nothing() end
    limit(weir.sleep, 3600)
    weir.checkpoint()
    collectgarbage()
    local before = bench.resident()
    for i = 1, n do limit(nothing, i) end
    assert(limit.pending == n)
    bench.row("queued_bytes", "weir", "bytes", (bench.resident() - before) / n, n)
    scope:cancel("measured")
  end)
end)
