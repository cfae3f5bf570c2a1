-- 031 - Effect's Semaphore, aiolimiter: small requests overtook a large one without end; waiters
-- of low priority starved (async's priorityQueue, bottleneck); equals were not served in order.

local helper = require "support.helper"
local weir = require "weir"

-- How long one request waits for `n` of 4 permits while tasks without end take and hold them.
local function wait_under_load(options, n, request, noise)
  options.permits = 4
  local sem = weir.semaphore(options)
  local waited
  weir.scope(function(s)
    for i = 1, 6 do
      s:spawn(function()
        weir.sleep(i / 10)
        while true do
          local p <close> = sem:acquire(1, noise)
          weir.sleep(1)
          p:release()
        end
      end)
    end
    weir.sleep(5)
    local start = weir.now()
    sem:acquire(n, request):release()
    waited = weir.now() - start
    s:cancel()
  end)
  return waited
end

describe("a large request under a stream of small ones", function()
  it("is served after those before it", helper.virtual(function()
    assert.is_true(wait_under_load({}, 4) <= 3)
  end))

  it("is served after so many more as may pass", helper.virtual(function()
    assert.is_true(wait_under_load({ bypass = 3 }, 4) <= 4)
  end))

  it("of low priority is served when it is old enough", helper.virtual(function()
    local options = { order = "priority", aging = 2 }
    assert.is_true(wait_under_load(options, 4, { priority = 0 }, { priority = 3 }) <= 3 * 2 + 3)
  end))
end)
