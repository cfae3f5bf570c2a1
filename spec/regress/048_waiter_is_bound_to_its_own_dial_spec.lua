-- 048 - pg-pool, puddle (pgxpool): a caller that finds nothing idle dials and waits for that, although others come
-- back long before. 50 queries of 2 ms over 5 warm connections, 150 ms to connect: they take 153 to 155 ms and end
-- with 50 connections (generic-pool: 25 ms, but 50 connections too), where 20 ms and 5 or 6 would do.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

describe("a burst over a warm pool", function()
  it("is served by what comes back, and hardly anything is dialled", helper.virtual(function()
    local s = server { create = 0.15 }
    local pool = s:pool { max = 50, min = 5 }
    weir.sleep(5)
    local slowest = 0
    weir.scope(function(scope)
      for _ = 1, 50 do
        scope:spawn(function()
          local start = weir.now()
          pool:with(function() weir.sleep(0.002) end)
          slowest = math.max(slowest, weir.now() - start)
        end)
      end
    end)
    assert.is_true(slowest <= 0.025, slowest)
    weir.sleep(1)
    assert.is_true(s.made <= 6, s.made)
  end))
end)
