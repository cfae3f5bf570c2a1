-- 069 - graphql/dataloader: an Error that the batch function gives for a key stays in the cache until somebody
-- clears it.

local helper = require "support.helper"
local weir = require "weir"

describe("an error of one key of a batch", function()
  it("is that of who waited, and the next one asks again", helper.virtual(function()
    local down = true
    local batch = weir.batch(function(keys)
      local values, errors = {}, {}
      for i, key in ipairs(keys) do
        if key == 2 and down then errors[i] = "down" else values[i] = key end
      end
      return values, errors
    end)
    local cache = weir.cache { load = function(key) return batch(key) end }
    local ok, err = pcall(cache.get, cache, 2)
    assert.is_false(ok)
    assert.equal("down", err)
    down = false
    assert.equal(2, cache:get(2))
    assert.equal(2, batch(2))
  end))
end)
