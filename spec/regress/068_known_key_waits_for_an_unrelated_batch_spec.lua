-- 068 - graphql/dataloader: a key that is in its cache is answered only when the batch that gathers has come back
-- (PR222, #97, #243): 101 ms for what is there, behind a batch of 100 ms.

local helper = require "support.helper"
local weir = require "weir"

describe("a key that is known", function()
  it("is answered at once, whatever a batch is doing", helper.virtual(function()
    local batch = weir.batch(function(keys)
      weir.sleep(100)
      return keys
    end)
    local cache = weir.cache { load = function(key) return batch(key) end }
    cache:get("known")
    local t = weir.spawn(cache.get, cache, "other")
    weir.sleep(1)
    local start = weir.now()
    assert.equal("known", cache:get("known"))
    helper.elapsed(0, start)
    assert.equal("other", t:await())
  end))
end)
