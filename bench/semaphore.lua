-- semaphore.lua - one permit: uncontended, handed from task to task, and with a deadline on the wait.
--
-- `handoff` is two tasks and one permit: each release gives it to the other, who waits, so one
-- operation is a release, a queued acquire and the switch between. `handoff_timeout` is the same with
-- {timeout = 60} for every acquire. The difference has two parts: `option_table`, to read a table with
-- one option (measured with a timeout of infinity, which sets nothing), and `deadline`, to set and
-- cancel the timer. `timeout_call` is weir.timeout around a function that answers at once.
-- Usage: semaphore.lua [N]

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"

local n = tonumber(arg[1]) or 300000

local function nothing() end

local function handoff(options)
  return function()
    local sem = weir.semaphore(1)
    local function task()
      local permit = sem:acquire(options)
      weir.checkpoint() -- the other one queues
      for _ = 1, n // 2 do
        permit:release()
        permit = sem:acquire(options)
      end
      permit:release()
    end
    weir.scope(function()
      weir.spawn(task)
      weir.spawn(task)
    end)
  end
end

local function report(name, list)
  if bench.wanted(name) then bench.row(name, "weir", "ns", bench.median(list), n) end
end

weir.run(function()
  bench.pair()

  local sem = weir.semaphore(1)
  bench.rounds("sem_with", "weir", n, function()
    for _ = 1, n do sem:with(nothing) end
  end)
  bench.rounds("sem_acquire_release", "weir", n, function()
    for _ = 1, n do sem:acquire():release() end
  end)
  bench.rounds("sem_try_release", "weir", n, function()
    for _ = 1, n do sem:try_acquire():release() end
  end)
  bench.rounds("sem_acquire_close", "weir", n, function()
    for _ = 1, n do
      local _ <close> = sem:acquire()
    end
  end)
  assert(sem.available == 1)

  bench.rounds("checkpoint", "weir", n, function()
    for _ = 1, n do weir.checkpoint() end
  end)
  bench.rounds("timeout_call", "weir", n, function()
    for _ = 1, n do weir.timeout(60, nothing) end
  end)

  -- They are interleaved, so that their differences mean something on a busy machine.
  local plain, forever, timed, deadline, option = {}, {}, {}, {}, {}
  local without, endless, with = handoff(nil), handoff { timeout = math.huge }, handoff { timeout = 60 }
  for i = 1, os.getenv "BENCH_ROW" and 1 or 9 do
    if bench.wanted "handoff" then plain[i] = bench.measure(n, without, 1) end
    if bench.wanted "handoff_forever" then forever[i] = bench.measure(n, endless, 1) end
    if bench.wanted "handoff_timeout" then timed[i] = bench.measure(n, with, 1) end
    if plain[i] and forever[i] and timed[i] then
      option[i], deadline[i] = forever[i] - plain[i], timed[i] - forever[i]
    end
  end
  report("handoff", plain)
  report("handoff_timeout", timed)
  if #deadline > 0 then
    report("option_table", option)
    report("deadline", deadline)
  end
end)
