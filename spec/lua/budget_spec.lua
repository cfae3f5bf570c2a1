-- budget_spec.lua - what need not wait does not switch tasks, but not for ever.

local helper = require "support.helper"
local weir = require "weir"

describe("the budget of a task", function()
  -- Operations that are answered without waiting.
  local function operations()
    local sem = weir.semaphore(1)
    local ended = weir.spawn(function() end)
    ended:await()
    return {
      ["acquire and release"] = function() sem:acquire():release() end,
      with = function() sem:with(function() end) end,
      ["await of an ended task"] = function() ended:await() end,
      ["pawait of an ended task"] = function() ended:pawait() end,
      ["await of a callback that came at once"] = function() weir.await(function(resume) resume() end) end,
      wrap = function() weir.wrap(function(callback) callback() end)() end,
      scope = function() weir.scope(function() end) end,
      timeout = function() weir.timeout(1, function() end) end,
      run = function() weir.run(function() end) end,
    }
  end

  -- The same, but in another state of things, or waiting where they please.
  local function more_operations()
    local taken = weir.semaphore { permits = 1, max_waiting = 0 }
    local pending = weir.daemon(weir.sleep, 1e6)
    weir.daemon(function() taken:with(weir.sleep, 1e6) end)
    weir.checkpoint()
    local ops = operations()
    ops["all of nothing"] = function() weir.all {} end
    ops["settle of nothing"] = function() weir.settle {} end
    ops["map of nothing"] = function() weir.map({}, function() end) end
    ops["each of nothing"] = function() weir.each({}, function() end) end
    ops["iter of nothing"] = function() for _ in weir.iter {} do error("not empty") end end
    ops["drain of a free semaphore"] = function() weir.semaphore(1):drain() end
    ops["join without children"] = function() weir.scope(function(s) s:join() end) end
    ops["await with timeout 0"] = function() pcall(pending.await, pending, 0) end
    ops["acquire with timeout 0"] = function() pcall(taken.acquire, taken, { timeout = 0 }) end
    ops["acquire that is refused"] = function() pcall(taken.acquire, taken) end
    return ops
  end

  it("lets a few operations pass without a switch", helper.virtual(function()
    for name, operation in pairs(operations()) do
      weir.checkpoint() -- a fresh budget
      local switched = false
      local t = weir.spawn(function() switched = true end)
      for _ = 1, 20 do operation() end
      assert.is_false(switched, name)
      t:await()
    end
  end))

  it("makes a long loop let the others run", helper.virtual(function()
    for name, operation in pairs(more_operations()) do
      local switched = false
      weir.spawn(function() switched = true end)
      for _ = 1, 1000 do operation() end
      assert.is_true(switched, name)
    end
  end))

  it("shares the time of two busy loops", helper.virtual(function()
    local sem = weir.semaphore(2)
    local counts, lead = { 0, 0 }, 0
    local function loop(me, other)
      return function()
        for _ = 1, 2000 do
          sem:with(function() end)
          counts[me] = counts[me] + 1
          lead = math.max(lead, counts[me] - counts[other])
        end
      end
    end
    weir.all { loop(1, 2), loop(2, 1) }
    assert.is_true(lead <= 250, ("one was %d operations ahead"):format(lead))
  end))

  it("lets a cancel end a loop over free permits", helper.virtual(function()
    for name, operation in pairs(operations()) do
      local rounds = 0
      local t = weir.spawn(function()
        while true do
          operation()
          rounds = rounds + 1
          if rounds > 100000 then error("outlived its cancel: " .. name) end
        end
      end)
      weir.checkpoint()
      t:cancel("enough")
      local ok, err = t:pawait()
      assert.is_false(ok)
      assert.equal("cancelled", weir.kind(err), tostring(err))
    end
  end))

  it("leaves a permit in the right hands when the checkpoint is cancelled", helper.virtual(function()
    local sem = weir.semaphore(3)
    for after = 0, 220 do
      local n = 0
      local t
      t = weir.spawn(function()
        while true do
          sem:with(function()
            n = n + 1
            if n == after then t:cancel() end
          end)
          if after == 0 then t:cancel() end
        end
      end)
      t:pawait()
      assert.equal(3, sem.available)
    end
  end))
end)
