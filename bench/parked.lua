-- parked.lua - N tasks asleep at once: memory of each, and CPU time for its whole life.
--
-- A life is spawn, park, wake by its own timer, end. The sleeps are spread over 0.1 s and long
-- enough that all are parked before the first wakes (checked). Usage: parked.lua [N]

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"

local n = tonumber(arg[1]) or 100000

weir.run(function()
  local sleep, woken = weir.sleep, 0
  local base = 0.05 + n * 4e-6
  local function task(i)
    sleep(base + (i % 1000) * 1e-4)
    woken = woken + 1
  end
  collectgarbage()
  local before, start = bench.resident(), os.clock()
  local parked
  weir.scope(function(scope)
    for i = 1, n do scope:spawn(task, i) end
    weir.checkpoint() -- children start, and park, before this returns
    parked = os.clock()
    bench.row("parked_bytes", "weir", "bytes", (bench.resident() - before) / n, n)
    if woken > 0 then print(("note: %d tasks woke before all were parked"):format(woken)) end
  end)
  local ended = os.clock()
  assert(woken == n)
  bench.row("parked_life", "weir", "ns", (ended - start) * 1e9 / n, n,
    { spawn = (parked - start) * 1e9 / n, wake = (ended - parked) * 1e9 / n })
end)
