-- 045 - our own: a handle of luv that was closed in the last iteration had its callback run by the end
-- of the Lua state, which crashed.

local helper = require "support.helper"
local has_luv = pcall(require, "luv")

describe("a handle of luv that closes as the run ends #real", function()
  local case = has_luv and it or pending
  case("is closed before the state is", function()
    local out, code = helper.program [[
      local weir = require "weir"
      local uv = require "weir.luv"
      weir.run(function()
        uv.update_time()
        local timer = uv.new_timer()
        timer:start(2, 0, function() timer:close(function() print "closed" end) end)
        weir.sleep(0.002) -- both are due in one iteration
      end)
      print "ended"
    ]]
    assert.is_truthy(out == "closed\nended\n" or out == "ended\n", out) -- or its time never came
    assert.equal(0, code)
  end)
end)
