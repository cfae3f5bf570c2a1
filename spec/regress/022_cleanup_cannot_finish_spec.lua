-- 022 - lua-atmos/atmos#21 (the cancel hit again inside the cleanup), tarantool/queue#224 (a task
-- that ignores its cancel hangs the shutdown): cleanup must be able to finish, and not for ever.

local helper = require "support.helper"
local weir = require "weir"

describe("cleanup", function()
  it("can finish its waits, though it is cancelled again and again", helper.virtual(function()
    local steps = 0
    local t = weir.spawn(function()
      local _ <close> = helper.closing(function()
        weir.shield(function()
          for _ = 1, 4 do weir.sleep(1) steps = steps + 1 end
        end)
      end)
      weir.sleep(100)
    end)
    weir.spawn(function()
      for _ = 1, 10 do weir.sleep(0.5) t:cancel("again") end
    end)
    t:pawait()
    assert.equal(4, steps)
  end))

  it("cannot hold up the end of the program for ever", function()
    local r = helper.simulate(function()
      weir.daemon(function()
        local _ <close> = helper.closing(function()
          while true do
            if not pcall(weir.shield, weir.sleep, 1000) then break end
          end
        end)
        weir.sleep(1e9)
      end)
      weir.checkpoint()
    end)
    assert.is_true(r.time <= 10 + 1e-6)
  end)
end)
