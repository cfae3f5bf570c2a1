-- 001 - lunarmodules/copas#199: cancelling a queued waiter handed the lock to a coroutine that
-- never resumed, and everyone behind it waited for ever.

local helper = require "support.helper"
local weir = require "weir"

describe("a cancelled waiter", function()
  it("is never given the permit, wherever it stood", helper.virtual(function()
    for victim = 1, 3 do
      local sem = weir.semaphore(1)
      local held = sem:acquire()
      local got, tasks = {}, {}
      for i = 1, 3 do
        tasks[i] = weir.spawn(function() sem:with(function() got[#got + 1] = i end) end)
      end
      weir.checkpoint()
      tasks[victim]:cancel()
      held:release()
      for i = 1, 3 do tasks[i]:pawait() end
      local expected = {}
      for i = 1, 3 do if i ~= victim then expected[#expected + 1] = i end end
      assert.same(expected, got)
      assert.equal(1, sem.available)
    end
  end))
end)
