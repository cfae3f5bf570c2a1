-- semaphore_order_spec.lua - who goes first at a semaphore: bounded bypass, priority, ageing.

local helper = require "support.helper"
local weir = require "weir"

-- Queue one task per entry of `requests` ({n=, priority=, after=}), release `held`, and give the
-- order in which they got their permits.
local function order_of(sem, held, requests)
  local order = {}
  weir.scope(function(s)
    for i, r in ipairs(requests) do
      if r.after then weir.sleep(r.after) end
      s:spawn(function()
        local p <close> = sem:acquire(r.n or 1, { priority = r.priority })
        order[#order + 1] = r.as or i
        if r.keep then weir.sleep(r.keep) end
        return p
      end)
      weir.checkpoint()
    end
    held:release()
  end)
  return order
end

describe("weir.semaphore with a bypass", function()
  it("is strict unless told", helper.virtual(function()
    local sem = weir.semaphore(3)
    local held = sem:acquire(2)
    assert.same({ "large", "small" }, order_of(sem, held, { { n = 3, as = "large" }, { n = 1, as = "small" } }))
    assert.equal(0, sem:stats().bypassed)
  end))

  it("lets those that fit pass the head, at most so often, on arrival", helper.virtual(function()
    local sem = weir.semaphore { permits = 3, bypass = 2 }
    local held = sem:acquire(2)
    local large = weir.spawn(sem.with_n, sem, 3, function() end)
    weir.checkpoint()
    for _ = 1, 2 do sem:acquire():release() end
    assert.equal(1, sem.available)
    local ok, why = sem:try_acquire()
    assert.is_false(ok)
    assert.equal("busy", why)
    assert.equal(2, sem:stats().bypassed)
    held:release()
    large:await()
  end))

  it("counts try_acquire as a pass too", helper.virtual(function()
    local sem = weir.semaphore { permits = 2, bypass = 1 }
    local held = sem:acquire()
    local large = weir.spawn(sem.with_n, sem, 2, function() end)
    weir.checkpoint()
    sem:try_acquire():release()
    assert.is_false((sem:try_acquire()))
    held:release()
    large:await()
  end))

  it("lets those behind the head pass on a release", helper.virtual(function()
    local sem = weir.semaphore { permits = 3, bypass = 1 }
    local a, b = sem:acquire(2), sem:acquire(1)
    local order = {}
    weir.scope(function(s)
      for _, n in ipairs { 3, 2, 1, 1 } do
        s:spawn(sem.with_n, sem, n, function() order[#order + 1] = n weir.sleep(1) end)
      end
      weir.checkpoint()
      b:release() -- one is free: 3 and 2 do not fit, the first 1 does and uses the pass up
      weir.checkpoint()
      assert.same({ 1 }, order)
      weir.sleep(2)
      assert.same({ 1 }, order)
      assert.equal(1, sem.available)
      a:release()
    end)
    assert.same({ 1, 3, 2, 1 }, order)
    assert.equal(1, sem:stats().bypassed)
  end))

  it("counts anew for each head", helper.virtual(function()
    local sem = weir.semaphore { permits = 2, bypass = 1 }
    for round = 1, 3 do
      local held = sem:acquire()
      local large = weir.spawn(sem.with_n, sem, 2, function() end)
      weir.checkpoint()
      sem:acquire():release()
      assert.is_false((sem:try_acquire()))
      held:release()
      large:await()
      assert.equal(round, sem:stats().bypassed)
    end
  end))

  it("bounds how long a stream of small requests can hold a large one up", helper.virtual(function()
    local sem = weir.semaphore { permits = 4, bypass = 3 }
    local before, done = 0, false
    weir.scope(function(s)
      for _ = 1, 4 do
        s:spawn(function()
          for _ = 1, 50 do
            sem:with(function() if not done then before = before + 1 end weir.sleep(1) end)
          end
        end)
      end
      weir.sleep(0.5)
      before = 0
      s:spawn(sem.with_n, sem, 4, function() done = true end)
    end)
    assert.is_true(done)
    assert.is_true(before <= 3)
  end))

  it("wakes those who fit when the head leaves", helper.virtual(function()
    local sem = weir.semaphore { permits = 2, bypass = 1 }
    local held = sem:acquire()
    local large = weir.spawn(sem.acquire, sem, 2)
    weir.checkpoint()
    sem:acquire():release()
    local small = weir.spawn(sem.with, sem, function() return "in" end)
    weir.checkpoint()
    assert.equal(2, sem.waiting)
    large:cancel()
    assert.equal("in", small:await())
    held:release()
  end))

  it("is no deadlock while the head may be passed", helper.virtual(function()
    local sem = weir.semaphore { permits = 2, bypass = 1 }
    local mine = sem:acquire()
    weir.spawn(function() sem:with(weir.sleep, 1) end)
    weir.checkpoint()
    local head = weir.spawn(sem.with_n, sem, 2, function() return "head" end) -- needs mine
    weir.checkpoint()
    local other = sem:acquire() -- passes it when the sleeper is done
    other:release()
    mine:release()
    assert.equal("head", head:await())
  end))

  it("is one once nobody may pass the head any more", helper.virtual(function()
    local sem = weir.semaphore { permits = 2, bypass = 1 }
    local mine = sem:acquire()
    weir.spawn(function() sem:with(weir.sleep, 1) end)
    weir.checkpoint()
    local head = weir.spawn(pcall, sem.with_n, sem, 2, function() end)
    weir.checkpoint()
    weir.spawn(function() sem:with(weir.sleep, 1) end) -- uses the pass up
    weir.checkpoint()
    local second = sem:acquire() -- now behind the head, which needs mine: the head is told
    assert.same({ false, "deadlock" }, (function()
      local _, ok, err = head:pawait()
      return { ok, weir.kind(err) }
    end)())
    second:release()
    mine:release()
  end))

  it("holds its bound under every schedule", function()
    helper.explore(function()
      local sem = weir.semaphore { permits = 2, bypass = 1 }
      local waits, passes = false, 0
      weir.scope(function(s)
        s:spawn(function()
          waits = sem.available < 2
          sem:with_n(2, function() waits = false end)
        end)
        for _ = 1, 2 do
          s:spawn(sem.with, sem, function()
            if waits then passes = passes + 1 end
            weir.checkpoint()
          end)
        end
      end)
      assert.is_true(passes <= 2) -- the one it waits for, and the one that passes
      assert.is_true(sem:stats().bypassed <= 1)
      assert.equal(2, sem.available)
    end, 100000)
  end)
end)

describe("weir.semaphore by priority", function()
  local function by_priority(options)
    options = options or {}
    options.permits, options.order = options.permits or 1, "priority"
    return weir.semaphore(options)
  end

  it("serves the larger priority first", helper.virtual(function()
    local sem = by_priority()
    local held = sem:acquire()
    assert.same({ 4, 2, 1, 3 }, order_of(sem, held,
      { { priority = 0 }, { priority = 5 }, { priority = -1 }, { priority = 9 } }))
  end))

  it("serves equals first come first served, and 0 is the default", helper.virtual(function()
    local sem = by_priority()
    local held = sem:acquire()
    assert.same({ 2, 4, 1, 3, 5 }, order_of(sem, held,
      { {}, { priority = 1 }, { priority = 0 }, { priority = 1 }, {} }))
  end))

  it("gives a waiter one level for each `aging` seconds", helper.virtual(function()
    local sem = by_priority { aging = 10 }
    local held = sem:acquire()
    assert.same({ 3, 1, 2 }, order_of(sem, held,
      { { priority = 0 }, { priority = 1, after = 11 }, { priority = 2, after = 5 } }))
  end))

  it("ages by a level a second unless told", helper.virtual(function()
    local sem = by_priority()
    local held = sem:acquire()
    assert.same({ 1, 2 }, order_of(sem, held, { {}, { priority = 1, after = 1.5 } }))
    held = sem:acquire()
    assert.same({ 2, 1 }, order_of(sem, held, { {}, { priority = 2, after = 1.5 } }))
  end))

  it("never ages with aging = math.huge", helper.virtual(function()
    local sem = by_priority { aging = math.huge }
    local held = sem:acquire()
    assert.same({ 2, 1 }, order_of(sem, held, { {}, { priority = 1, after = 1e6 } }))
  end))

  it("keeps its order at the largest priorities and ages", helper.virtual(function()
    local sem = by_priority { aging = 1e9 }
    local held = sem:acquire()
    assert.same({ 2, 4, 3, 1 }, order_of(sem, held, {
      { priority = -2 ^ 31 | 0 }, { priority = 2 ^ 31 - 1 | 0 }, { priority = 2 ^ 31 - 3 | 0, after = 1 },
      { priority = 2 ^ 31 - 2 | 0 },
    }))
  end))

  it("lets nobody starve", helper.virtual(function()
    local sem = by_priority()
    local served
    weir.scope(function(s)
      local noise = s:spawn(function()
        weir.scope(function(inner)
          for _ = 1, 40 do
            inner:spawn(function() sem:acquire { priority = 5 }:release() end)
            inner:spawn(function()
              local p <close> = sem:acquire { priority = 5 }
              weir.sleep(0.5)
              return p
            end)
            weir.sleep(0.5)
          end
        end)
      end)
      weir.sleep(0.2)
      local start = weir.now()
      sem:with(function() served = weir.now() - start end)
      noise:cancel()
      noise:pawait()
    end)
    -- It waits for those who came less than 5 s later, and for the one that holds.
    assert.is_true(served <= 5 + 0.5 + 1e-6, tostring(served))
  end))

  it("serves a large request before a smaller one of less priority", helper.virtual(function()
    local sem = by_priority { permits = 2 }
    local held = sem:acquire()
    local order = {}
    weir.scope(function(s)
      s:spawn(function() local _ <close> = sem:acquire(2, { priority = 1 }) order[#order + 1] = "large" end)
      weir.checkpoint()
      assert.is_false((sem:try_acquire()))
      s:spawn(function() local _ <close> = sem:acquire(1) order[#order + 1] = "small" end)
      weir.checkpoint()
      local quick <close> = sem:acquire(1, { priority = 2 }) -- before both: it need not wait
      assert.is_truthy(quick)
      held:release()
    end)
    assert.same({ "large", "small" }, order)
    assert.equal(0, sem:stats().bypassed)
  end))

  it("combines with a bypass: the best of those who fit", helper.virtual(function()
    local sem = by_priority { permits = 3, bypass = 1 }
    local a, b = sem:acquire(2), sem:acquire(1)
    local order = {}
    weir.scope(function(s)
      for _, r in ipairs { { 3, 9 }, { 1, 1 }, { 1, 2 } } do
        s:spawn(function()
          local _ <close> = sem:acquire(r[1], { priority = r[2] })
          order[#order + 1] = r[2]
          weir.sleep(1)
        end)
      end
      weir.checkpoint()
      b:release()
      weir.sleep(2)
      assert.same({ 2 }, order)
      a:release()
    end)
    assert.same({ 2, 9, 1 }, order)
  end))

  describe("set_priority", function()
    it("moves a waiter, behind those who have that priority", helper.virtual(function()
      local sem = by_priority()
      local held = sem:acquire()
      local order, tasks = {}, {}
      for i, priority in ipairs { 0, 1, 1, 2 } do
        tasks[i] = weir.spawn(function()
          local _ <close> = sem:acquire { priority = priority }
          order[#order + 1] = i
        end)
      end
      weir.checkpoint()
      assert.is_true(sem:set_priority(tasks[1], 1))
      assert.is_true(sem:set_priority(tasks[4], -5))
      held:release()
      for _, t in ipairs(tasks) do t:await() end
      assert.same({ 2, 3, 1, 4 }, order)
    end))

    it("serves a request that fits and is the first now", helper.virtual(function()
      local sem = by_priority { permits = 2 }
      local held = sem:acquire()
      local large = weir.spawn(sem.with_n, sem, 2, function() end)
      local small = weir.spawn(sem.with, sem, function() return "in" end)
      weir.checkpoint()
      assert.equal(2, sem.waiting)
      sem:set_priority(small, 1)
      assert.equal("in", small:await())
      held:release()
      large:await()
    end))

    it("says false for a task that does not wait there", helper.virtual(function()
      local sem, other = by_priority(), by_priority()
      local held = sem:acquire()
      local there = weir.spawn(sem.with, sem, function() end)
      local elsewhere = weir.spawn(weir.sleep, 1)
      weir.checkpoint()
      assert.is_false(other:set_priority(there, 1))
      assert.is_false(sem:set_priority(elsewhere, 1))
      held:release()
      assert.is_false(sem:set_priority(there, 1)) -- granted, not yet run
      there:await()
      assert.is_false(sem:set_priority(there, 1))
    end))
  end)

  it("leaves the queue from the middle by timeout and by cancel", helper.virtual(function()
    local sem = by_priority()
    local held = sem:acquire()
    local tasks = {}
    for i = 1, 9 do
      tasks[i] = weir.spawn(function()
        local ok, p = pcall(sem.acquire, sem, { priority = i % 3, timeout = i % 2 == 0 and i or nil })
        if ok then p:release() end
      end)
    end
    weir.sleep(5)
    assert.equal(7, sem.waiting)
    tasks[5]:cancel()
    assert.equal(6, sem.waiting)
    held:release()
    for i = 1, 9 do tasks[i]:pawait() end
    assert.equal(1, sem.available)
    local rejects = sem:stats().rejects
    assert.equal(2, rejects.timeout)
    assert.equal(1, rejects.cancelled)
  end))

  it("fails what a resize makes impossible and closes in order of arrival", helper.virtual(function()
    local sem = by_priority { permits = 3 }
    local held = sem:acquire(3)
    local ended, tasks = {}, {}
    for i, n in ipairs { 1, 3, 2 } do
      tasks[i] = weir.spawn(function()
        local _, err = pcall(sem.acquire, sem, n, { priority = i })
        ended[#ended + 1] = i .. weir.kind(err)
      end)
    end
    weir.checkpoint()
    sem:resize(2)
    weir.checkpoint()
    assert.same({ "2impossible" }, ended)
    sem:close()
    for _, t in ipairs(tasks) do t:await() end
    assert.same({ "2impossible", "1closed", "3closed" }, ended)
    held:release()
  end))

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      local sem = by_priority { permits = 2, bypass = 1 }
      weir.scope(function(s)
        for i = 1, 5 do
          s:spawn(function()
            local ok, p = pcall(sem.acquire, sem, 1 + i % 2, { priority = i % 3, timeout = i == 4 and 0.5 or nil })
            if not ok then return end
            local _ <close> = p
            weir.sleep(1)
          end)
        end
        local t = s:spawn(sem.with, sem, function() end)
        weir.checkpoint()
        sem:set_priority(t, 7)
        sem:resize(3)
      end)
      assert(sem.available == 3 and sem.waiting == 0)
    end)
  end)

  it("gives everything back whichever allocation fails", function()
    helper.fail_allocations(function()
      local sem = by_priority { permits = 2 }
      weir.scope(function(s)
        for i = 1, 4 do
          s:spawn(function()
            local p <close> = sem:acquire(2, { priority = i })
            local q <close> = p:split(1)
            weir.checkpoint()
            return q
          end)
        end
      end)
    end)
  end)

  it("serves all under every schedule", function()
    helper.explore(function()
      local sem = by_priority()
      local served = 0
      weir.scope(function(s)
        for i = 1, 3 do
          s:spawn(function()
            local p <close> = sem:acquire { priority = i }
            served = served + 1
            weir.checkpoint()
            return p
          end)
        end
      end)
      assert.equal(3, served)
      assert.equal(1, sem.available)
    end, 100000)
  end)

  it("finds a deadlock behind a request of more priority", helper.virtual(function()
    local sem = by_priority { permits = 2 }
    local held = sem:acquire()
    local first = weir.spawn(sem.with_n, sem, 2, function() end)
    weir.checkpoint()
    local ok, err = pcall(sem.acquire, sem, 2, { priority = 1 })
    assert.is_false(ok)
    assert.equal("deadlock", weir.kind(err))
    held:release()
    first:await()
  end))
end)

describe("weir.semaphore's order", function()
  local function misuse(text, fn, ...)
    local err = helper.error("misuse", fn, ...)
    assert.is_truthy(tostring(err):find(text, 1, true), tostring(err))
  end

  it("refuses wrong options", helper.virtual(function()
    misuse("order", weir.semaphore, { permits = 1, order = "lifo" })
    misuse("order", weir.semaphore, { permits = 1, order = 1 })
    misuse("bypass", weir.semaphore, { permits = 1, bypass = -1 })
    misuse("bypass", weir.semaphore, { permits = 1, bypass = 0.5 })
    misuse("bypass", weir.semaphore, { permits = 1, bypass = "1" })
    misuse("aging", weir.semaphore, { permits = 1, order = "priority", aging = 0 })
    misuse("aging", weir.semaphore, { permits = 1, order = "priority", aging = 0 / 0 })
    misuse("aging", weir.semaphore, { permits = 1, aging = 1 })
    misuse("max_waiting", weir.semaphore, { permits = 1, max_waiting = -1 })
    misuse("ageing", weir.semaphore, { permits = 1, ageing = 1 })
  end))

  it("refuses wrong priorities, and priorities where there are none", helper.virtual(function()
    local sem, fifo = weir.semaphore { permits = 1, order = "priority" }, weir.semaphore(1)
    misuse("priority", sem.acquire, sem, { priority = 0.5 })
    misuse("priority", sem.acquire, sem, { priority = "1" })
    misuse("priority", sem.acquire, sem, { priority = 2 ^ 31 | 0 })
    misuse("priority", sem.acquire, sem, { priority = 0 / 0 })
    misuse("priority", fifo.acquire, fifo, { priority = 1 })
    local t = weir.spawn(weir.sleep, 1)
    misuse("task", sem.set_priority, sem, 1, 1)
    misuse("priority", sem.set_priority, sem, t)
    misuse("priority", sem.set_priority, sem, t, "x")
    misuse("priority", fifo.set_priority, fifo, t, 1)
    assert.equal(1, sem.available)
  end))
end)
