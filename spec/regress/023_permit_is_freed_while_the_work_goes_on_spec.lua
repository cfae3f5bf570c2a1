-- 023 - nodeshift/opossum: the permit came free at the timeout while the action ran on; with a
-- capacity of 1 five ran at once.

local helper = require "support.helper"
local weir = require "weir"

describe("work that was timed out", function()
  it("has ended before its permit or slot is free", helper.virtual(function()
    local sem, limit = weir.semaphore(1), weir.limit(1)
    local running, most = 0, 0
    local function work()
      running = running + 1
      most = math.max(most, running)
      local _ <close> = helper.closing(function()
        weir.shield(weir.sleep, 2)
        running = running - 1
      end)
      weir.sleep(100)
    end
    weir.scope(function(s)
      for _ = 1, 5 do s:spawn(pcall, weir.timeout, 1, sem.with, sem, work) end
    end)
    assert.equal(1, most)
    weir.scope(function(s)
      for _ = 1, 5 do s:spawn(pcall, weir.timeout, 1, function() limit(work):await() end) end
    end)
    assert.equal(1, most)
    assert.equal(0, running)
  end))
end)
