-- 017 - sindresorhus/p-limit#91: a job that waits for another job of the same limit hangs for ever.

local helper = require "support.helper"
local weir = require "weir"

describe("a job that waits for a job of its own limit", function()
  it("gets deadlock when the slots are all taken so", helper.virtual(function()
    local limit = weir.limit(2)
    local function nested(depth)
      if depth == 0 then return 0 end
      return 1 + limit(nested, depth - 1):await()
    end
    assert.equal(1, limit(nested, 1):await())
    local ok, err = limit(nested, 5):pawait()
    assert.is_false(ok)
    assert.equal("deadlock", weir.kind(err))
    assert.equal(0, limit.active)
    assert.equal(0, limit.pending)
  end))

  it("is not told so while a slot can come free", helper.virtual(function()
    local limit = weir.limit(2)
    limit(weir.sleep, 5)
    local start = weir.now()
    assert.equal("inner", limit(function() return limit(function() return "inner" end):await() end):await())
    helper.elapsed(5, start)
  end))
end)
