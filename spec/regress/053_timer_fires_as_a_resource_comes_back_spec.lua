-- 053 - the seed's acquire timeout: the timer fires in the moment in which a connection comes back, the caller has
-- its error and the connection nobody; or the caller is answered twice.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

describe("a timeout in the moment of a return", function()
  it("loses nothing, under every order", function()
    local n = helper.explore(function()
      local s = server()
      local pool = s:pool { max = 1 }
      local lease = pool:acquire()
      local answers = 0
      local t = weir.spawn(function()
        local ok, got = pcall(pool.acquire, pool, { timeout = 1 })
        answers = answers + 1
        if ok then got:release() else assert.equal("timeout", weir.kind(got)) end
      end)
      lease:transfer(weir.spawn(function() weir.sleep(1) lease:release() end))
      t:await()
      weir.sleep(1)
      assert.equal(1, answers)
      assert.equal(1, pool.idle)
      assert.equal(1, pool:with(function(c) return c.id end))
    end, 100000)
    assert.is_true(n > 1)
  end)
end)
