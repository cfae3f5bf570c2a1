-- 037 - our own: the first of two tasks that settle one scope took the claim along when it gave up.

local helper = require "support.helper"
local weir = require "weir"

describe("scope:settle", function()
  it("claims failures as long as somebody settles", helper.virtual(function()
    weir.scope(function(s)
      s:spawn(function()
        weir.sleep(3)
        error("late", 0)
      end)
      weir.detach(function() pcall(weir.timeout, 1, s.settle, s) end)
      weir.checkpoint()
      local outcomes = s:settle()
      assert.equal("late", outcomes[1].error)
    end)
  end))
end)
