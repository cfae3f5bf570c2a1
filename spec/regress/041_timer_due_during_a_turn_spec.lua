-- A turn that outlasted the next timer left the loop with no live handle, and the program was told
-- of a deadlock that was none. In real time, because the fault was in the driver.

local helper = require "support.helper"
local weir = require "weir"

describe("a timer that comes due while a turn is at work", function()
  it("is not a deadlock", helper.real(function()
    local function burn(seconds)
      local start = os.clock()
      while os.clock() - start < seconds do end
    end
    local slept = 0
    weir.scope(function(s)
      s:spawn(function() weir.sleep(0.002) slept = slept + 1 end)
      s:spawn(burn, 0.003)
      weir.sleep(0.0025)
      slept = slept + 1
    end)
    assert.equal(2, slept)
  end))
end)
