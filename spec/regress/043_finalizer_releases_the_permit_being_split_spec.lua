-- 043 - our own: making the second half of a permit could run a finalizer that released the
-- permit, which was then split all the same.

local helper = require "support.helper"
local weir = require "weir"

describe("permit:split", function()
  it("splits no permit that a finalizer releases meanwhile", helper.virtual(function()
    local sem = weir.semaphore(10)
    local pause = collectgarbage("setpause", 0)
    for _ = 1, 500 do
      local permit = sem:acquire(5)
      setmetatable({}, { __gc = function()
        if permit.held then permit:release() end
      end })
      local ok, half = pcall(permit.split, permit, 2)
      if ok then half:release() else assert.equal("misuse", weir.kind(half)) end
      if permit.held then permit:release() end
    end
    collectgarbage("setpause", pause)
    assert.equal(10, sem.available)
  end))
end)
