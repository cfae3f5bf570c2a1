-- 004 - openresty/lua-nginx-module#2422: a request killed by a timeout while holding a semaphore
-- took the permit with it; every later waiter hung.

local helper = require "support.helper"
local weir = require "weir"

describe("a holder ended from outside", function()
  it("by a deadline gives its permit back", helper.virtual(function()
    local sem = weir.semaphore(1)
    helper.error("timeout", weir.timeout, 1, sem.with, sem, weir.sleep, 100)
    sem:with(function() end)
    assert.equal(1, sem.available)
  end))

  it("by a cancel gives its permit back even if it forgot to", helper.virtual(function()
    local sem = weir.semaphore(1)
    local t = weir.spawn(function()
      sem:acquire()
      weir.sleep(100)
    end)
    weir.sleep(1)
    t:cancel()
    t:pawait()
    sem:with(function() end)
    assert.equal(1, sem.available)
  end))
end)
