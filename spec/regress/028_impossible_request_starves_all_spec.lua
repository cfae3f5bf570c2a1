-- 028 - tokio's Semaphore, zio#11187: a request above the capacity waited for ever at the head, and
-- with it everybody behind it; also one that a shrink made impossible later.

local helper = require "support.helper"
local weir = require "weir"

describe("a request that can never be served", function()
  for _, order in ipairs { "fifo", "priority" } do
    it("fails at once and holds nobody up, order " .. order, helper.virtual(function()
      local sem = weir.semaphore { permits = 2, order = order }
      helper.error("impossible", sem.acquire, sem, 3)
      assert.equal(2, sem.available)
      sem:with(function() end)
    end))

    it("fails when a shrink makes it so, and those behind it go on, order " .. order, helper.virtual(function()
      local sem = weir.semaphore { permits = 4, order = order }
      local held = sem:acquire(3)
      local large = weir.spawn(pcall, sem.acquire, sem, 4)
      local small = weir.spawn(sem.with, sem, function() return "served" end)
      weir.checkpoint()
      assert.equal(2, sem.waiting)
      sem:resize(3)
      local ok, err = select(2, large:pawait())
      assert.is_false(ok)
      assert.equal("impossible", weir.kind(err))
      assert.equal("waiting", small.status)
      held:release()
      assert.equal("served", small:await())
    end))
  end
end)
