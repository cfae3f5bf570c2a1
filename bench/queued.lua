-- queued.lua - memory of a job that waits its turn: N of them at a limit whose one slot is taken.
--
-- `queued_bytes`: N calls of limit(fn, i), each of which gives a task that can be awaited or
-- cancelled. `mapped_bytes`: the same jobs by limit:map over an array that was there before:
-- the array is the queue. Usage: queued.lua [N]

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"

local n = tonumber(arg[1]) or 100000

local function nothing() end

-- Bytes per job after `queue(limit)` has queued n of them behind one that sleeps.
local function measure(name, queue)
  weir.scope(function(scope)
    local limit = weir.limit(1)
    limit(weir.sleep, 3600)
    weir.checkpoint()
    collectgarbage()
    local before = bench.resident()
    queue(limit)
    weir.checkpoint()
    bench.row(name, "weir", "bytes", (bench.resident() - before) / n, n)
    scope:cancel("measured")
  end)
end

weir.run(function()
  local items = {}
  for i = 1, n do items[i] = i end
  measure("mapped_bytes", function(limit)
    weir.spawn(function() limit:map(items, nothing) end)
  end)
  measure("queued_bytes", function(limit)
    for i = 1, n do limit(nothing, i) end
    assert(limit.pending == n)
  end)
end)
