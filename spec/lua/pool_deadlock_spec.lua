-- pool_deadlock_spec.lua - waits for a pool that nobody can end.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

describe("weir.pool", function()
  it("names the cycle of two tasks that hold what the other wants", helper.virtual(function()
    local left = server():pool { max = 1, name = "left" }
    local right = server():pool { max = 1, name = "right" }
    local function take(first, second)
      return function()
        local a <close> = first:acquire()
        weir.sleep(1)
        local b <close> = second:acquire()
        return a.held and b.held
      end
    end
    local start = weir.now()
    local one = weir.spawn(pcall, take(left, right))
    local two = weir.spawn(pcall, take(right, left))
    local ok1, err1 = one:await()
    local ok2, err2 = two:await()
    helper.elapsed(1, start)
    assert.is_true(ok1 ~= ok2, "one fails, the other goes on")
    local err = ok1 and err2 or err1
    assert.equal("deadlock", weir.kind(err))
    assert.is_truthy(tostring(err):find("waits in pool:acquire 'left'", 1, true), tostring(err))
    assert.is_truthy(tostring(err):find("waits in pool:acquire 'right'", 1, true))
  end))

  it("sees that a task waits for what it holds itself", helper.virtual(function()
    local pool = server():pool { max = 1, name = "db" }
    local lease = pool:acquire()
    local start = weir.now()
    local err = helper.error("deadlock", pool.acquire, pool)
    assert.equal("db", err.name)
    helper.error("deadlock", pool.with, pool, function() end)
    helper.error("deadlock", pool.drain, pool)
    helper.elapsed(0, start)
    assert.equal(0, pool.waiting)
    lease:release()
  end))

  it("counts on a timeout given at the call, not on the pool's own or a deadline", helper.virtual(function()
    local pool = server():pool { max = 1, acquire_timeout = 3 }
    local lease <close> = pool:acquire()
    assert.is_true(lease.held)
    helper.error("timeout", pool.acquire, pool, { timeout = 1 })
    helper.error("deadlock", pool.acquire, pool)
    helper.error("deadlock", weir.timeout, 5, pool.acquire, pool)
  end))

  it("goes through semaphores and joins", helper.virtual(function()
    local pool = server():pool { max = 1 }
    local sem = weir.semaphore(1)
    local ok, err = pcall(pool.with, pool, function()
      weir.scope(function(scope)
        scope:spawn(function()
          local _ <close> = sem:acquire()
          pool:with(function() end)
        end)
      end)
    end)
    assert.is_false(ok)
    assert.equal("deadlock", weir.kind(err))
    assert.equal(1, sem.available)
  end))

  it("sees a holder that parks after the others wait", helper.virtual(function()
    local pool = server():pool { max = 1 }
    local sem = weir.semaphore(1)
    local waiter = weir.spawn(function()
      local _ <close> = sem:acquire()
      weir.sleep(1)
      return pcall(pool.acquire, pool)
    end)
    local holder = weir.spawn(function()
      local _ <close> = pool:acquire()
      weir.sleep(2)
      return pcall(sem.acquire, sem)
    end)
    local ok, err = holder:await()
    assert.is_false(ok)
    assert.equal("deadlock", weir.kind(err))
    assert.is_true((waiter:await()))
  end))

  it("is none while one is being made, checked or destroyed", helper.virtual(function()
    local s = server { create = 4, check = 4, destroy = 4 }
    local pool = s:pool { max = 2, check = true, check_idle = 0 }
    local lease = pool:acquire()
    pool:acquire():discard()
    local other = pool:acquire() -- destroyed, then made
    other:release()
    pool:acquire():release() -- checked
    lease:release()
    pool:with(function() end)
  end))

  it("is none while a dial waits for its time", helper.virtual(function()
    local s = server { create = 0.1 }
    local pool = s:pool { max = 2, open_after = 0, backoff = 5, max_backoff = 5 }
    local lease <close> = pool:acquire()
    s.refuses = "no"
    pcall(pool.acquire, pool)
    s.refuses = nil
    local start = weir.now()
    pool:acquire():release()
    assert.is_true(weir.now() - start > 1 and lease.held)
  end))

  it("does not hide, by going on for ever, that nothing else can happen", function()
    for _, options in ipairs {
      { min = 2, max_lifetime = 10 }, { keep_alive = 10, check = true, idle_timeout = math.huge },
    } do
      local s = server { create = 0.1 }
      local r = helper.simulate(function()
        local pool = s:pool(options)
        pool:acquire():release()
        weir.sleep(100)
        weir.await(function() end)
      end)
      assert.is_false(r.ok)
      assert.equal("deadlock", weir.kind(r.error))
      assert.is_true(r.time < 200)
      assert.equal(0, s.open)
    end
  end)

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      local a, b = server():pool { max = 1 }, server():pool { max = 1 }
      pcall(weir.scope, function(scope)
        scope:spawn(function() local _ <close> = a:acquire() weir.sleep(1) b:with(weir.checkpoint) end)
        scope:spawn(function() local _ <close> = b:acquire() weir.sleep(1) a:with(weir.checkpoint) end)
      end)
      assert(a.active == 0 and b.active == 0 and a.waiting == 0 and b.waiting == 0)
    end)
  end)
end)
