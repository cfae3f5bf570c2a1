-- any_spec.lua - weir.any: the first that succeeds; failures count only when all have failed.

local helper = require "support.helper"
local weir = require "weir"

describe("weir.any", function()
  it("returns all values of the first success", helper.virtual(function()
    local start = weir.now()
    local got = table.pack(weir.any {
      function() error("at once") end,
      function() weir.sleep(2) return "fast", nil, 3 end,
      function() weir.sleep(5) return "slow" end,
    })
    assert.same({ "fast", nil, 3, n = 3 }, got)
    helper.elapsed(2, start)
  end))

  it("takes nil and false as successes", helper.virtual(function()
    assert.same({ false, n = 1 }, table.pack(weir.any { function() return false end }))
    assert.same({ n = 0 }, table.pack(weir.any { function() end }))
  end))

  it("cancels the losers and joins them before it returns", helper.virtual(function()
    local cleaned = false
    weir.any {
      function() weir.sleep(1) end,
      function()
        local _ <close> = helper.closing(function() weir.shield(weir.sleep, 2) cleaned = true end)
        weir.sleep(100)
      end,
    }
    assert.is_true(cleaned)
  end))

  it("raises when all have failed, and not before", helper.virtual(function()
    local start = weir.now()
    local failures = { {}, {}, {} }
    local fns = {}
    for i = 1, 3 do fns[i] = function() weir.sleep(i) error(failures[i]) end end
    local ok, err = pcall(weir.any, fns)
    assert.is_false(ok)
    helper.elapsed(3, start)
    local found = false
    for i = 1, 3 do found = found or err == failures[i] end
    assert.is_true(found or type(err.others) == "table", "neither one of the failures nor an error that has them")
  end))

  it("lets failures fail nobody else", helper.virtual(function()
    weir.any { function() error("x") end, function() weir.sleep(1) end }
    weir.sleep(1)
    pcall(weir.any, { function() error("x") end })
    weir.sleep(1)
  end))

  it("takes tasks", helper.virtual(function()
    local t = weir.spawn(function() weir.sleep(1) return "task" end)
    assert.equal("task", (weir.any { function() error("x") end, t }))
  end))

  it("of nothing is misuse", helper.virtual(function()
    helper.error("misuse", weir.any, {})
  end))

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      weir.any {
        function() weir.sleep(1) error("x") end,
        function() weir.sleep(2) end,
        function() weir.sleep(3) end,
      }
    end)
  end)
end)
