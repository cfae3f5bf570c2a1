-- 047 - generic-pool: one validate that rejects kills a pool of one for ever (size 1, available 0, borrowed 0):
-- what was being checked is neither lent nor let go.

local helper = require "support.helper"
local weir = require "weir"

describe("a check that raises", function()
  it("lets go of what it looked at, and who waits gets a new one", helper.virtual(function()
    local made, checked = 0, 0
    local pool = weir.pool {
      max = 1, check_idle = 0,
      create = function() made = made + 1 return made end,
      check = function() checked = checked + 1 error("connection reset", 0) end,
    }
    for i = 1, 5 do
      assert.equal(i, pool:with(function(v) return v end))
      weir.sleep(1)
    end
    assert.equal(4, checked)
    assert.equal(1, pool.total)
  end))

  it("or hangs does not keep its place either", helper.virtual(function()
    local made = 0
    local pool = weir.pool {
      max = 1, check_idle = 0, check_timeout = 1,
      create = function() made = made + 1 return made end,
      check = function() weir.await(function() end) end,
    }
    pool:with(function() end)
    local start = weir.now()
    assert.equal(2, pool:with(function(v) return v end))
    helper.elapsed(1, start)
  end))
end)
