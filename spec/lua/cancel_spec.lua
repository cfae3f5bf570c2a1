-- cancel_spec.lua - cancellation: level-triggered, with a reason, losing nothing.

local helper = require "support.helper"
local weir = require "weir"

describe("cancellation", function()
  it("wakes a waiting task at once", helper.virtual(function()
    local start = weir.now()
    local t = weir.spawn(weir.sleep, 1000)
    weir.sleep(1)
    t:cancel()
    t:pawait()
    helper.elapsed(1, start)
  end))

  it("carries any value as its reason", helper.virtual(function()
    for _, reason in ipairs { "text", { "table" }, 12 } do
      local t = weir.spawn(weir.sleep, 1000)
      weir.checkpoint()
      t:cancel(reason)
      local _, err = t:pawait()
      assert.equal(reason, err.reason)
    end
  end))

  it("has its reason in the message", helper.virtual(function()
    local t = weir.spawn(weir.sleep, 1000)
    weir.checkpoint()
    t:cancel("the user left")
    local _, err = t:pawait()
    assert.is_truthy(tostring(err):find("the user left", 1, true))
  end))

  it("keeps its first reason", helper.virtual(function()
    local t = weir.spawn(weir.sleep, 1000)
    weir.checkpoint()
    t:cancel("first")
    t:cancel("second")
    local _, err = t:pawait()
    assert.equal("first", err.reason)
  end))

  it("is raised again at every wait, whatever pcall swallowed", helper.virtual(function()
    local kinds = {}
    local t = weir.spawn(function()
      for i = 1, 3 do
        local _, err = pcall(weir.sleep, 1000)
        kinds[i] = weir.kind(err)
      end
      weir.checkpoint()
      kinds[4] = "not reached"
    end)
    weir.checkpoint()
    t:cancel()
    t:pawait()
    assert.same({ "cancelled", "cancelled", "cancelled" }, kinds)
    assert.equal("cancelled", t.status)
  end))

  it("is checked before parking: such a wait takes no time and leaves no trace", helper.virtual(function()
    local sem = weir.semaphore(1)
    local held = sem:acquire()
    local seen
    local t = weir.spawn(function()
      pcall(weir.sleep, 1000)
      pcall(sem.acquire, sem)
      seen = sem.waiting
    end)
    weir.checkpoint()
    t:cancel()
    t:pawait()
    assert.equal(0, seen)
    held:release()
    assert.equal(1, sem.available)
  end))

  it("is raised by a checkpoint", helper.virtual(function()
    local t = weir.spawn(function()
      pcall(weir.sleep, 1000)
      weir.checkpoint()
    end)
    weir.checkpoint()
    t:cancel("x")
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal("x", err.reason)
  end))

  it("is not looked at by what need not wait", helper.virtual(function()
    local sem = weir.semaphore(1)
    local acquired = false
    local t = weir.spawn(function()
      pcall(weir.sleep, 1000)
      local permit <close> = sem:acquire()
      acquired = permit ~= nil
    end)
    weir.checkpoint()
    t:cancel()
    t:pawait()
    assert.is_true(acquired)
    assert.equal(1, sem.available)
  end))

  it("reaches every scope and task below, with the same reason", helper.virtual(function()
    local reasons = {}
    local function leaf(i)
      local _, err = pcall(weir.sleep, 1000)
      reasons[i] = err.reason
    end
    local t = weir.spawn(function()
      weir.spawn(leaf, 1)
      weir.scope(function(s)
        s:spawn(leaf, 2)
        s:spawn(function() weir.spawn(leaf, 3) leaf(4) end)
        leaf(5)
      end)
    end)
    weir.sleep(1)
    t:cancel("down")
    t:pawait()
    assert.same({ "down", "down", "down", "down", "down" }, reasons)
  end))

  it("does not reach siblings or parents", helper.virtual(function()
    local sibling = weir.spawn(function() weir.sleep(2) return "sibling" end)
    local t = weir.spawn(weir.sleep, 1000)
    weir.sleep(1)
    t:cancel()
    weir.sleep(0)
    assert.equal("sibling", sibling:await())
  end))

  it("wins over a grant that came in the same turn, and the permit goes to the next", helper.virtual(function()
    local sem = weir.semaphore(1)
    local held = sem:acquire()
    local got = {}
    local first = weir.spawn(function() sem:with(function() got[#got + 1] = "first" end) end)
    weir.spawn(function() sem:with(function() got[#got + 1] = "second" end) end)
    weir.checkpoint()
    held:release()
    first:cancel()
    first:pawait()
    weir.sleep(1)
    assert.same({ "second" }, got)
    assert.equal("cancelled", first.status)
    assert.equal(1, sem.available)
  end))

  it("of a waiter in a queue lets the ones behind it move up", helper.virtual(function()
    local sem = weir.semaphore(2)
    local held = sem:acquire()
    local big = weir.spawn(function() sem:with_n(2, function() end) end)
    local small = weir.spawn(function() sem:with(function() end) end)
    weir.checkpoint()
    assert.equal(2, sem.waiting)
    big:cancel()
    small:await()
    assert.equal("cancelled", big.status)
    held:release()
  end))

  it("lets a task that ignores it end in its own time", helper.virtual(function()
    local t = weir.spawn(function() pcall(weir.sleep, 1000) return "my own end" end)
    weir.checkpoint()
    t:cancel()
    local ok, value = t:pawait()
    assert.is_true(ok)
    assert.equal("my own end", value)
    assert.equal("done", t.status)
  end))

  it("by a task that is itself cancelled works", helper.virtual(function()
    local a, b
    b = weir.spawn(weir.sleep, 1000)
    a = weir.spawn(function()
      local _ <close> = helper.closing(function() b:cancel("chain") end)
      weir.sleep(1000)
    end)
    weir.sleep(1)
    a:cancel()
    local _, err = b:pawait()
    assert.equal("chain", err.reason)
  end))

  it("loses nothing in a program that uses everything", function()
    local waits = helper.cancel_everywhere(function()
      local sem = weir.semaphore(2)
      local limit = weir.limit(2)
      pcall(weir.timeout, 30, function()
        weir.all {
          function() sem:with(weir.sleep, 1) end,
          function() sem:with_n(2, weir.sleep, 1) end,
          function() local _ <close> = sem:acquire() weir.shield(1, weir.sleep, 2) end,
        }
        weir.race { function() weir.sleep(1) end, function() sem:with(weir.sleep, 5) end }
        weir.map({ 1, 2, 3, 4 }, function(i) weir.sleep(i / 4) return i end, { limit = 2 })
        weir.settle { limit(weir.sleep, 1), limit(weir.sleep, 1), limit(weir.sleep, 1) }
        weir.await(function(resume) weir.spawn(function() weir.sleep(1) resume(1) end) end)
        for _ in weir.iter { function() weir.sleep(1) end, function() weir.sleep(2) end } do weir.sleep(0.1) end
      end)
    end)
    assert.is_true(waits > 30)
  end)

  it("racing a grant comes out right under every schedule", function()
    helper.explore(function()
      local sem = weir.semaphore(1)
      local held = sem:acquire()
      local inside = 0
      local function use() sem:with(function() inside = inside + 1 weir.checkpoint() inside = inside - 1 end) end
      local a = weir.spawn(pcall, use)
      local b = weir.spawn(use)
      weir.checkpoint()
      held:release()
      a:cancel()
      a:pawait()
      b:await()
      assert.equal(0, inside)
      assert.equal(1, sem.available)
      assert.equal(0, sem.waiting)
    end)
  end)
end)
