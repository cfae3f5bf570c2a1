-- 073 - weir itself: the timers of an idle pool kept the loop alive, so a wait that nobody would ever end was found
-- after the idle timeout, and never where the pool had a `min`. So it is with pg-pool and generic-pool: Node exits
-- silently (13) without them, and hangs with them.

local helper = require "support.helper"

-- The pool lives on a real loop: only there is something else that could wake somebody.
local function program(body)
  return ([[
    local weir = require "weir"
    local function go()
      local pool = weir.pool { create = function() return {} end, check = function() return true end, min = %s }
      pool:with(function() end)
      %s
    end
    weir.run(go)]]):format(body.min, body[1])
end

describe("a pool with nothing to do", function()
  for _, min in ipairs { 0, 2 } do
    it("does not hide an await that nobody resumes, min " .. min, function()
      local out = helper.program(program { min = min, [[
        local ok, err = pcall(weir.await, function() end)
        print(ok, err.kind)]] })
      assert.equal("false\tdeadlock\n", out)
    end)

    it("does not hide a detached task that waits for ever, min " .. min, function()
      local out, code = helper.program(program { min = min, [[
        weir.detach(weir.await, function() end)]] })
      assert.matches("deadlock: nothing can wake any detached task", out)
      assert.equal(0, code)
    end)
  end

  it("lets what else is alive go on", function()
    local out = helper.program(program { min = 1, [[
      local resumed = weir.await(function(resume) weir.detach(function() weir.sleep(0.01) resume("by a timer") end) end)
      print(resumed)]] })
    assert.equal("by a timer\n", out)
  end)
end)
