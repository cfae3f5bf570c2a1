-- 025 - mcollina/fastq: 50,000 jobs that end at once recursed through each other until the stack
-- was full; async.queue stayed wedged after one that threw.

local helper = require "support.helper"
local weir = require "weir"

describe("jobs that end at once", function()
  it("run one after another without growing the stack", helper.virtual(function()
    local limit, done = weir.limit(1), 0
    weir.scope(function()
      for _ = 1, 50000 do limit(function() done = done + 1 end) end
    end)
    assert.equal(50000, done)
  end))

  it("do not wedge the limit when one of them raises", helper.virtual(function()
    local limit = weir.limit(1)
    local out = weir.settle {
      limit(error, "x"), limit(function() return 1 end), limit(error, "y"), limit(function() return 2 end),
    }
    assert.same({ false, true, false, true }, { out[1].ok, out[2].ok, out[3].ok, out[4].ok })
  end))
end)
