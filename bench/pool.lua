-- pool.lua - weir.pool: acquire and release of an idle one, and the spike of HikariCP's benchmark.
--
-- `pool_cycle`: acquire and release; `pool_with`: the same by pool:with. The spike: 5 warm, then 50
-- requests at once which use a resource for 2 ms each; a new one takes 150 ms; at most 50. p50 and
-- p99 from a request to its end, in elapsed time, and how many resources there are after it.
-- Usage: pool.lua [N]

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"

local n = tonumber(arg[1]) or 100000
local function nothing() end

local function quantile(list, q)
  table.sort(list)
  return list[math.min(#list, math.floor(#list * q) + 1)]
end

local function spike()
  local dial = 0
  local pool <close> = weir.pool {
    max = 50, min = 0,
    create = function() weir.sleep(dial) return {} end,
  }
  local warm = {}
  for i = 1, 5 do warm[i] = pool:acquire() end
  for _, lease in ipairs(warm) do lease:release() end
  dial = 0.150
  local took, tasks = {}, {}
  for i = 1, 50 do
    tasks[i] = function()
      local start = weir.now()
      pool:with(function() weir.sleep(0.002) end)
      took[i] = (weir.now() - start) * 1e9
    end
  end
  weir.all(tasks)
  weir.sleep(0.3) -- dials that are still on their way
  bench.row("spike_p50", "weir", "ns", quantile(took, 0.5), 50)
  bench.row("spike_p99", "weir", "ns", quantile(took, 0.99), 50)
  bench.row("spike_size", "weir", "count", pool:stats().total, 50)
end

weir.run(function()
  bench.pair()
  local pool <close> = weir.pool { create = function() return {} end, max = 10 }
  bench.rounds("pool_cycle", "weir", n, function()
    for _ = 1, n do pool:acquire():release() end
  end)
  bench.rounds("pool_with", "weir", n, function()
    for _ = 1, n do pool:with(nothing) end
  end)
  if bench.wanted "spike_p99" then spike() end
end)
