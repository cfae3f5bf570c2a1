-- semaphore_overload_spec.lua - a full queue and its retry_after, what is seen of a semaphore, resized.

local helper = require "support.helper"
local weir = require "weir"

local function near(want, got)
  assert.is_true(math.abs(want - got) <= want * 0.05 + 1e-9, ("expected about %g, got %g"):format(want, got))
end

-- `n` tasks that hold `weight` for `hold` seconds, `times` times.
local function load(s, sem, n, weight, hold, times)
  for _ = 1, n do
    s:spawn(function()
      for _ = 1, times or 1 do sem:with_n(weight, weir.sleep, hold) end
    end)
  end
end

describe("weir.semaphore's max_waiting", function()
  it("of 0 never queues", helper.virtual(function()
    local sem = weir.semaphore { permits = 1, max_waiting = 0 }
    local p = sem:acquire()
    helper.error("overload", sem.acquire, sem)
    helper.error("overload", sem.with, sem, function() end)
    p:release()
    sem:acquire():release()
    assert.equal(2, sem:stats().rejects.overload)
  end))

  it("says when to try again: the queue, its weight, at the rate at which permits come back", helper.virtual(function()
    local sem = weir.semaphore { permits = 4, max_waiting = 6 }
    weir.scope(function(s)
      load(s, sem, 10, 1, 2, 20) -- 4 at once, 6 wait: two a second
      weir.sleep(20.5)
      local err = helper.error("overload", sem.acquire, sem)
      near((6 + 1) / 2, err.retry_after)
      err = helper.error("overload", sem.acquire, sem, 3)
      near((6 + 3) / 2, err.retry_after)
      s:cancel()
    end)
  end))

  it("follows the recent rate, not that of all times", helper.virtual(function()
    local sem = weir.semaphore { permits = 1, max_waiting = 2 }
    local hold = 0.01
    weir.scope(function(s)
      for _ = 1, 3 do
        s:spawn(function() for _ = 1, 300 do sem:with(weir.sleep, hold) end end)
      end
      weir.sleep(2.005)
      near(0.03, helper.error("overload", sem.acquire, sem).retry_after)
      hold = 1
      weir.sleep(100)
      near(3, helper.error("overload", sem.acquire, sem).retry_after)
      s:cancel()
    end)
  end))

  it("counts a stall as time in which nothing came back", helper.virtual(function()
    local sem = weir.semaphore { permits = 1, max_waiting = 1 }
    weir.scope(function(s)
      load(s, sem, 2, 1, 0.1, 10)
      weir.sleep(0.55)
      s:cancel()
    end)
    weir.scope(function(s)
      load(s, sem, 2, 1, 1000)
      weir.checkpoint()
      local soon = helper.error("overload", sem.acquire, sem).retry_after
      weir.sleep(500)
      local late = helper.error("overload", sem.acquire, sem).retry_after
      assert.is_true(soon < 1 and late > 50, soon .. " " .. late)
      s:cancel()
    end)
  end))

  it("without a queue goes by recent hold times", helper.virtual(function()
    local sem = weir.semaphore { permits = 2, max_waiting = 0 }
    for _ = 1, 40 do sem:with(weir.sleep, 10) end
    for _ = 1, 60 do sem:with(weir.sleep, 1) end
    local p <close> = sem:acquire(2)
    assert.is_truthy(p)
    near(0.5, helper.error("overload", sem.acquire, sem).retry_after)
    near(1, helper.error("overload", sem.acquire, sem, 2).retry_after)
  end))

  it("before the first release goes by the age of the oldest permit", helper.virtual(function()
    local sem = weir.semaphore { permits = 1, max_waiting = 0 }
    local p <close> = sem:acquire()
    assert.is_truthy(p)
    assert.equal(0, helper.error("overload", sem.acquire, sem).retry_after)
    weir.sleep(3)
    near(3, helper.error("overload", sem.acquire, sem).retry_after)
  end))
end)

