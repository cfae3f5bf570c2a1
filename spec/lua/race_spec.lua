-- race_spec.lua - weir.race: the first to end, well or badly; the losers are cancelled and joined.

local helper = require "support.helper"
local weir = require "weir"

describe("weir.race", function()
  it("returns all values of the first to end", helper.virtual(function()
    local start = weir.now()
    local got = table.pack(weir.race {
      function() weir.sleep(2) return "slow" end,
      function() weir.sleep(1) return "fast", nil, 3 end,
    })
    assert.same({ "fast", nil, 3, n = 3 }, got)
    helper.elapsed(1, start)
  end))

  it("raises if the first to end failed", helper.virtual(function()
    local mine = {}
    local ok, err = pcall(weir.race, {
      function() weir.sleep(2) return "slow" end,
      function() weir.sleep(1) error(mine) end,
    })
    assert.is_false(ok)
    assert.equal(mine, err)
  end))

  it("takes nil as a win", helper.virtual(function()
    assert.same({ n = 0 }, table.pack(weir.race { function() end, function() weir.sleep(1) return 1 end }))
  end))

  it("cancels the losers and joins them before it returns", helper.virtual(function()
    local start, cleaned = weir.now(), false
    local winner = weir.race {
      function() weir.sleep(1) return "winner" end,
      function()
        local _ <close> = helper.closing(function() weir.shield(weir.sleep, 2) cleaned = true end)
        weir.sleep(100)
      end,
    }
    assert.equal("winner", winner)
    assert.is_true(cleaned)
    helper.elapsed(3, start)
  end))

  it("cancels tasks that were handed in", helper.virtual(function()
    local t = weir.spawn(weir.sleep, 100)
    weir.race { t, function() weir.sleep(1) end }
    assert.equal("cancelled", t.status)
  end))

  it("returns at once for a task that has ended", helper.virtual(function()
    local start = weir.now()
    local t = weir.spawn(function() return "ready" end)
    t:await()
    assert.equal("ready", (weir.race { function() weir.sleep(5) return "late" end, t }))
    helper.elapsed(0, start)
  end))

  it("gives a tie to the one further ahead in the list", helper.virtual(function()
    local winner = weir.race {
      function() weir.sleep(1) return "first" end,
      function() weir.sleep(1) return "second" end,
    }
    assert.equal("first", winner)
  end))

  it("of nothing is misuse", helper.virtual(function()
    helper.error("misuse", weir.race, {})
  end))

  it("of one is that one", helper.virtual(function()
    assert.equal(1, (weir.race { function() return 1 end }))
  end))

  it("raises what a loser raises in its cleanup", helper.virtual(function()
    local mine = {}
    local ok, err = pcall(weir.race, {
      function() weir.sleep(1) return "winner" end,
      function()
        local _ <close> = helper.closing(function() error(mine) end)
        weir.sleep(100)
      end,
    })
    assert.is_false(ok)
    assert.equal(mine, err)
  end))

  it("leaves nothing of the losers in the queues they stood in", helper.virtual(function()
    local sem = weir.semaphore(1)
    weir.spawn(function() sem:with(weir.sleep, 5) end)
    weir.checkpoint()
    weir.race {
      function() sem:with(function() end) end,
      function() sem:with(function() end) end,
      function() weir.sleep(1) end,
    }
    assert.equal(0, sem.waiting)
  end))

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      local sem = weir.semaphore(1)
      weir.race {
        function() weir.sleep(2) end,
        function() sem:with(weir.sleep, 1) end,
        function() sem:with(weir.sleep, 1) end,
      }
      assert(sem.available == 1)
    end)
  end)

  it("has one winner under every schedule", function()
    helper.explore(function()
      local ended = 0
      local function run(name)
        return function()
          weir.checkpoint()
          ended = ended + 1
          return name
        end
      end
      local winner = weir.race { run "a", run "b" }
      assert.is_true(winner == "a" or winner == "b")
      assert.is_true(ended >= 1)
    end)
  end)
end)
