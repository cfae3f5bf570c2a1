-- 012 - luvit/lit#273, cloudwu/skynet#1265, tarantool/tarantool#6439: the report showed where the
-- error was passed on, not where it came from.

local helper = require "support.helper"
local weir = require "weir"

describe("the traceback of a failure", function()
  it("still has its origin after three tasks passed it on", helper.virtual(function()
    local function origin() local x = nil; return x.field end
    local innermost
    local outer = weir.spawn(function()
      weir.spawn(function()
        innermost = weir.spawn(function() weir.sleep(1) return 1 + origin() end)
        innermost:await()
      end):await()
    end)
    local ok, err = outer:pawait()
    assert.is_false(ok)
    assert.is_truthy(err:find("012_", 1, true))
    assert.is_truthy(innermost.traceback:find("origin", 1, true), innermost.traceback)
  end))

  it("is in the report of a program that ends by it", function()
    local out, code = helper.program [[
      local weir = require "weir"
      local function origin() error("from the origin") end
      weir.run(function()
        weir.spawn(function() weir.spawn(function() origin() end):await() end):await()
      end)
    ]]
    assert.equal(1, code)
    assert.is_truthy(out:find("from the origin", 1, true), out)
  end)
end)
