-- test_spec.lua - weir.test: virtual time and chosen schedules for users' own tests.

local helper = require "support.helper"
local test = require "weir.test"
local weir = require "weir"

describe("weir.test.run", function()
  it("returns the values of the function", function()
    assert.same({ 1, nil, 3, n = 3 }, table.pack(test.run(function() return 1, nil, 3 end)))
  end)

  it("takes no time for any time", function()
    assert.equal(3600 * 24, test.run(function()
      local start = weir.now()
      weir.sleep(3600 * 24)
      return math.floor(weir.now() - start + 0.5)
    end))
  end)

  it("raises what the function raised, unchanged", function()
    local mine = {}
    local ok, err = pcall(test.run, function() weir.sleep(1) error(mine) end)
    assert.is_false(ok)
    assert.equal(mine, err)
  end)

  it("starts afresh every time", function()
    local first, second
    test.run(function() first = weir.now() weir.sleep(5) end)
    test.run(function() second = weir.now() end)
    assert.equal(first, second)
  end)

  it("can be called inside a run", function()
    test.run(function()
      local start = weir.now()
      test.run(function() weir.sleep(100) end)
      assert.equal(start, weir.now())
      weir.sleep(1)
    end)
  end)

  it("comes to the same for the same seed", function()
    local function order(seed)
      local got = {}
      test.run(function()
        for i = 1, 8 do
          weir.spawn(function() weir.checkpoint() got[#got + 1] = i end)
        end
      end, { seed = seed })
      return table.concat(got, " ")
    end
    local different = {}
    for seed = 1, 20 do
      assert.equal(order(seed), order(seed))
      different[order(seed)] = true
    end
    assert.is_truthy(next(different, next(different)), "20 seeds gave one order")
  end)

  it("is misuse with wrong arguments", function()
    helper.error("misuse", test.run)
    helper.error("misuse", test.run, 1)
    helper.error("misuse", test.run, function() end, { plan = "x" })
    helper.error("misuse", test.run, function() end, { seed = "x" })
    helper.error("misuse", test.run, function() end, { bogus = 1 })
  end)
end)

describe("weir.test.explore", function()
  it("runs under so many schedules", function()
    local runs = 0
    assert.equal(10, test.explore(10, function() runs = runs + 1 end))
    assert.equal(10, runs)
  end)

  it("finds the schedule that breaks a program, and says how to have it again", function()
    local function racy()
      local value, seen = 0, nil
      weir.all {
        function() weir.sleep(1) value = 1 end,
        function() weir.sleep(1) seen = value end,
      }
      if seen ~= 1 then error("saw it too early", 0) end
    end
    local ok, err = pcall(test.explore, 100, racy)
    assert.is_false(ok)
    local seed = tonumber(err:match("seed = (%d+)"))
    assert.is_truthy(err:find("saw it too early", 1, true))
    helper.error("error", test.run, racy, { seed = seed })

    ok, err = pcall(test.explore, math.huge, racy)
    assert.is_false(ok)
    local choices = {}
    for choice in err:match("choices = {(.-)}"):gmatch("%d+") do choices[#choices + 1] = tonumber(choice) end
    helper.error("error", test.run, racy, { choices = choices })
  end)

  it("runs every schedule there is when asked for all", function()
    local orders = {}
    local n = test.explore(math.huge, function()
      local got = {}
      weir.all {
        function() weir.sleep(1) got[#got + 1] = "a" end,
        function() weir.sleep(1) got[#got + 1] = "b" end,
      }
      orders[table.concat(got)] = true
    end)
    assert.is_true(n >= 2)
    assert.same({ ab = true, ba = true }, orders)
  end)
end)
