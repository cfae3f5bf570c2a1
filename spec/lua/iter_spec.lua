-- iter_spec.lua - weir.iter: outcomes one by one, as they come.

local helper = require "support.helper"
local weir = require "weir"

describe("weir.iter", function()
  it("yields index, ok and value in completion order", helper.virtual(function()
    local mine, got = {}, {}
    for i, ok, value in weir.iter {
      function() weir.sleep(3) return "slow" end,
      function() weir.sleep(1) return "fast" end,
      function() weir.sleep(2) error(mine) end,
    } do
      got[#got + 1] = { i, ok, value }
    end
    assert.same({ 2, true, "fast" }, got[1])
    assert.equal(3, got[2][1])
    assert.is_false(got[2][2])
    assert.equal(mine, got[2][3])
    assert.same({ 1, true, "slow" }, got[3])
    assert.equal(3, #got)
  end))

  it("lets the loop wait in between and loses nothing", helper.virtual(function()
    local seen = {}
    for i in weir.iter {
      function() weir.sleep(1) end,
      function() weir.sleep(1) end,
      function() weir.sleep(2) end,
    } do
      seen[#seen + 1] = i
      weir.sleep(10)
    end
    assert.same({ 1, 2, 3 }, seen)
  end))

  it("of nothing ends at once", helper.virtual(function()
    for _ in weir.iter {} do error("not reached") end
  end))

  it("cancels and joins the rest when the loop is left", helper.virtual(function()
    local cleaned = 0
    local function slow()
      local _ <close> = helper.closing(function() weir.shield(weir.sleep, 1) cleaned = cleaned + 1 end)
      weir.sleep(100)
    end
    local function first()
      for i in weir.iter { slow, function() weir.sleep(1) end, slow } do return i end
    end
    assert.equal(2, first())
    assert.equal(2, cleaned)
  end))

  it("cancels and joins the rest when the loop breaks", helper.virtual(function()
    local cleaned = false
    for _ in weir.iter {
      function()
        local _ <close> = helper.closing(function() cleaned = true end)
        weir.sleep(100)
      end,
      function() end,
    } do
      break
    end
    assert.is_true(cleaned)
  end))

  it("cancels and joins the rest though functions capture the loop's variables", helper.virtual(function()
    local cleaned, keep = 0, {}
    local function works()
      return {
        function()
          local _ <close> = helper.closing(function() cleaned = cleaned + 1 end)
          weir.sleep(100)
        end,
        function() end,
      }
    end
    local function returns()
      for i in weir.iter(works()) do
        keep[#keep + 1] = function() return i end
        return keep[#keep]()
      end
    end
    assert.equal(2, returns())
    assert.equal(1, cleaned)
    for i in weir.iter(works()) do -- Lua 5.4.4 needs the block, or it forgets to close
      do
        local index = i
        keep[#keep + 1] = function() return index end
      end
      break
    end
    assert.equal(2, cleaned)
  end))

  it("cancels and joins the rest when the loop raises, and passes that error", helper.virtual(function()
    local cleaned, mine = false, {}
    local ok, err = pcall(function()
      for _ in weir.iter {
        function()
          local _ <close> = helper.closing(function() cleaned = true end)
          weir.sleep(100)
        end,
        function() end,
      } do
        error(mine)
      end
    end)
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.is_true(cleaned)
  end))

  it("lets failures fail nobody else", helper.virtual(function()
    for _, ok in weir.iter { function() error("x") end, function() weir.sleep(1) end } do
      assert.is_boolean(ok)
    end
    weir.sleep(1)
  end))

  it("takes tasks", helper.virtual(function()
    local t = weir.spawn(function() weir.sleep(1) return "task" end)
    for i, ok, value in weir.iter { t } do
      assert.same({ 1, true, "task" }, { i, ok, value })
    end
  end))

  it("raises cancelled when the task of the loop is cancelled", helper.virtual(function()
    local t = weir.spawn(function()
      for _ in weir.iter { function() weir.sleep(100) end } do error("not reached") end
    end)
    weir.sleep(1)
    t:cancel("stop")
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal("stop", err.reason)
  end))

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      for i in weir.iter {
        function() weir.sleep(1) end,
        function() weir.sleep(2) error("x") end,
        function() weir.sleep(3) end,
        function() weir.sleep(9) end,
      } do
        weir.sleep(0.1)
        if i == 3 then break end
      end
    end)
  end)
end)
