-- 072 - the seed's DedupedCache: unbounded, remembers rejections for as long as values, and on an error all who
-- waited ask again at once.

local helper = require "support.helper"
local weir = require "weir"

describe("a hundred who wait for a load that fails", function()
  it("are told, and do not stampede; what is kept stays bounded", helper.virtual(function()
    local calls = 0
    local cache = weir.cache { max = 10 }
    local function load(key)
      calls = calls + 1
      weir.sleep(1)
      if calls == 1 then error("down", 0) end
      return key
    end
    local list = {}
    for i = 1, 100 do list[i] = function() return cache:get("k", load) end end
    local outcomes = weir.settle(list)
    for i = 1, 100 do assert.equal("down", outcomes[i].error) end
    assert.equal(1, calls)
    assert.equal("k", cache:get("k", load))
    for i = 1, 1000 do cache:get(i, load) end
    assert.equal(10, cache.count)
  end))
end)
