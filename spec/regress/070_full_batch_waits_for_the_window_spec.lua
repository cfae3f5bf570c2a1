-- 070 - graphql/dataloader: a batch that is full still waits for its schedule (51 ms of a window of 50).

local helper = require "support.helper"
local weir = require "weir"

describe("a batch that is full", function()
  it("is asked at once", helper.virtual(function()
    local batch = weir.batch(function(keys) return keys end, { max = 3, delay = 50, quiet = false })
    local start = weir.now()
    assert.same({ n = 3, 1, 2, 3 }, batch:load_many { 1, 2, 3 })
    helper.elapsed(0, start)
  end))
end)