describe("semaphore:stats", function()
  it("shows the queue: weight and the age of the oldest", helper.virtual(function()
    local sem = weir.semaphore { permits = 2, name = "db" }
    local p = sem:acquire(2)
    assert.equal(0, sem:stats().oldest_wait)
    weir.scope(function(s)
      s:spawn(sem.with_n, sem, 2, function() end)
      weir.sleep(3)
      s:spawn(sem.with, sem, function() end)
      weir.sleep(1)
      local stats = sem:stats()
      assert.equal(3, stats.queued_weight)
      assert.equal(2, stats.waiting)
      assert.is_true(math.abs(stats.oldest_wait - 4) < 1e-6)
      assert.equal("db", stats.name)
      assert.equal(0, stats.bypassed)
      p:release()
    end)
    local stats = sem:stats()
    assert.equal(0, stats.queued_weight)
    assert.equal(0, stats.oldest_wait)
    assert.equal(2, stats.wait.count)
    assert.is_true(math.abs(stats.wait.max - 4) < 1e-6)
  end))

  it("counts a timeout of 0 as one", helper.virtual(function()
    local sem = weir.semaphore(1)
    local p <close> = sem:acquire()
    assert.is_truthy(p)
    helper.error("timeout", sem.acquire, sem, { timeout = 0 })
    assert.equal(1, sem:stats().rejects.timeout)
  end))
end)

describe("semaphore:resized", function()
  it("returns at once without a debt", helper.virtual(function()
    local sem = weir.semaphore(2)
    local p <close> = sem:acquire(2)
    assert.is_truthy(p)
    local start = weir.now()
    sem:resized()
    sem:resize(5)
    sem:resized()
    helper.elapsed(0, start)
  end))

  it("waits until no more is held than the capacity", helper.virtual(function()
    local sem = weir.semaphore(4)
    weir.scope(function(s)
      for i = 1, 4 do s:spawn(sem.with, sem, weir.sleep, i) end
      weir.checkpoint()
      sem:resize(2)
      assert.equal(-2, sem.available)
      local start = weir.now()
      sem:resized()
      helper.elapsed(2, start)
      assert.equal(0, sem.available)
    end)
  end))

  it("ends also when the capacity grows again", helper.virtual(function()
    local sem = weir.semaphore(3)
    local p = sem:acquire(3)
    sem:resize(1)
    local t = weir.spawn(sem.resized, sem)
    weir.checkpoint()
    assert.equal("waiting", t.status)
    sem:resize(3)
    t:await()
    p:release()
  end))

  it("serves nobody new while there is a debt", helper.virtual(function()
    local sem = weir.semaphore(2)
    local order = {}
    local a, b = sem:acquire(), sem:acquire()
    sem:resize(1)
    weir.scope(function(s)
      s:spawn(function() sem:with(function() order[#order + 1] = "in" end) end)
      s:spawn(function() sem:resized() order[#order + 1] = "resized" end)
      weir.checkpoint()
      a:release()
      weir.checkpoint()
      assert.same({ "resized" }, order)
      b:release()
    end)
    assert.same({ "resized", "in" }, order)
  end))

  it("takes a timeout, and is a deadlock for who holds the debt", helper.virtual(function()
    local sem = weir.semaphore { permits = 2, name = "small" }
    local p = sem:acquire(2)
    sem:resize(1)
    helper.error("timeout", sem.resized, sem, 1)
    helper.error("deadlock", sem.resized, sem)
    helper.error("misuse", sem.resized, sem, -1)
    p:release()
    sem:resized()
  end))

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      local sem = weir.semaphore(3)
      weir.scope(function(s)
        for i = 1, 3 do s:spawn(sem.with, sem, weir.sleep, i) end
        weir.checkpoint()
        sem:resize(1)
        s:spawn(sem.resized, sem)
        sem:resized()
        sem:drain()
      end)
    end)
  end)
end)
