-- pause.lua - the worst pause of the loop while 100,000 tasks sleep and others come and go.
--
-- A ticker wakes every millisecond, spawns 20 short tasks that make a string of 8 KB each, as a
-- response body would be, and notes the CPU time that passed since its last tick: what the loop
-- did in one go, collection included, whatever else the machine was doing. Rows: the median
-- tick, the 99th percentile and the worst. Usage: pause.lua [N [incremental|generational [STEP [SECONDS]]]],
-- STEP the size of a collector step while the loop would sleep, 0 for none.

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"
local core = require "weir.core"

local n = tonumber(arg[1]) or 100000
local mode = arg[2] or "incremental"
local step = tonumber(arg[3]) or 0
local seconds = tonumber(arg[4]) or 3
local who = mode .. (step > 0 and "-idle" or "")

assert(mode == "incremental" or mode == "generational", "mode is incremental or generational")
collectgarbage(mode)
core.idle_gc(step)

-- How often the collector came round: a value that is collected makes the next one.
local cycles = -1
local function sentinel()
  cycles = cycles + 1
  setmetatable({}, { __gc = sentinel })
end

local page = ("x"):rep(8192)

local function short(i)
  local body = page .. i
  weir.checkpoint()
  return #body
end

weir.run(function()
  weir.scope(function(scope)
    for _ = 1, n do scope:spawn(weir.sleep, 3600) end
    weir.checkpoint()
    collectgarbage()
    sentinel()
    local ticks = {}
    local stop = weir.now() + seconds
    local last = os.clock()
    while weir.now() < stop do
      for i = 1, 20 do weir.spawn(short, i) end
      weir.sleep(0.001)
      local now = os.clock()
      ticks[#ticks + 1] = (now - last) * 1e6
      last = now
    end
    table.sort(ticks)
    local count = #ticks
    bench.row("pause_median", who, "us", ticks[count // 2 + 1], count)
    bench.row("pause_p99", who, "us", ticks[math.ceil(count * 0.99)], count)
    bench.row("pause_worst", who, "us", ticks[count], count, { cycles = cycles })
    scope:cancel("measured")
  end)
end)
