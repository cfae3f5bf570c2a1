-- 034 - our own: clearing one job made the next head a deadlock, which moved it out of the list
-- that was being walked.

local helper = require "support.helper"
local weir = require "weir"

describe("limit:clear", function()
  it("ends where what it clears uncovers a deadlock", helper.virtual(function()
    local limit = weir.limit(3)
    local ok = pcall(weir.scope, function()
      local second, ready
      limit(weir.sleep, 2)
      limit(function()
        while not ready do weir.sleep(0.01) end
        return second:pawait()
      end)
      limit(weir.sleep, 2)
      weir.sleep(0.1)
      limit:submit({ weight = 1 }, function() end)
      second = limit:submit({ weight = 2 }, function() end)
      ready = true
      weir.sleep(0.1)
      limit:resize(2)
      limit:clear("no more")
      assert.equal(0, limit.pending)
    end)
    assert.is_boolean(ok)
  end))
end)
