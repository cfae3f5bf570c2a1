-- 041 - our own: the message of an await that timed out named its task, which had ended before the
-- awaiter's turn.

local helper = require "support.helper"
local weir = require "weir"

describe("an await that times out", function()
  it("names its task under every order, also when that ended at the same instant", function()
    helper.explore(function()
      local t = weir.spawn(weir.sleep, 1)
      local ok, err = pcall(t.await, t, 1)
      if not ok then
        assert.equal("timeout", weir.kind(err))
        assert.is_truthy(tostring(err):find("task", 1, true))
      end
      t:await()
    end)
  end)
end)
