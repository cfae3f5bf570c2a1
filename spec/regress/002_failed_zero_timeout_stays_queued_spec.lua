-- 002 - lunarmodules/copas#201: a `lock:get(0)` that failed stayed in the queue and poisoned the lock.

local helper = require "support.helper"
local weir = require "weir"

describe("an acquire with timeout 0 that fails", function()
  it("leaves nothing in the queue", helper.virtual(function()
    local sem = weir.semaphore(1)
    local holder = weir.spawn(function() sem:with(weir.sleep, 5) end)
    weir.checkpoint()
    for _ = 1, 10 do helper.error("timeout", sem.acquire, sem, { timeout = 0 }) end
    assert.equal(0, sem.waiting)
    holder:await()
    local start = weir.now()
    for _ = 1, 3 do sem:with(function() end) end
    helper.elapsed(0, start)
    assert.equal(1, sem.available)
  end))
end)
