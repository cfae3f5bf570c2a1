-- 010 - lewis6991/async.nvim#36: a task cancelled while it set up its wait never closed the
-- handle that the set-up returned.

local helper = require "support.helper"
local weir = require "weir"

describe("the handle of an await", function()
  it("is closed when the cancel came during the set-up, by whatever way", helper.virtual(function()
    local open = 0
    local function handle()
      open = open + 1
      return { close = function() open = open - 1 end }
    end
    local t
    t = weir.spawn(function()
      weir.await(function()
        local h = handle()
        t:cancel()
        return h
      end)
    end)
    t:pawait()
    assert.equal(0, open)

    pcall(weir.scope, function(s)
      weir.await(function()
        local h = handle()
        s:cancel()
        return h
      end)
    end)
    assert.equal(0, open)
  end))
end)
