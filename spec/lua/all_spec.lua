-- all_spec.lua - weir.all: every one, or the first failure.

local helper = require "support.helper"
local weir = require "weir"

local function after(seconds, ...)
  local values = table.pack(...)
  return function()
    weir.sleep(seconds)
    return table.unpack(values, 1, values.n)
  end
end

describe("weir.all", function()
  it("runs all at once and gives the first values in input order", helper.virtual(function()
    local start = weir.now()
    assert.same({ "a", "b", "c", n = 3 }, weir.all { after(3, "a", "x"), after(1, "b"), after(2, "c") })
    helper.elapsed(3, start)
  end))

  it("keeps nils", helper.virtual(function()
    local r = weir.all { after(1, nil), after(0, "b"), after(0, nil) }
    assert.equal(3, r.n)
    assert.is_nil(r[1])
    assert.equal("b", r[2])
    assert.is_nil(r[3])
  end))

  it("takes tasks beside functions", helper.virtual(function()
    local t = weir.spawn(after(2, "task"))
    assert.same({ "task", "function", n = 2 }, weir.all { t, after(1, "function") })
  end))

  it("takes tasks that have ended", helper.virtual(function()
    local t = weir.spawn(after(0, "task"))
    t:await()
    assert.same({ "task", n = 1 }, weir.all { t })
  end))

  it("of nothing is an empty result", helper.virtual(function()
    assert.same({ n = 0 }, weir.all {})
  end))

  it("starts its functions in order", helper.virtual(function()
    local order = {}
    local fns = {}
    for i = 1, 10 do fns[i] = function() order[#order + 1] = i end end
    weir.all(fns)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, order)
  end))

  it("on a failure cancels the others, joins them and raises it", helper.virtual(function()
    local mine, cleaned = {}, false
    local start = weir.now()
    local ok, err = pcall(weir.all, {
      function()
        local _ <close> = helper.closing(function() weir.shield(weir.sleep, 1) cleaned = true end)
        weir.sleep(100)
      end,
      function() weir.sleep(1) error(mine) end,
    })
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.is_true(cleaned)
    helper.elapsed(2, start)
  end))

  it("cancels tasks that were handed in as well", helper.virtual(function()
    weir.scope(function(s)
      local t = s:spawn(weir.sleep, 100)
      local ok = pcall(weir.all, { t, function() weir.sleep(1) error("x") end })
      assert.is_false(ok)
      assert.equal("cancelled", t.status)
    end)
  end))

  it("raises the first of several failures", helper.virtual(function()
    local first, second = { 1 }, { 2 }
    local ok, err = pcall(weir.all, {
      function() weir.sleep(2) error(second) end,
      function() weir.sleep(1) error(first) end,
    })
    assert.is_false(ok)
    assert.equal(first, err)
  end))

  it("leaves the caller's scope unharmed when the failure is caught", helper.virtual(function()
    pcall(weir.all, { function() error("x") end })
    weir.sleep(1)
  end))

  it("nests", helper.virtual(function()
    local r = weir.all {
      function() return weir.all { after(1, 1), after(2, 2) } end,
      function() return weir.all { after(2, 3), after(1, 4) } end,
    }
    assert.same({ { 1, 2, n = 2 }, { 3, 4, n = 2 }, n = 2 }, r)
  end))

  it("raises cancelled when its task is cancelled, after joining what it runs", helper.virtual(function()
    local cleaned = false
    local t = weir.spawn(function()
      weir.all { function()
        local _ <close> = helper.closing(function() weir.shield(weir.sleep, 1) cleaned = true end)
        weir.sleep(100)
      end }
    end)
    weir.sleep(1)
    t:cancel("stop")
    local _, err = t:pawait()
    assert.equal("stop", err.reason)
    assert.is_true(cleaned)
  end))

  it("does not change its argument", helper.virtual(function()
    local fns = { after(1, 1), after(1, 2) }
    local one, two = fns[1], fns[2]
    weir.all(fns)
    assert.equal(one, fns[1])
    assert.equal(two, fns[2])
    assert.is_nil(fns.n)
  end))

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      weir.all { after(1), after(2), function() weir.all { after(1), after(3) } end }
      pcall(weir.all, { after(2), function() weir.sleep(1) error("x") end })
    end)
  end)

  it("gives everything back whichever allocation fails", function()
    helper.fail_allocations(function() weir.all { after(1), after(2), after(3) } end)
  end)
end)
