-- 009 - evaera/roblox-lua-promise#2, nodejs/node#17469: after the first failure (or the first
-- answer) the others ran on, with all they held.

local helper = require "support.helper"
local weir = require "weir"

describe("those not needed any more", function()
  it("run no further after all, race, any, quorum, map or a left iter", helper.virtual(function()
    local ran_on = 0
    local function slow() weir.sleep(50) ran_on = ran_on + 1 end
    local function fast() weir.sleep(1) return 1 end
    local function failing() weir.sleep(1) error("x") end
    pcall(weir.all, { slow, failing })
    weir.race { slow, fast }
    weir.any { slow, fast }
    weir.quorum(1, { slow, fast })
    pcall(weir.map, { slow, failing }, function(fn) fn() end)
    for _ in weir.iter { slow, fast } do break end
    local start = weir.now()
    weir.sleep(100)
    helper.elapsed(100, start)
    assert.equal(0, ran_on)
  end))
end)
