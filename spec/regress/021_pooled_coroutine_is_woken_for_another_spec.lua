-- 021 - cloudwu/skynet#2005: a coroutine from the pool was woken by what its last user had waited
-- for ("cannot resume dead coroutine", or the wrong values).

local helper = require "support.helper"
local weir = require "weir"

describe("a reused coroutine", function()
  it("is not woken by what its last task waited for", helper.virtual(function()
    for _ = 1, 50 do
      local stale
      local first = weir.spawn(function() weir.await(function(resume) stale = resume end) end)
      weir.checkpoint()
      first:cancel()
      first:pawait()
      local second = weir.spawn(function()
        weir.sleep(1)
        return (weir.await(function(resume) weir.spawn(function() weir.sleep(1) resume("own") end) end))
      end)
      weir.checkpoint()
      stale("foreign")
      weir.sleep(1.5)
      stale("foreign")
      assert.equal("own", second:await())
    end
  end))
end)
