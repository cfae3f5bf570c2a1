-- 060 - lru-cache's fetch(): when the caller who came first aborts, every other caller of that key is rejected
-- with his AbortError; golang.org/x/sync/singleflight: the first caller's context ends the work of all.

local helper = require "support.helper"
local weir = require "weir"

describe("the caller who came first", function()
  it("gives up for himself, by a cancel, a timeout or a deadline", helper.virtual(function()
    for _, way in ipairs { "cancel", "timeout", "deadline" } do
      local cache = weir.cache()
      local function load()
        weir.sleep(10)
        return "value"
      end
      local first = weir.spawn(function()
        if way == "timeout" then return cache:get_with({ timeout = 5 }, "k", load) end
        if way == "deadline" then return weir.timeout(5, cache.get, cache, "k", load) end
        return cache:get("k", load)
      end)
      weir.sleep(1)
      local followers = {}
      for i = 1, 5 do followers[i] = function() return cache:get("k", load) end end
      if way == "cancel" then first:cancel() end
      local all = weir.spawn(weir.all, followers)
      local ok, err = first:pawait()
      assert.is_false(ok)
      assert.equal(way == "cancel" and "cancelled" or "timeout", weir.kind(err))
      local values = all:await()
      for i = 1, 5 do assert.equal("value", values[i], way) end
      assert.equal(1, cache:stats().loads - cache:stats().abandoned)
    end
  end))
end)
