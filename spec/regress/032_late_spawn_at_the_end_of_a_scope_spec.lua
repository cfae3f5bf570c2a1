-- 032 - our own: who awaited the last child was woken before the owner of the scope, and could
-- still spawn on it; the scope then ended over a living child.

local helper = require "support.helper"
local weir = require "weir"

describe("a scope whose last child has ended", function()
  it("joins what an awaiter of that child spawns", helper.virtual(function()
    local late = false
    weir.scope(function(s)
      local child = s:spawn(weir.sleep, 1)
      weir.detach(function()
        child:pawait()
        s:spawn(function()
          weir.sleep(1)
          late = true
        end)
      end)
    end)
    assert.is_true(late)
  end))
end)
