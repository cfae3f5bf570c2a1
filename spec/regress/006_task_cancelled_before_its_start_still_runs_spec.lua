-- 006 - tarantool/tarantool#6276: a fiber cancelled before its first turn still ran its body.

local helper = require "support.helper"
local weir = require "weir"

describe("a task cancelled before its first turn", function()
  it("never runs, and neither do those of a scope cancelled then", helper.virtual(function()
    local ran = 0
    local function body() ran = ran + 1 end
    weir.spawn(body):cancel()
    weir.scope(function(s)
      for _ = 1, 5 do s:spawn(body) end
      s:cancel()
    end)
    local limit = weir.limit(1)
    limit(body):cancel()
    weir.sleep(1)
    assert.equal(0, ran)
  end))
end)
