-- 062 - isaacs/node-lru-cache#320: a fetch in progress is an entry, and its eviction aborts it.

local helper = require "support.helper"
local weir = require "weir"

describe("a load in a small and busy cache", function()
  it("is not ended by what is kept meanwhile", helper.virtual(function()
    local cache = weir.cache { max = 2, max_bytes = 1000 }
    local t = weir.spawn(cache.get, cache, "slow", function()
      weir.sleep(5)
      return "value"
    end)
    weir.sleep(1)
    for i = 1, 100 do cache:set(i, i) end
    assert.equal(1, cache.loading)
    assert.equal("value", t:await())
    assert.equal("value", cache:peek("slow"))
  end))
end)
