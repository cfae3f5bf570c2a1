-- 030 - Netflix concurrency-limits, anyio: a larger limit woke one waiter per release, or nobody; and
-- after a smaller one more was given out than the new limit.

local helper = require "support.helper"
local weir = require "weir"

describe("a resize", function()
  for _, order in ipairs { "fifo", "priority" } do
    it("up lets in as many as fit now, order " .. order, helper.virtual(function()
      local sem = weir.semaphore { permits = 1, order = order }
      local inside = 0
      weir.scope(function(s)
        for _ = 1, 6 do
          s:spawn(sem.with, sem, function() inside = inside + 1 weir.sleep(1) end)
        end
        weir.checkpoint()
        sem:resize(5)
        weir.checkpoint()
        assert.equal(5, inside)
      end)
      assert.equal(5, sem.available)
    end))

    it("down gives nothing out before the debt is paid, order " .. order, helper.virtual(function()
      local sem = weir.semaphore { permits = 4, order = order }
      local inside, most = 4, 0
      local held = {}
      for i = 1, 4 do held[i] = sem:acquire() end
      sem:resize(2)
      weir.scope(function(s)
        for _ = 1, 6 do
          s:spawn(sem.with, sem, function()
            inside = inside + 1
            most = math.max(most, inside)
            weir.sleep(1)
            inside = inside - 1
          end)
        end
        for i = 1, 4 do
          weir.sleep(1)
          inside = inside - 1
          held[i]:release()
        end
      end)
      assert.equal(2, most)
      assert.equal(2, sem.available)
    end))
  end
end)
