-- quorum_spec.lua - weir.quorum: the first n successes.

local helper = require "support.helper"
local weir = require "weir"

-- The values of a result in order, whatever holes it has.
local function values(r)
  local out = {}
  for i = 1, r.n do
    if r[i] ~= nil then out[#out + 1] = r[i] end
  end
  return out
end

describe("weir.quorum", function()
  it("returns the first n successes in input order", helper.virtual(function()
    local start = weir.now()
    local r = weir.quorum(2, {
      function() weir.sleep(5) return "slow" end,
      function() weir.sleep(2) return "second" end,
      function() weir.sleep(1) return "first" end,
    })
    assert.same({ "second", "first" }, values(r))
    helper.elapsed(2, start)
  end))

  it("passes over failures while enough can still succeed", helper.virtual(function()
    local r = weir.quorum(2, {
      function() error("x") end,
      function() weir.sleep(1) return "a" end,
      function() weir.sleep(2) return "b" end,
    })
    assert.same({ "a", "b" }, values(r))
    weir.sleep(1)
  end))

  it("raises as soon as too many have failed, with the others cancelled", helper.virtual(function()
    local start, slow = weir.now(), nil
    local ok = pcall(weir.quorum, 2, {
      function() weir.sleep(1) error("x") end,
      function() weir.sleep(2) error("y") end,
      function()
        local _ <close> = helper.closing(function() slow = "cancelled" end)
        weir.sleep(100)
      end,
    })
    assert.is_false(ok)
    assert.equal("cancelled", slow)
    helper.elapsed(2, start)
  end))

  it("cancels and joins the losers", helper.virtual(function()
    local cleaned = false
    weir.quorum(1, {
      function() weir.sleep(1) return 1 end,
      function()
        local _ <close> = helper.closing(function() weir.shield(weir.sleep, 1) cleaned = true end)
        weir.sleep(100)
      end,
    })
    assert.is_true(cleaned)
  end))

  it("of all is all of them", helper.virtual(function()
    local r = weir.quorum(3, {
      function() return 1 end,
      function() weir.sleep(1) return 2 end,
      function() return 3 end,
    })
    assert.same({ 1, 2, 3, n = 3 }, r)
  end))

  it("above the count is impossible, and starts nothing", helper.virtual(function()
    local ran = false
    helper.error("impossible", weir.quorum, 2, { function() ran = true end })
    helper.error("impossible", weir.quorum, 1, {})
    weir.sleep(1)
    assert.is_false(ran)
  end))

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      weir.quorum(2, {
        function() weir.sleep(1) error("x") end,
        function() weir.sleep(2) return 1 end,
        function() weir.sleep(3) return 1 end,
        function() weir.sleep(9) return 1 end,
      })
    end)
  end)
end)
