-- 042 - our own: an older finalizer used a reservation that was finalized before it in the same
-- cycle, and found no ticket in it.

local helper = require "support.helper"
local weir = require "weir"

describe("a reservation that was collected", function()
  it("is refused to a finalizer that still has it", helper.virtual(function()
    local seen = {}
    do
      local bucket = weir.bucket { rate = 1, burst = 1 }
      local object = setmetatable({}, { __gc = function(o)
        seen.cancel = table.pack(pcall(function() return o.reservation:cancel() end))
        seen.delay = table.pack(pcall(function() return o.reservation.delay end))
      end })
      object.reservation = bucket:reserve(1)
    end
    collectgarbage()
    collectgarbage()
    for _, call in pairs(seen) do
      assert.is_true(call[1] or weir.kind(call[2]) == "misuse")
    end
    assert.is_table(seen.cancel)
  end))
end)
