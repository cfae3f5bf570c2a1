-- 052 - the seed's ConnectionPool: its size counts connections that are there, not those on their way, so a burst
-- opens one for each caller.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

describe("a burst over an empty pool", function()
  it("never has more than max on their way and open", helper.virtual(function()
    local s = server { create = 1, destroy = 0.5 }
    local most = 0
    local pool
    pool = s:pool {
      max = 10, max_dials = 100, dial_stagger = 0,
      create = function()
        most = math.max(most, s.open + s.dialling + 1)
        assert.is_true(pool.total <= 10)
        return s:create()
      end,
    }
    weir.scope(function(scope)
      for i = 1, 100 do
        scope:spawn(function()
          local lease = pool:acquire()
          weir.sleep(0.1)
          if i % 7 == 0 then lease:discard() else lease:release() end
        end)
      end
    end)
    assert.is_true(most <= 10, most)
    assert.is_true(s.most <= 10)
  end))
end)
