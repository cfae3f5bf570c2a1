-- 035 - our own: the hook for unhandled errors runs when the task has joined its children; what it
-- spawned had no parent that would wait for it.

local helper = require "support.helper"
local weir = require "weir"

describe("the on_unhandled hook", function()
  it("is told that the task has ended when it spawns", helper.virtual(function()
    local spawned
    weir.on_unhandled(function()
      spawned = table.pack(pcall(weir.spawn, function() end))
      return true
    end)
    weir.detach(error, "lost")
    weir.sleep(1)
    assert.is_false(spawned[1])
    assert.equal("closed", weir.kind(spawned[2]))
  end))

  it("leaves the error as it was for who awaits the task", helper.virtual(function()
    local mine = {}
    weir.on_unhandled(function() return true end)
    local t = weir.detach(error, mine)
    weir.sleep(1)
    assert.equal(mine, select(2, pcall(t.await, t)))
  end))
end)
