-- 067 - lru-cache's fetch(): the signal of who joins a fetch is ignored; he waits until it ends.

local helper = require "support.helper"
local weir = require "weir"

describe("who joins a load", function()
  it("leaves it when his time is up", helper.virtual(function()
    local cache = weir.cache()
    local function load()
      weir.sleep(100)
      return "value"
    end
    local first = weir.spawn(cache.get, cache, "k", load)
    weir.sleep(1)
    local start = weir.now()
    helper.error("timeout", cache.get_with, cache, { timeout = 2 }, "k", load)
    helper.error("timeout", weir.timeout, 3, cache.get, cache, "k", load)
    helper.elapsed(5, start)
    assert.equal("value", first:await())
  end))
end)
