-- 011 - tarantool/tarantool#1238, lewis6991/async.nvim#38, golang errgroup: an error in a spawned
-- task that nobody awaited was never seen.

local helper = require "support.helper"
local weir = require "weir"

describe("a failed task that nobody awaits", function()
  it("fails the program", function()
    local r = helper.simulate(function()
      weir.spawn(error, "seen", 0)
      weir.sleep(10)
    end)
    assert.is_false(r.ok)
    assert.equal("seen", r.error)
    assert.equal(0, r.time)
  end)

  it("fails the program even as the last thing that happens", function()
    local r = helper.simulate(function() weir.spawn(error, "seen", 0) end)
    assert.is_false(r.ok)
    assert.equal("seen", r.error)
  end)
end)
