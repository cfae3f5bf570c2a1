-- 071 - graphql/dataloader: loads one setTimeout(0) apart are split into batches of two and one, since it waits for
-- the microtasks alone. The scheduler knows when nobody is ready to add more.

local helper = require "support.helper"
local weir = require "weir"

describe("loads that come some turns apart", function()
  it("are one batch as long as somebody is ready", helper.virtual(function()
    local sizes = {}
    local batch = weir.batch(function(keys)
      sizes[#sizes + 1] = #keys
      return keys
    end)
    weir.scope(function(scope)
      for i = 1, 3 do
        scope:spawn(function()
          for _ = 1, 10 * i do weir.sleep(0) end
          batch(i)
        end)
      end
    end)
    assert.same({ 3 }, sizes)
  end))
end)
