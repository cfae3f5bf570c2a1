-- 024 - python/cpython gh-95289, gh-116720: a cancel that some code caught was gone, and the task
-- went on as if nothing had been; a scope swallowed a cancel that was meant for the one outside.

local helper = require "support.helper"
local weir = require "weir"

describe("a cancel that was caught", function()
  it("is still there for the next wait", helper.virtual(function()
    local rounds = 0
    local t = weir.spawn(function()
      for _ = 1, 3 do
        rounds = rounds + 1
        pcall(function() weir.sleep(100) end)
      end
      weir.sleep(0)
      rounds = "went on"
    end)
    weir.sleep(1)
    t:cancel()
    t:pawait()
    assert.equal(3, rounds)
  end))

  it("of an outer scope is not swallowed by an inner one that was cancelled too", helper.virtual(function()
    local after = false
    local err = helper.error("cancelled", weir.scope, function(outer)
      weir.scope(function(inner)
        inner:cancel("inner")
        outer:cancel("outer")
        pcall(weir.sleep, 1)
        return "done"
      end)
      weir.sleep(0)
      after = true
    end)
    assert.equal("outer", err.reason)
    assert.is_false(after)
  end))

  it("of a deadline outside is not turned into the timeout of an inner scope", helper.virtual(function()
    local kinds = {}
    helper.error("timeout", weir.timeout, 1, function()
      local _, err = pcall(weir.timeout, 5, weir.sleep, 100)
      kinds[1] = weir.kind(err)
      error(err, 0)
    end)
    assert.same({ "cancelled" }, kinds)
  end))
end)
