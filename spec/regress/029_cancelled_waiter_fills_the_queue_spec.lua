-- 029 - cockatiel's bulkhead, dotnet/runtime#64078, piscina#805: a waiter that gave up still counted
-- toward the bound of the queue, until the queue refused everybody.

local helper = require "support.helper"
local weir = require "weir"

describe("a bounded queue", function()
  it("counts those who wait, not those who waited", helper.virtual(function()
    local sem = weir.semaphore { permits = 1, max_waiting = 2 }
    local held = sem:acquire()
    for _ = 1, 20 do
      helper.error("timeout", sem.acquire, sem, { timeout = 0.1 })
      local t = weir.spawn(pcall, sem.acquire, sem)
      weir.checkpoint()
      t:cancel()
      t:pawait()
      assert.equal(0, sem.waiting)
    end
    local a, b = weir.spawn(sem.with, sem, function() end), weir.spawn(sem.with, sem, function() end)
    weir.checkpoint()
    helper.error("overload", sem.acquire, sem)
    held:release()
    a:await()
    b:await()
  end))

  it("of a limit too", helper.virtual(function()
    local limit = weir.limit { n = 1, max_waiting = 1 }
    local running = limit(weir.sleep, 1)
    for _ = 1, 10 do
      limit(weir.sleep, 1):cancel()
      assert.equal(0, limit.pending)
    end
    limit(weir.sleep, 1)
    helper.error("overload", limit, weir.sleep, 1)
    running:await()
  end))
end)
