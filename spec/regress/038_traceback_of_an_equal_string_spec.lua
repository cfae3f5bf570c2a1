-- 038 - our own: an error with the text of one that was handled before got the stack of that one.

local helper = require "support.helper"
local weir = require "weir"

describe("the traceback of a task", function()
  it("is of the error that ended it", helper.virtual(function()
    local line, t
    weir.scope(function(s)
      t = s:spawn(function()
        pcall(weir.scope, function() error("boom", 0) end)
        local function second()
          line = helper.line(1)
          error("boom", 0)
        end
        second()
      end)
      s:settle()
    end)
    assert.is_truthy(t.traceback:find((":%d:"):format(line), 1, true), t.traceback)
  end))

  it("is nil after an error that was handled", helper.virtual(function()
    local t = weir.spawn(function() pcall(weir.scope, function() error("boom", 0) end) end)
    t:await()
    assert.is_nil(t.traceback)
  end))
end)
