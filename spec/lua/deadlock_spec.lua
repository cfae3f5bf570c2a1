-- deadlock_spec.lua - waits that nobody can end raise `deadlock` at once and name the cycle.

local helper = require "support.helper"
local weir = require "weir"

describe("deadlock", function()
  -- Two tasks that take two semaphores in opposite order; gives the outcomes in spawn order.
  local function opposite_order()
    local a = weir.semaphore { permits = 1, name = "left" }
    local b = weir.semaphore { permits = 1, name = "right" }
    local function take(first, second)
      return function()
        local _ <close> = first:acquire()
        weir.sleep(1)
        local _ <close> = second:acquire()
      end
    end
    local out = weir.settle { take(a, b), take(b, a) }
    return out, a, b
  end

  it("is raised in the task whose wait closes the cycle, and the other goes on", helper.virtual(function()
    local start = weir.now()
    local out, a, b = opposite_order()
    assert.is_true(out[1].ok)
    assert.is_false(out[2].ok)
    assert.equal("deadlock", weir.kind(out[2].error))
    assert.equal(1, a.available)
    assert.equal(1, b.available)
    helper.elapsed(1, start)
  end))

  it("names what the tasks of the cycle wait for and where they were spawned", helper.virtual(function()
    local out = opposite_order()
    local text = tostring(out[2].error) .. "\n" .. tostring(out[2].error.traceback)
    assert.is_truthy(text:find("left", 1, true), text)
    assert.is_truthy(text:find("right", 1, true), text)
    assert.is_truthy(text:find("deadlock_spec.lua:", 1, true), text)
  end))

  it("is raised for a second permit of a semaphore that one holds alone", helper.virtual(function()
    local sem = weir.semaphore(1)
    local permit <close> = sem:acquire()
    assert.is_truthy(permit)
    helper.error("deadlock", sem.acquire, sem)
    assert.equal(0, sem.waiting)
  end))

  it("is raised for a nested with", helper.virtual(function()
    local sem = weir.semaphore(1)
    helper.error("deadlock", sem.with, sem, function() sem:with(function() end) end)
    assert.equal(1, sem.available)
  end))

  it("is not raised while another holder can still release", helper.virtual(function()
    local sem = weir.semaphore(2)
    weir.spawn(function() sem:with(weir.sleep, 5) end)
    weir.checkpoint()
    local start = weir.now()
    local first <close> = sem:acquire()
    local second <close> = sem:acquire()
    assert.is_truthy(first and second)
    helper.elapsed(5, start)
  end))

  it("is raised for awaiting oneself", helper.virtual(function()
    local t
    t = weir.spawn(function() helper.error("deadlock", t.await, t) end)
    t:await()
  end))

  it("is raised for two tasks that await each other", helper.virtual(function()
    local a, b
    a = weir.spawn(function() b:pawait() end)
    b = weir.spawn(function() return pcall(a.await, a) end)
    local ok, err = b:await()
    assert.is_false(ok)
    assert.equal("deadlock", weir.kind(err))
    a:await()
  end))

  it("is raised for a child that awaits its parent", function()
    local r = helper.simulate(function()
      local parent
      parent = weir.spawn(function() weir.spawn(function() parent:await() end) end)
      parent:await()
    end)
    assert.is_false(r.ok)
    assert.equal("deadlock", weir.kind(r.error))
    assert.equal(0, r.time)
  end)

  it("is raised in the task that needs what the one who awaits it holds", helper.virtual(function()
    local sem = weir.semaphore(1)
    local _ <close> = sem:acquire()
    local t = weir.spawn(function() return pcall(sem.acquire, sem) end)
    local ok, err = t:await()
    assert.is_false(ok)
    assert.equal("deadlock", weir.kind(err))
  end))

  it("is found again when a holder parks after the waiter did", helper.virtual(function()
    local sem = weir.semaphore(1)
    local permit = sem:acquire()
    local waiter = weir.spawn(function() sem:with(function() end) end)
    weir.sleep(1)
    helper.error("deadlock", waiter.await, waiter)
    permit:release()
    waiter:await()
  end))

  it("is raised for draining what one holds", helper.virtual(function()
    local sem = weir.semaphore(1)
    local permit <close> = sem:acquire()
    assert.is_truthy(permit)
    helper.error("deadlock", sem.drain, sem)
  end))

  it("is raised for a job that waits for a job of the same full limit", helper.virtual(function()
    local limit = weir.limit(1)
    local job = limit(function() return limit(function() end):await() end)
    local ok, err = job:pawait()
    assert.is_false(ok)
    assert.equal("deadlock", weir.kind(err))
  end))

  it("is raised for more than the others hold and is free", helper.virtual(function()
    local sem = weir.semaphore(2)
    weir.spawn(function() sem:with(weir.sleep, 5) end)
    local permit <close> = sem:acquire()
    assert.is_truthy(permit)
    weir.checkpoint()
    local start = weir.now()
    helper.error("deadlock", sem.acquire, sem, 2)
    helper.elapsed(0, start)
  end))

  it("is checked again when a holder gives back too little", helper.virtual(function()
    local sem = weir.semaphore(3)
    local waiter, given
    local awaiting = weir.spawn(function()
      local _ <close> = sem:acquire()
      weir.sleep(1)
      local ok, err = waiter:await()
      given:release()
      return ok, err
    end)
    weir.spawn(function()
      local kept
      kept, given = sem:acquire(), sem:acquire()
      weir.sleep(2)
      given:transfer(awaiting)
      kept:release() -- one is free now; the two others are with the one who waits for the waiter
    end)
    waiter = weir.spawn(function()
      weir.sleep(1.5)
      return pcall(sem.acquire, sem, 2)
    end)
    local start = weir.now()
    local ok, err = awaiting:await()
    assert.is_false(ok)
    assert.equal("deadlock", weir.kind(err))
    helper.elapsed(2, start)
  end))

  it("is raised for a wait behind one that waits for the waiter itself", helper.virtual(function()
    local sem = weir.semaphore(2)
    local out = weir.settle {
      function()
        local _ <close> = sem:acquire()
        weir.sleep(1)
        return (sem:with(function() return "served" end)) -- one is free, but the other stands before
      end,
      function()
        weir.checkpoint()
        sem:with_n(2, function() end)
      end,
    }
    assert.is_false(out[1].ok)
    assert.equal("deadlock", weir.kind(out[1].error))
    assert.is_true(out[2].ok)
  end))

  it("is checked again when a holder ends", helper.virtual(function()
    local sem = weir.semaphore(2)
    local a, b
    a = weir.spawn(function()
      local _ <close> = sem:acquire()
      weir.sleep(1)
      return pcall(sem.acquire, sem, 2)
    end)
    b = weir.spawn(function() sem:with(weir.sleep, 3) end)
    b:await()
    local ok, err = a:await()
    assert.is_false(ok)
    assert.equal("deadlock", weir.kind(err))
  end))

  describe("with a way out", function()
    it("is not raised for a wait with a timeout of its own", helper.virtual(function()
      local sem = weir.semaphore(1)
      local permit <close> = sem:acquire()
      assert.is_truthy(permit)
      local start = weir.now()
      helper.error("timeout", sem.acquire, sem, { timeout = 3 })
      helper.elapsed(3, start)
    end))

    it("is raised although a deadline of a scope would end it", helper.virtual(function()
      local sem = weir.semaphore(1)
      local permit <close> = sem:acquire()
      assert.is_truthy(permit)
      local start = weir.now()
      helper.error("deadlock", weir.timeout, 3, sem.acquire, sem)
      helper.elapsed(0, start)
    end))

    it("is not raised while the holder sleeps", helper.virtual(function()
      local sem = weir.semaphore(1)
      weir.spawn(function() sem:with(weir.sleep, 5) end)
      weir.checkpoint()
      sem:with(function() end)
    end))

    it("is not raised while the holder waits for a callback", helper.virtual(function()
      local sem = weir.semaphore(1)
      local keep
      weir.spawn(function() sem:with(weir.await, function(resume) keep = resume end) end)
      weir.checkpoint()
      weir.daemon(function() weir.sleep(1) keep() end)
      sem:with(function() end)
    end))

    it("is not raised while the holder is ready to run", helper.virtual(function()
      local sem = weir.semaphore(1)
      weir.spawn(function()
        local _ <close> = sem:acquire()
        weir.checkpoint()
        weir.checkpoint()
      end)
      weir.checkpoint()
      sem:with(function() end)
    end))

    it("is not raised for a race of which one branch can end", helper.virtual(function()
      local sem = weir.semaphore(1)
      local permit <close> = sem:acquire()
      assert.is_truthy(permit)
      local winner = weir.race {
        function() sem:with(function() end) return "never" end,
        function() weir.sleep(1) return "slept" end,
      }
      assert.equal("slept", winner)
    end))

    it("is not raised for an any of which one branch can end", helper.virtual(function()
      local sem = weir.semaphore(1)
      local permit <close> = sem:acquire()
      assert.is_truthy(permit)
      local winner = weir.any {
        function() sem:with(function() end) return "never" end,
        function() weir.sleep(1) return "slept" end,
      }
      assert.equal("slept", winner)
    end))
  end)

  it("is raised by all when one branch can never end", helper.virtual(function()
    local sem = weir.semaphore(1)
    local permit <close> = sem:acquire()
    assert.is_truthy(permit)
    helper.error("deadlock", weir.all, {
      function() sem:with(function() end) end,
      function() weir.sleep(1) end,
    })
  end))

  it("gives everything back", function()
    local r = helper.simulate(function()
      local sem = weir.semaphore(1)
      local _ <close> = sem:acquire()
      weir.scope(function(s)
        s:spawn(function() sem:with(function() end) end)
        s:spawn(function() sem:with(function() end) end)
      end)
    end)
    assert.is_false(r.ok)
    assert.equal("deadlock", weir.kind(r.error))
  end)

  it("is not invented under any schedule", function()
    helper.explore(function()
      local sem = weir.semaphore(1)
      weir.all {
        function() sem:with(weir.checkpoint) end,
        function() sem:with(weir.checkpoint) end,
      }
    end)
  end)

  it("is found under every schedule", function()
    helper.explore(function()
      local a, b = weir.semaphore(1), weir.semaphore(1)
      local function take(first, second)
        return function()
          local _ <close> = first:acquire()
          weir.sleep(1)
          local _ <close> = second:acquire()
        end
      end
      local out = weir.settle { take(a, b), take(b, a) }
      local failed = 0
      for i = 1, 2 do
        if not out[i].ok then
          failed = failed + 1
          assert.equal("deadlock", weir.kind(out[i].error))
        end
      end
      assert.equal(1, failed)
    end)
  end)
end)
