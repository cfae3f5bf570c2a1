-- 039 - our own: the hundred and first operation that need not wait wanted to make a checkpoint, in
-- a callback of string.gsub too.

local helper = require "support.helper"
local weir = require "weir"

describe("an operation that need not wait", function()
  it("works as often as it is called where Lua cannot yield", helper.virtual(function()
    local sem, calls = weir.semaphore(1), 0
    local text = ("x"):rep(300):gsub("x", function()
      sem:with(function() calls = calls + 1 end)
    end)
    assert.equal(300, calls)
    assert.equal(300, #text)
  end))
end)
