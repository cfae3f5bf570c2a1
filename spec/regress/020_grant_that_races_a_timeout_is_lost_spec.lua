-- 020 - python/cpython gh-90155, golang/go 43a5402, dotnet/runtime#77180: a grant in the turn of
-- the waiter's timeout or cancel got lost, or woke nobody behind it.

local helper = require "support.helper"
local weir = require "weir"

describe("a release in the very instant of a timeout", function()
  it("loses no permit and strands nobody, under every schedule", function()
    helper.explore(function()
      local sem = weir.semaphore(1)
      local holder = weir.spawn(function() sem:with(weir.sleep, 1) end)
      weir.checkpoint()
      local a = weir.spawn(function()
        local permit <close> = sem:acquire { timeout = 1 }
        assert(permit)
      end)
      local b = weir.spawn(function() sem:with(function() end) return "served" end)
      a:pawait()
      assert.equal("served", b:await())
      holder:await()
      assert.equal(1, sem.available)
      assert.equal(0, sem.waiting)
    end, 100000)
  end)

  it("loses no permit when it is a deadline", function()
    helper.explore(function()
      local sem = weir.semaphore(1)
      local holder = weir.spawn(function() sem:with(weir.sleep, 1) end)
      weir.checkpoint()
      local b
      pcall(weir.scope, function(s)
        b = weir.detach(function() weir.sleep(0.5) sem:with(function() end) return "served" end)
        s:spawn(pcall, weir.timeout, 1, sem.with, sem, function() end)
      end)
      assert.equal("served", b:await())
      holder:await()
      assert.equal(1, sem.available)
    end, 100000)
  end)
end)
