-- 036 - our own: a permit that was handed over raised at the end of the block that had acquired it.

local helper = require "support.helper"
local weir = require "weir"

describe("a permit in a <close> variable", function()
  it("can be handed to another task", helper.virtual(function()
    local sem = weir.semaphore(1)
    local heir = weir.spawn(weir.sleep, 2)
    weir.checkpoint()
    do
      local permit <close> = sem:acquire()
      permit:transfer(heir)
    end
    assert.equal(0, sem.available)
    heir:await()
    assert.equal(1, sem.available)
  end))
end)
