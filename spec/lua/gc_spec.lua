-- gc_spec.lua - what the collector may take and what it must not; what is reused.

local helper = require "support.helper"
local weir = require "weir"

local function collect()
  collectgarbage()
  collectgarbage()
end

-- Number of different coroutines in a set that keeps them alive.
local function count(set)
  local n = 0
  for _ in pairs(set) do n = n + 1 end
  return n
end

describe("memory", function()
  it("reuses the coroutines of tasks that ended", helper.virtual(function()
    local seen = {}
    for _ = 1, 1000 do
      weir.spawn(function() seen[coroutine.running()] = true end):await()
    end
    assert.is_true(count(seen) <= 4, count(seen) .. " coroutines for 1000 tasks, one at a time")
  end))

  it("reuses the coroutines of tasks that failed or were cancelled", helper.virtual(function()
    local seen = {}
    for _ = 1, 300 do
      local t
      weir.settle {
        function()
          seen[coroutine.running()] = true
          weir.checkpoint()
          error("x")
        end,
        function()
          t = weir.spawn(function()
            seen[coroutine.running()] = true
            weir.sleep(100)
          end)
          weir.checkpoint()
          t:cancel()
          t:pawait()
        end,
      }
    end
    assert.is_true(count(seen) <= 8, count(seen) .. " coroutines")
  end))

  it("makes no coroutine for a job that waits in a limit", helper.virtual(function()
    local seen = {}
    local limit = weir.limit(2)
    weir.scope(function()
      for _ = 1, 500 do
        limit(function()
          seen[coroutine.running()] = true
          weir.checkpoint()
        end)
      end
    end)
    assert.is_true(count(seen) <= 6, count(seen) .. " coroutines")
  end))

  it("makes no coroutine for a call of map that has not started", helper.virtual(function()
    local seen = {}
    local source = {}
    for i = 1, 500 do source[i] = i end
    weir.map(source, function()
      seen[coroutine.running()] = true
      weir.checkpoint()
    end, { limit = 4 })
    assert.is_true(count(seen) <= 10, count(seen) .. " coroutines")
  end))

  it("does not keep what a coroutine had on its stack for its next task", helper.virtual(function()
    local weak = setmetatable({}, { __mode = "k" })
    weir.spawn(function()
      local big = {}
      weak[big] = true
      weir.checkpoint()
      return #big
    end):await()
    weir.spawn(function() weir.checkpoint() end):await()
    collect()
    assert.is_nil(next(weak))
  end))

  it("does not collect a parked task that nobody refers to", helper.virtual(function()
    local done = {}
    do
      weir.spawn(function() weir.sleep(1) done.sleep = true end)
      local sem = weir.semaphore(1)
      weir.spawn(function() sem:with(weir.sleep, 1) done.holder = true end)
      weir.spawn(function() sem:with(function() done.waiter = true end) end)
      weir.spawn(function() weir.spawn(weir.sleep, 1):await() done.await = true end)
      weir.spawn(function() weir.limit(1)(weir.sleep, 1):await() done.limit = true end)
    end
    weir.checkpoint()
    for _ = 1, 20 do
      collect()
      weir.sleep(0.2)
    end
    assert.same({ sleep = true, holder = true, waiter = true, await = true, limit = true }, done)
  end))

  it("does not collect a task that is queued and not started", helper.virtual(function()
    local ran = false
    weir.spawn(function() ran = true end)
    collect()
    weir.checkpoint()
    assert.is_true(ran)
  end))

  it("collects the outcome of a task once nobody refers to it", helper.virtual(function()
    local weak = setmetatable({}, { __mode = "v" })
    do
      local t = weir.spawn(function()
        local value = {}
        weak.value = value
        return value
      end)
      t:await()
      weak.task = t
    end
    weir.spawn(function() end):await()
    collect()
    assert.is_nil(weak.value)
    assert.is_nil(weak.task)
  end))

  it("collects semaphores, limits and scopes that are out of use", helper.virtual(function()
    local weak = setmetatable({}, { __mode = "v" })
    do
      local sem, limit = weir.semaphore(1), weir.limit(1)
      weak.sem, weak.limit = sem, limit
      sem:with(weir.checkpoint)
      limit(weir.checkpoint):await()
      weir.scope(function(s) weak.scope = s end)
    end
    weir.all { function() end, function() end } -- and over what the stack still held
    collect()
    assert.is_nil(weak.sem)
    assert.is_nil(weak.limit)
    assert.is_nil(weak.scope)
  end))

  it("does not grow over many rounds of everything", helper.virtual(function()
    local sem, limit = weir.semaphore(2), weir.limit(3)
    local function round()
      weir.scope(function(s)
        for i = 1, 10 do
          s:spawn(function() sem:with(weir.sleep, i / 10) end)
          limit(weir.sleep, i / 10)
        end
        pcall(weir.timeout, 0.3, weir.sleep, 5)
        pcall(weir.all, { function() error("x") end, function() weir.sleep(1) end })
        weir.race { function() weir.sleep(1) end, function() weir.sleep(2) end }
        weir.map({ 1, 2, 3 }, function() weir.checkpoint() end, { limit = 2 })
      end)
    end
    for _ = 1, 20 do round() end
    collect()
    local before = collectgarbage("count")
    for _ = 1, 200 do round() end
    collect()
    local grown = collectgarbage("count") - before
    assert.is_true(grown < 32, ("%.1f KB more after 200 rounds"):format(grown))
  end))

  it("stays sound while the collector runs all the time", helper.virtual(function()
    local pause, step = collectgarbage("setpause", 0), collectgarbage("setstepmul", 1000)
    local _ <close> = helper.closing(function()
      collectgarbage("setpause", pause)
      collectgarbage("setstepmul", step)
    end)
    local sem = weir.semaphore(3)
    local total = 0
    weir.scope(function(s)
      for i = 1, 100 do
        s:spawn(function()
          sem:with(function()
            weir.sleep(i % 7)
            total = total + #table.pack(("x"):rep(i), {}, {})
          end)
        end)
      end
    end)
    assert.equal(300, total)
  end))
end)
