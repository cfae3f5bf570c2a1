-- 008 - nvim-neotest/nvim-nio#15: a cancel took effect only when the sleep was over.
-- jsdotlua/jest-lua#18: fake timers kept running for coroutines already cancelled.

local helper = require "support.helper"
local weir = require "weir"

describe("the timer of a cancelled sleep", function()
  it("is gone at once and moves no clock", function()
    local r = helper.simulate(function()
      local t = weir.spawn(weir.sleep, 3600)
      weir.sleep(1)
      t:cancel()
      t:pawait()
    end)
    assert.is_true(r.ok)
    assert.is_true(math.abs(r.time - 1) < 1e-6)
  end)
end)
