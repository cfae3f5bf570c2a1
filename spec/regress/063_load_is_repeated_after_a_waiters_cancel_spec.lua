-- 063 - janos/singleflight#4: the key is forgotten when any waiter cancels, so that the next one starts the same
-- work beside that which is under way.

local helper = require "support.helper"
local weir = require "weir"

describe("a waiter that leaves", function()
  it("does not make the next one load again", helper.virtual(function()
    local cache, calls = weir.cache(), 0
    local function load()
      calls = calls + 1
      weir.sleep(10)
      return calls
    end
    local stays = weir.spawn(cache.get, cache, "k", load)
    local leaves = weir.spawn(cache.get, cache, "k", load)
    weir.sleep(1)
    leaves:cancel()
    leaves:pawait()
    assert.equal(1, cache:get("k", load))
    assert.equal(1, stays:await())
    assert.equal(1, calls)
  end))
end)
