-- 061 - lru-cache's fetch() has no memory of failures: five fetches that fail are five calls of the origin.

local helper = require "support.helper"
local weir = require "weir"

describe("an origin that fails", function()
  local calls, cache
  local function load()
    calls = calls + 1
    weir.sleep(1)
    error("down", 0)
  end
  local function ask() return select(2, pcall(cache.get, cache, "k", load)) end

  before_each(function() calls = 0 end)

  it("is asked once by five who ask together", helper.virtual(function()
    cache = weir.cache()
    assert.same({ n = 5, "down", "down", "down", "down", "down" }, weir.all { ask, ask, ask, ask, ask })
    assert.equal(1, calls)
  end))

  it("is asked once in negative_ttl by those who come one after the other", helper.virtual(function()
    cache = weir.cache { negative_ttl = 10 }
    for _ = 1, 5 do assert.equal("down", ask()) end
    assert.equal(1, calls)
    weir.sleep(10)
    ask()
    assert.equal(2, calls)
  end))
end)
