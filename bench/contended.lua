-- contended.lua - a semaphore with many in its queue: hand-offs, weights, priorities, a storm of resizes.
--
-- N tasks and one permit. Each release hands it to the head, and who released queues again, so N - 1
-- wait all the time: one operation is a release, a queued acquire and the switch. It must cost the
-- same whatever N is, but for the memory that N coroutines spread over: `pair_waiting` is the bare
-- resume/yield pair over as many. Weighted: 100 permits, 1 to 10 for each. Priority: drawn anew for each
-- acquire. Resize: the capacity changes at each hand-off. `priority_jobs` is a queue of N jobs, each
-- with a priority, filled and worked off. Usage: contended.lua [N [OPERATIONS]], N for one depth alone.

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"

local only = tonumber(arg[1])
local operations = tonumber(arg[2]) or 200000

-- Drawn before it is measured, the same in every run and for every peer's distribution.
local random = {}
math.randomseed(1)
for i = 1, 4096 do random[i] = math.random(0, 9) end

-- `acquire(i)` gives a permit. The first of `n` tasks gets it while the others queue; measured is from
-- there until `operations` have been done, not the making and the end of tasks.
local function handed_on(n, acquire)
  local left, start, stop = operations, nil, nil
  weir.scope(function(scope)
    local function task(i)
      local permit = acquire(i)
      if not start then
        weir.checkpoint() -- the others queue
        start = os.clock()
      end
      while left > 0 do
        left = left - 1
        permit:release()
        permit = acquire(left)
      end
      stop = stop or os.clock()
      permit:release()
    end
    for i = 1, n do scope:spawn(task, i) end
  end)
  return (stop - start) * 1e9 / operations
end

local function measure(name, n, once)
  if not bench.wanted(name) or (only and only ~= n) then return end
  local list = {}
  for i = 1, os.getenv "BENCH_ROW" and 1 or 3 do
    list[i] = once()
    collectgarbage()
  end
  bench.row(name, "weir", "ns", bench.median(list), n)
end

local function plain(n)
  local sem = weir.semaphore(1)
  return handed_on(n, function() return sem:acquire() end)
end

local function weighted(n)
  local sem = weir.semaphore(100)
  return handed_on(n, function(i) return sem:acquire(i % 10 + 1) end)
end

local function ranked(n)
  local sem = weir.semaphore { permits = 1, order = "priority" }
  local options = {}
  for p = 0, 9 do options[p] = { priority = p } end
  return handed_on(n, function(i) return sem:acquire(1, options[random[(i & 4095) + 1]]) end)
end

local function resized(n)
  local sem = weir.semaphore(1)
  return handed_on(n, function(i)
    sem:resize(i % 8 + 1)
    return sem:acquire()
  end)
end

local function jobs(n)
  local limit = weir.limit { n = 10, order = "priority" }
  local options, done = {}, 0
  for p = 0, 9 do options[p] = { priority = p } end
  local function job() done = done + 1 end
  local start = os.clock()
  weir.scope(function()
    for i = 1, n do limit:submit(options[random[(i & 4095) + 1]], job) end
  end)
  assert(done == n)
  return (os.clock() - start) * 1e9 / n
end

local function bare(n)
  local yield, resume = coroutine.yield, coroutine.resume
  local list = {}
  for i = 1, n do
    list[i] = coroutine.create(function() while true do yield() end end)
    resume(list[i])
  end
  local rounds = math.max(1, operations // n)
  local start = os.clock()
  for _ = 1, rounds do
    for i = 1, n do resume(list[i]) end
  end
  return (os.clock() - start) * 1e9 / (rounds * n)
end

for _, n in ipairs { 10, 1000, 100000 } do
  if bench.wanted "pair_waiting" and (not only or only == n) then
    bench.row("pair_waiting", "coroutine", "ns", bare(n), n)
  end
end
collectgarbage()

weir.run(function()
  for _, n in ipairs { 10, 1000, 100000 } do
    measure("handoff_waiting", n, function() return plain(n) end)
  end
  measure("weighted", 1000, function() return weighted(1000) end)
  for _, n in ipairs { 1000, 100000 } do
    measure("priority_waiting", n, function() return ranked(n) end)
    measure("priority_jobs", n, function() return jobs(n) end)
  end
  for _, n in ipairs { 10, 1000 } do
    measure("resize_storm", n, function() return resized(n) end)
  end
end)
