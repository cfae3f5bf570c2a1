-- 007 - tarantool/tarantool#10696: "fiber is cancelled" says nothing; users ask for the reason.

local helper = require "support.helper"
local weir = require "weir"

describe("cancelled", function()
  it("says why, at every wait it ends", helper.virtual(function()
    local sem = weir.semaphore(1)
    local held = sem:acquire()
    local waits = {
      function() weir.sleep(100) end,
      function() sem:acquire() end,
      function() weir.await(function() end) end,
      function() weir.spawn(weir.sleep, 100):await() end,
      function() weir.all { function() weir.sleep(100) end } end,
    }
    local tasks = {}
    for i, wait in ipairs(waits) do tasks[i] = weir.spawn(wait) end
    weir.sleep(1)
    for i, t in ipairs(tasks) do
      t:cancel("shutdown")
      local _, err = t:pawait()
      assert.equal("shutdown", err.reason, "wait " .. i)
      assert.is_truthy(tostring(err):find("shutdown", 1, true))
    end
    held:release()
  end))
end)
