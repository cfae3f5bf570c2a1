-- 014 - mlua-rs/mlua#192, and Lua itself: a to-be-closed variable is not closed when an error
-- leaves the coroutine.

local helper = require "support.helper"
local weir = require "weir"

describe("a to-be-closed variable", function()
  it("is closed on every way out of a task", helper.virtual(function()
    local ways = {
      returned = function() return 1 end,
      raised = function() error("x") end,
      cancelled = function() weir.sleep(100) end,
      failed_child = function() weir.spawn(error, "y") weir.sleep(100) end,
      raised_after_wait = function() weir.sleep(1) error("x") end,
      yielded = function() coroutine.yield() end,
    }
    for name, way in pairs(ways) do
      local closed = 0
      local t = weir.spawn(function()
        local _ <close> = helper.closing(function() closed = closed + 1 end)
        way()
      end)
      weir.spawn(function() weir.sleep(5) t:cancel() end)
      t:pawait()
      weir.sleep(5)
      assert.equal(1, closed, name)
    end
  end))
end)
