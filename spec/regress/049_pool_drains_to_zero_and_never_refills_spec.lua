-- 049 - HikariCP #1111, #1256, #1710, #2197: after an outage the pool is empty and stays so, though nothing is
-- wrong any more, until somebody restarts the program.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

describe("a pool with a min", function()
  it("fills up by itself after an outage of any length", helper.virtual(function()
    for _, outage in ipairs { 1, 60, 3600, 86400 } do
      local s = server { create = 0.1, check = 0.1 }
      local pool = s:pool { min = 3, max = 5, max_lifetime = 60, keep_alive = 10, check = true }
      weir.sleep(5)
      assert.equal(3, pool.idle)
      s.refuses = "the server is down"
      s.sick = setmetatable({}, { __index = function() return true end })
      weir.sleep(outage)
      for _ = 1, 5 do pcall(pool.acquire, pool, { timeout = 0.5 }) end
      s.refuses, s.sick = nil, {}
      weir.sleep(30) -- max_backoff is 10
      assert.equal(3, pool.total)
      assert.equal("number", type(pool:with(function(c) return c.id end)))
      pool:close()
    end
  end))

  it("fills up by itself after everything was discarded at once", helper.virtual(function()
    local s = server { create = 0.1, destroy = 0.1 }
    local pool = s:pool { min = 3, max = 3 }
    weir.sleep(1)
    local all = {}
    for i = 1, 3 do all[i] = pool:acquire() end
    for i = 1, 3 do all[i]:discard() end
    weir.sleep(1)
    assert.equal(3, pool.idle)
  end))
end)
