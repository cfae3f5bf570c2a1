-- 027 - our own: somebody closed the coroutine of a task that waited in weir.await; when the task
-- was collected, its `resume` still pointed to it. Only a build with AddressSanitizer sees it.

local helper = require "support.helper"
local weir = require "weir"

describe("a resume whose task is gone", function()
  it("does nothing", helper.virtual(function()
    local resume
    do
      local co
      local t = weir.spawn(pcall, function()
        co = coroutine.running()
        weir.await(function(callback) resume = callback end)
      end)
      weir.sleep(1)
      weir.spawn(function()
        weir.sleep(1)
        coroutine.close(co)
        t:cancel()
      end)
      t:pawait()
    end
    for _ = 1, 10 do weir.spawn(function() end):await() end
    collectgarbage()
    collectgarbage()
    resume("late")
    weir.sleep(1)
    collectgarbage()
    resume("later")
    assert.equal("alive", weir.spawn(function() return "alive" end):await())
  end))
end)
