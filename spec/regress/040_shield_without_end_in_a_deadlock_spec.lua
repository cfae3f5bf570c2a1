-- 040 - our own: a deadlock inside a shield without end could not be cancelled, and the driver went
-- round and round.

local helper = require "support.helper"
local weir = require "weir"

describe("a deadlock inside weir.shield(math.huge)", function()
  it("is reported, and ends", helper.virtual(function()
    local ok, err = pcall(function()
      weir.scope(function(s)
        s:spawn(weir.shield, math.huge, weir.await, function() end)
      end)
    end)
    assert.is_false(ok)
    assert.equal("deadlock", weir.kind(err))
  end))
end)
