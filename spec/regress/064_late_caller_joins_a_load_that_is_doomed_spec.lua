-- 064 - a trap of reference-counted single flight (buildbuddy, tailscale): the last waiter leaves, the work is being
-- cancelled, and who comes before it is gone joins it and gets the cancel.

local helper = require "support.helper"
local weir = require "weir"

describe("who comes while a load is being cancelled", function()
  it("gets a load of his own", helper.virtual(function()
    local cache, calls = weir.cache(), 0
    local function load()
      calls = calls + 1
      local mine = calls
      local _ <close> = helper.closing(function(err)
        if err then weir.shield(weir.sleep, 2) end
      end)
      weir.sleep(5)
      return mine
    end
    local t = weir.spawn(cache.get, cache, "k", load)
    weir.sleep(1)
    t:cancel()
    assert.equal(2, cache:get("k", load))
    assert.equal(2, cache:peek("k"))
  end))
end)
