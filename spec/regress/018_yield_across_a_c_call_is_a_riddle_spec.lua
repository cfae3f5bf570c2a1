-- 018 - openresty/lua-nginx-module#376, #1447, #2408, leafo/pgmoon#135: "attempt to yield across
-- C-call boundary" names neither the wait nor the reason.

local helper = require "support.helper"
local weir = require "weir"

describe("a wait where Lua cannot yield", function()
  it("says which wait and why, with a kind", helper.virtual(function()
    local sem = weir.semaphore(1)
    local waits = {
      ["weir.sleep"] = function() weir.sleep(1) end,
      checkpoint = function() weir.checkpoint() end,
      acquire = function() sem:acquire() sem:acquire() end,
      await = function() weir.spawn(weir.sleep, 1):await() end,
    }
    for name, wait in pairs(waits) do
      weir.spawn(function()
        local err = helper.error("misuse", table.sort, { 2, 1 }, wait)
        local text = tostring(err)
        assert.is_truthy(text:find(name, 1, true), text)
        assert.is_nil(text:find("attempt to yield", 1, true), text)
      end):await()
    end
  end))
end)
