-- 066 - ben-manes/caffeine#1623, and the seed's cache: the time to live counts from when the load began, so that a
-- value whose load took longer than that is never there.

local helper = require "support.helper"
local weir = require "weir"

describe("a value whose load took longer than its ttl", function()
  it("lives its ttl", helper.virtual(function()
    local cache, calls = weir.cache { ttl = 10 }, 0
    local function load()
      calls = calls + 1
      weir.sleep(15)
      return calls
    end
    cache:get("k", load)
    weir.sleep(9)
    assert.equal(1, cache:get("k", load))
    assert.equal(1, calls)
  end))
end)
