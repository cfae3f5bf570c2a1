-- 013 - evaera/roblox-lua-promise#54, howmanysmall/Janitor#39: failures were reported as unhandled
-- although someone waited for them.

local helper = require "support.helper"
local weir = require "weir"

describe("a failure that someone waits for", function()
  it("is not reported as unhandled", helper.virtual(function()
    local reports = 0
    weir.on_unhandled(function() reports = reports + 1 end)
    local function failing() weir.sleep(1) error("handled") end
    weir.detach(failing):pawait()
    weir.settle { weir.detach(failing) }
    weir.spawn(pcall, failing):await()
    pcall(weir.all, { failing, failing })
    pcall(weir.scope, failing)
    weir.sleep(5)
    assert.equal(0, reports)
  end))
end)
