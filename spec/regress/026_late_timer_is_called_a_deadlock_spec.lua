-- 026 - our own: when a turn took longer than the nearest timer had left, the driver thought that
-- nothing could happen any more, and a sleep was told it was a deadlock.

local helper = require "support.helper"

describe("a sleep that is due before the turn is over", function()
  it("ends, in real time", function()
    local out, code = helper.program [[
      local weir = require "weir"
      weir.run(function()
        for ms = 0, 2, 0.25 do
          weir.spawn(function()
            local start = os.clock()
            while os.clock() - start < ms / 1000 do end
          end)
          weir.sleep(0.001)
        end
        print "slept"
      end)
    ]]
    assert.equal("slept\n", out)
    assert.equal(0, code)
  end)
end)
