-- shield_spec.lua - weir.shield: cleanup may wait, within a limit.

local helper = require "support.helper"
local weir = require "weir"

-- Spawn `body`, cancel it after `after` seconds, give its outcome.
local function cancelled_after(after, body)
  local t = weir.spawn(body)
  weir.sleep(after)
  t:cancel("stop")
  return t:pawait()
end

describe("weir.shield", function()
  it("passes arguments and values through", helper.virtual(function()
    local got = table.pack(weir.shield(function(...) weir.sleep(1) return ... end, 1, nil, 3))
    assert.same({ 1, nil, 3, n = 3 }, got)
    assert.same({ 1, nil, n = 2 }, table.pack(weir.shield(2, function(...) return ... end, 1, nil)))
  end))

  it("passes an error through unchanged", helper.virtual(function()
    local mine = {}
    local ok, err = pcall(weir.shield, function() error(mine) end)
    assert.is_false(ok)
    assert.equal(mine, err)
  end))

  it("lets cleanup wait after a cancel", helper.virtual(function()
    local start, cleaned = weir.now(), false
    local ok, err = cancelled_after(1, function()
      local _ <close> = helper.closing(function() weir.shield(function() weir.sleep(2) cleaned = true end) end)
      weir.sleep(100)
    end)
    assert.is_false(ok)
    assert.equal("cancelled", weir.kind(err))
    assert.is_true(cleaned)
    helper.elapsed(3, start)
  end))

  it("keeps a cancel out until its end, and no longer", helper.virtual(function()
    local inside, after = nil, false
    local ok, err = cancelled_after(1, function()
      inside = weir.shield(function() weir.sleep(3) return "went on" end)
      weir.sleep(0)
      after = true
    end)
    assert.is_false(ok)
    assert.equal("stop", err.reason)
    assert.equal("went on", inside)
    assert.is_false(after)
  end))

  it("has a grace of 5 s from the cancel if that came later", helper.virtual(function()
    local start = weir.now()
    cancelled_after(7, function() weir.shield(weir.sleep, 100) end)
    helper.elapsed(12, start)
  end))

  it("has a grace of 5 s from its entry if that came later", helper.virtual(function()
    local start = weir.now()
    cancelled_after(1, function()
      pcall(weir.sleep, 100)
      weir.shield(weir.sleep, 100)
    end)
    helper.elapsed(6, start)
  end))

  it("takes another grace as its first argument", helper.virtual(function()
    local start = weir.now()
    cancelled_after(1, function() weir.shield(20, weir.sleep, 100) end)
    helper.elapsed(21, start)
  end))

  it("of no grace at all lets nothing wait", helper.virtual(function()
    local start = weir.now()
    cancelled_after(1, function()
      pcall(weir.sleep, 100)
      weir.shield(0, weir.sleep, 100)
    end)
    helper.elapsed(1, start)
  end))

  it("raises at every wait after its grace", helper.virtual(function()
    local kinds = {}
    cancelled_after(1, function()
      weir.shield(1, function()
        for i = 1, 3 do
          local _, err = pcall(weir.sleep, 100)
          kinds[i] = weir.kind(err)
        end
      end)
    end)
    assert.same({ "cancelled", "cancelled", "cancelled" }, kinds)
  end))

  it("has no limit while nothing was cancelled", helper.virtual(function()
    local start = weir.now()
    weir.shield(1, weir.sleep, 50)
    helper.elapsed(50, start)
  end))

  it("stands against deadlines too", helper.virtual(function()
    local start, cleaned = weir.now(), false
    helper.error("timeout", weir.timeout, 1, function()
      weir.shield(function() weir.sleep(3) cleaned = true end)
    end)
    assert.is_true(cleaned)
    helper.elapsed(3, start)
  end))

  it("is over 5 s after a deadline", helper.virtual(function()
    local start = weir.now()
    helper.error("timeout", weir.timeout, 1, function() weir.shield(weir.sleep, 100) end)
    helper.elapsed(6, start)
  end))

  it("covers what is spawned inside", helper.virtual(function()
    local finished = false
    cancelled_after(1, function()
      weir.shield(function()
        weir.spawn(function() weir.sleep(3) finished = true end)
      end)
    end)
    assert.is_true(finished)
  end))

  it("does not stand against a deadline set inside", helper.virtual(function()
    local start = weir.now()
    weir.shield(function()
      helper.error("timeout", weir.timeout, 1, weir.sleep, 100)
    end)
    helper.elapsed(1, start)
  end))

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      weir.shield(2, function()
        weir.spawn(weir.sleep, 1)
        weir.sleep(3)
      end)
      pcall(weir.timeout, 1, function()
        local _ <close> = helper.closing(function() weir.shield(weir.sleep, 1) end)
        weir.sleep(5)
      end)
    end)
  end)
end)
