-- 005 - openresty/lua-nginx-module#1439: after thread.wait(t1, t2) returned for t1, the end of t2
-- woke an unrelated sleep, which then returned t2's value.

local helper = require "support.helper"
local weir = require "weir"

describe("a sleep after a wait for one of several", function()
  it("lasts its time and returns nothing, whatever ends meanwhile", helper.virtual(function()
    local t1 = weir.spawn(weir.sleep, 1)
    local t2 = weir.spawn(function() weir.sleep(2) return "t2's value" end)
    local t3 = weir.spawn(function() t1:await() return t2:pawait(0.5) end)
    for i, ok in weir.iter { function() t1:await() end, function() t3:await() end } do
      assert.is_true(ok, i)
      break
    end
    local start = weir.now()
    assert.equal(0, select("#", weir.sleep(3)))
    helper.elapsed(3, start)
  end))

  it("is not ended by a task whose await timed out", helper.virtual(function()
    local t = weir.spawn(function() weir.sleep(2) return "late" end)
    helper.error("timeout", t.await, t, 1)
    local start = weir.now()
    assert.equal(0, select("#", weir.sleep(3)))
    helper.elapsed(3, start)
  end))
end)
