-- 015 - folke/lazy.nvim#2171 (26,964 live timers after 13 days), withTimeout in JavaScript
-- (100,000 calls, 88 MB of timers): a timeout that was not needed stayed set.

local helper = require "support.helper"
local weir = require "weir"

describe("a timeout that was not needed", function()
  it("leaves no timer and no memory", helper.virtual(function()
    local sem = weir.semaphore(1)
    local function round()
      for _ = 1, 2000 do
        weir.timeout(30, weir.checkpoint)
        sem:acquire({ timeout = 30 }):release()
        weir.scope({ deadline = weir.now() + 30 }, function() end)
      end
      collectgarbage()
      collectgarbage()
      return collectgarbage("count")
    end
    round()
    local before = round()
    local start = weir.now()
    assert.is_true(round() - before < 64)
    helper.elapsed(0, start)
  end))
end)
