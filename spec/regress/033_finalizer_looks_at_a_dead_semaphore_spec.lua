-- 033 - our own: a finalizer may still see a semaphore that was finalized before it in the same
-- cycle.

local helper = require "support.helper"
local weir = require "weir"

describe("a semaphore that was collected", function()
  it("is refused to a finalizer that looks at it, not read", helper.virtual(function()
    local seen
    do
      local object = setmetatable({}, { __gc = function(o) seen = { pcall(function() return o.sem.capacity end) } end })
      object.sem = weir.semaphore(3)
    end
    collectgarbage()
    collectgarbage()
    assert.is_table(seen)
    if not seen[1] then assert.equal("misuse", weir.kind(seen[2])) end
  end))
end)
