-- 016 - openresty/lua-resty-limit-traffic#25, apache/apisix#12823: the counter of running jobs
-- was not taken back on some ways out, until nothing was let in.

local helper = require "support.helper"
local weir = require "weir"

describe("the count of running jobs", function()
  it("is back at zero after every way a job can end", helper.virtual(function()
    local limit = weir.limit(2)
    for _ = 1, 20 do
      limit(function() return 1 end):await()
      limit(error, "at once"):pawait()
      limit(function() weir.sleep(1) error("later") end):pawait()
      pcall(weir.timeout, 0.5, function() limit(weir.sleep, 10):await() end)
      local t = limit(weir.sleep, 10)
      weir.checkpoint()
      t:cancel()
      t:pawait()
      limit(weir.sleep, 10):cancel()
      weir.checkpoint()
      assert.equal(0, limit.active)
      assert.equal(0, limit.pending)
    end
  end))
end)
