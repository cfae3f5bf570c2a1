-- 046 - generic-pool #175, #183, #194, #273: a create that fails at once is called again and again in one turn of
-- the loop, a million times before any timer fires, so that not even the timeout of who waits can come.

local helper = require "support.helper"
local weir = require "weir"

describe("a create that fails at once", function()
  it("is called again after a pause that grows, and time goes on meanwhile", helper.virtual(function()
    for _, open_after in ipairs { 0, 3 } do
      local calls = 0
      local pool = weir.pool {
        min = 1, open_after = open_after, backoff = 0.1, max_backoff = 1,
        create = function() calls = calls + 1 error("refused", 0) end,
      }
      local sleeper = weir.spawn(weir.sleep, 1)
      local answers = 0
      weir.scope(function(scope)
        for _ = 1, 20 do
          scope:spawn(function()
            for _ = 1, 5 do
              pcall(pool.acquire, pool, { timeout = 1 })
              answers = answers + 1
            end
          end)
        end
      end)
      assert.equal(100, answers)
      sleeper:await()
      local start, before = weir.now(), calls
      weir.sleep(10)
      helper.elapsed(10, start)
      assert.is_true(calls - before >= 5 and calls - before <= 25, calls - before)
      pool:close()
    end
  end))
end)
