-- 003 - lunarmodules/copas#203: of more than 9,999 waiters on one future the rest never woke.

local helper = require "support.helper"
local weir = require "weir"

describe("waiters on one task", function()
  it("are all woken, however many", helper.virtual(function()
    local n <const> = 12000
    local woken = 0
    local t = weir.spawn(function() weir.sleep(1) return "x" end)
    weir.scope(function()
      for _ = 1, n do
        weir.spawn(function()
          assert(t:await() == "x")
          woken = woken + 1
        end)
      end
    end)
    assert.equal(n, woken)
  end))
end)
