-- settle_spec.lua - weir.settle: every outcome, good or bad.

local helper = require "support.helper"
local weir = require "weir"

describe("weir.settle", function()
  it("gives an outcome for each in input order", helper.virtual(function()
    local mine = {}
    local out = weir.settle {
      function() weir.sleep(3) return "slow", "dropped" end,
      function() weir.sleep(1) error(mine) end,
      function() end,
    }
    assert.equal(3, out.n)
    assert.same({ ok = true, value = "slow" }, out[1])
    assert.is_false(out[2].ok)
    assert.equal(mine, out[2].error)
    assert.same({ ok = true }, out[3])
  end))

  it("tells an error of nil or false from a value", helper.virtual(function()
    local out = weir.settle {
      function() error(nil) end,
      function() error(false, 0) end,
      function() return false end,
    }
    assert.is_false(out[1].ok)
    assert.is_nil(out[1].error)
    assert.is_false(out[2].ok)
    assert.is_false(out[2].error)
    assert.same({ ok = true, value = false }, out[3])
  end))

  it("lets a failure stop nobody", helper.virtual(function()
    local start = weir.now()
    local out = weir.settle { function() error("x") end, function() weir.sleep(5) return 5 end }
    assert.equal(5, out[2].value)
    helper.elapsed(5, start)
    weir.sleep(1)
  end))

  it("shows a cancelled task as cancelled", helper.virtual(function()
    local t = weir.spawn(weir.sleep, 100)
    weir.checkpoint()
    t:cancel("why")
    local out = weir.settle { t }
    assert.is_false(out[1].ok)
    assert.equal("cancelled", weir.kind(out[1].error))
    assert.equal("why", out[1].error.reason)
  end))

  it("claims the failures of tasks it was handed", helper.virtual(function()
    weir.scope(function(s)
      local t = s:spawn(function() weir.sleep(1) error("claimed") end)
      assert.is_false(weir.settle({ t })[1].ok)
      weir.sleep(1)
    end)
  end))

  it("claims the failures of tasks it was handed, though they fail in their first turn", helper.virtual(function()
    weir.scope(function(s)
      local limit = weir.limit(1)
      local out = weir.settle { s:spawn(error, "x"), limit(error, "y"), limit(error, "z") }
      for i = 1, 3 do assert.is_false(out[i].ok) end
      weir.sleep(1)
    end)
  end))

  it("of nothing is an empty result", helper.virtual(function()
    assert.same({ n = 0 }, weir.settle {})
  end))

  it("raises cancelled when its own task is cancelled", helper.virtual(function()
    local t = weir.spawn(function() return weir.settle { function() weir.sleep(100) end } end)
    weir.sleep(1)
    t:cancel("stop")
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal("stop", err.reason)
  end))

  it("raises timeout at a deadline around it", helper.virtual(function()
    helper.error("timeout", weir.timeout, 1, weir.settle, { function() weir.sleep(100) end })
  end))

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      weir.settle {
        function() weir.sleep(1) error("x") end,
        function() weir.sleep(2) end,
        weir.spawn(function() weir.sleep(3) end),
      }
    end)
  end)
end)
