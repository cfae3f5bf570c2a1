-- limit.lua - 100,000 jobs through limit(100):map, and as many tasks that each run in sem:with.
--
-- Jobs that answer at once, then jobs that let the others run once (a checkpoint), which makes
-- every one of them queue. The pair is measured in the same process, as the unit of the goals.
-- Usage: limit.lua [N]

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"

local n = tonumber(arg[1]) or 100000
local items = {}
for i = 1, n do items[i] = i end

local function immediate(x) return x + 1 end
local function waiting(x) weir.checkpoint() return x + 1 end

local function mapped(job)
  return function()
    local results = weir.limit(100):map(items, job)
    assert(results.n == n and results[n] == n + 1)
  end
end

local function spawned(job)
  return function()
    local sem, results = weir.semaphore(100), {}
    local function task(i) results[i] = sem:with(job, i) end
    weir.scope(function()
      for i = 1, n do weir.spawn(task, i) end
    end)
    assert(results[n] == n + 1 and sem.available == 100)
  end
end

weir.run(function()
  bench.pair()
  bench.rounds("limit_map", "weir", n, mapped(immediate))
  bench.rounds("limit_map_wait", "weir", n, mapped(waiting))
  bench.rounds("spawn_with", "weir", n, spawned(immediate))
  bench.rounds("spawn_with_wait", "weir", n, spawned(waiting))
end)
