-- pool_spec.lua - weir.pool: what is lent to whom, how many are made, leases.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

describe("weir.pool", function()
  describe("acquire", function()
    it("makes one when none is idle, and lends it again", helper.virtual(function()
      local s = server { create = 0.1 }
      local pool = s:pool()
      local start = weir.now()
      local lease = pool:acquire()
      helper.elapsed(0.1, start)
      local first = lease.value
      lease:release()
      local again <close> = pool:acquire()
      helper.elapsed(0.1, start)
      assert.equal(first, again.value)
      assert.equal(1, s.made)
    end))

    it("makes nothing before it is asked", helper.virtual(function()
      local s = server()
      s:pool()
      weir.sleep(100)
      assert.equal(0, s.dialled)
    end))

    it("never has more than max", helper.virtual(function()
      local s = server { create = 0.05, destroy = 0.2 }
      local pool = s:pool { max = 3, max_uses = 2 }
      weir.scope(function(scope)
        for _ = 1, 30 do
          scope:spawn(function()
            local lease <close> = pool:acquire()
            assert.is_true(lease.value.open)
            assert.is_true(pool.total <= 3)
            weir.sleep(0.1)
          end)
        end
      end)
      assert.is_true(s.most <= 3)
      assert.equal(30, pool:stats().grants)
    end))

    it("gives what comes back to who waits longest", helper.virtual(function()
      local s = server()
      local pool = s:pool { max = 1 }
      local got = {}
      local lease = pool:acquire()
      for i = 1, 3 do
        weir.spawn(function()
          local mine <close> = pool:acquire()
          got[#got + 1] = i
          assert.is_true(mine.held)
        end)
      end
      weir.checkpoint()
      lease:release()
      helper.error("timeout", pool.acquire, pool, { timeout = 0 }) -- nobody gets between
      weir.sleep(1)
      assert.same({ 1, 2, 3 }, got)
    end))

    it("gives what comes back to who waits for a create that is still on its way", helper.virtual(function()
      local s = server { create = 10 }
      local pool = s:pool { create_timeout = 20 }
      local first = pool:acquire()
      local start = weir.now()
      local t = weir.spawn(function()
        local lease <close> = pool:acquire()
        return lease.value.id
      end)
      weir.sleep(1)
      assert.equal(1, pool.connecting)
      first:release()
      assert.equal(1, t:await())
      helper.elapsed(1, start)
      weir.sleep(10)
      assert.equal(2, s.made, "the create that nobody waits for any more is kept")
      assert.equal(2, pool.idle)
    end))

    it("lends the one used last, or the one idle longest", helper.virtual(function()
      for order, expected in pairs { lifo = 2, fifo = 1 } do
        local pool = server():pool { order = order }
        local a, b = pool:acquire(), pool:acquire()
        a:release()
        b:release()
        assert.equal(expected, pool:with(function(c) return c.id end))
      end
    end))

    it("takes a timeout, of which 0 is now or never", helper.virtual(function()
      local pool = server { create = 1 }:pool { max = 1 }
      local start = weir.now()
      helper.error("timeout", pool.acquire, pool, { timeout = 0 })
      helper.error("timeout", pool.acquire, pool, 0)
      assert.equal(0, pool.connecting, "nothing is begun for who does not wait")
      local lease = pool:acquire()
      helper.elapsed(1, start)
      helper.error("timeout", pool.acquire, pool, { timeout = 2 })
      helper.elapsed(3, start)
      lease:release()
      pool:acquire { timeout = 0 }:release()
      assert.equal(3, pool:stats().rejects.timeout)
    end))

    it("waits for acquire_timeout unless told otherwise", helper.virtual(function()
      local pool = server():pool { max = 1, acquire_timeout = 7 }
      weir.spawn(pool.with, pool, function() weir.sleep(1000) end)
      weir.sleep(1)
      local start = weir.now()
      helper.error("timeout", pool.acquire, pool)
      helper.elapsed(7, start)
      helper.error("timeout", pool.with, pool, function() end)
      helper.elapsed(14, start)
      helper.error("timeout", weir.timeout, 100, pool.acquire, pool, { timeout = math.huge })
      helper.elapsed(114, start)
    end))

    it("says in one line why there was none", helper.virtual(function()
      local pool = server():pool { max = 2, name = "db" }
      local a <close> = pool:acquire()
      local b <close> = pool:acquire()
      assert.is_true(a.held and b.held)
      for _ = 1, 3 do weir.spawn(function() pool:acquire { timeout = 1 }:release() end) end
      weir.checkpoint()
      local err = helper.error("timeout", pool.acquire, pool, { timeout = 0.5 })
      assert.equal("pool 'db': timed out after 0.5 s: 2 of 2 leased, 0 idle, 0 connecting, 3 waiting", tostring(err))
      assert.equal("pool:acquire", err.op)
      assert.equal("db", err.name)
      a:release()
      b:release()
    end))

    it("gives way to a cancel, and hands on what it was given in that moment", helper.virtual(function()
      local pool = server():pool { max = 1 }
      local lease = pool:acquire()
      local first = weir.spawn(pool.acquire, pool)
      local second = weir.spawn(pool.with, pool, function(c) return c.id end)
      weir.checkpoint()
      lease:release() -- granted to the first
      first:cancel()
      assert.equal(1, second:await())
      assert.equal("cancelled", first.status)
      assert.equal(1, pool.idle)
    end))

    it("raises cancelled in a cancelled scope, if it had to wait", helper.virtual(function()
      local pool = server():pool { max = 1 }
      pool:acquire():release()
      weir.scope(function(scope)
        scope:cancel("enough")
        local lease = pool:acquire() -- idle: an operation that need not wait does not look
        assert.equal("enough", helper.error("cancelled", pool.acquire, pool).reason)
        lease:release()
      end)
    end))
  end)

  describe("try_acquire", function()
    it("gives a lease or says why not, and never waits", helper.virtual(function()
      local pool = server():pool { max = 1 }
      assert.same({ false, "busy", n = 2 }, table.pack(pool:try_acquire()))
      assert.equal(0, pool.connecting)
      pool:acquire():release()
      local lease = pool:try_acquire()
      assert.equal(1, lease.value.id)
      assert.same({ false, "busy", n = 2 }, table.pack(pool:try_acquire()))
      lease:release()
      pool:close()
      assert.same({ false, "closed", n = 2 }, table.pack(pool:try_acquire()))
      assert.equal(2, pool:stats().rejects.busy)
    end))
  end)

  describe("with", function()
    it("passes the value and the arguments, and returns what fn returns", helper.virtual(function()
      local pool = server():pool()
      local results = table.pack(pool:with(function(c, ...)
        assert.is_true(c.open)
        assert.equal(1, pool.active)
        return c.id, ...
      end, nil, 2, nil))
      assert.same({ 1, nil, 2, nil, n = 4 }, results)
      assert.equal(0, pool.active)
    end))

    it("gives it back on an error, which passes unchanged", helper.virtual(function()
      local pool = server():pool { max = 1 }
      local mine = {}
      local ok, err = pcall(pool.with, pool, function() error(mine) end)
      assert.is_false(ok)
      assert.equal(mine, err)
      assert.equal(0, pool.active)
    end))

    it("holds it until the cleanup inside is done", helper.virtual(function()
      local pool = server():pool { max = 1 }
      local seen
      local t = weir.spawn(pool.with, pool, function()
        local _ <close> = helper.closing(function() weir.shield(weir.sleep, 1) seen = pool.active end)
        weir.sleep(100)
      end)
      weir.sleep(1)
      t:cancel()
      t:pawait()
      assert.equal(1, seen)
      assert.equal(0, pool.active)
    end))

    it("works where nothing can yield, if one is idle", helper.virtual(function()
      local pool = server():pool()
      pool:with(function() end)
      local n = 0
      table.sort({ 2, 1 }, function(a, b) n = n + pool:with(function(c) return c.id end) return a < b end)
      assert.is_true(n > 0)
    end))

    it("is a checkpoint every hundred calls or so", helper.virtual(function()
      local pool = server():pool()
      local calls, done = 0, false
      local t = weir.spawn(function()
        while not done do calls = calls + 1 pool:with(function() end) end
      end)
      while calls < 1000 do weir.checkpoint() end
      done = true
      t:await()
    end))
  end)

  describe("a lease", function()
    it("is used once, by its holder", helper.virtual(function()
      local pool = server():pool { name = "db" }
      local lease = pool:acquire()
      local t = weir.spawn(function()
        local err = helper.error("misuse", lease.release, lease)
        assert.is_truthy(tostring(err):find("held by the main task", 1, true))
        helper.error("misuse", lease.discard, lease)
        helper.error("misuse", lease.transfer, lease, weir.spawn(function() end))
        assert.equal(1, lease.value.id)
      end)
      t:await()
      assert.is_true(lease.held)
      assert.equal("weir.lease db(held by the main task)", tostring(lease))
      lease:release()
      assert.is_false(lease.held)
      assert.equal("weir.lease (released)", tostring(lease))
      helper.error("misuse", lease.release, lease)
      helper.error("misuse", lease.discard, lease)
      helper.error("misuse", function() return lease.value end)
      helper.error("misuse", function() return lease.nothing end)
      assert.equal(1, pool.idle)
    end))

    it("says nothing of who has its value after it", helper.virtual(function()
      local pool = server():pool()
      local old = pool:acquire()
      old:release()
      local new <close> = pool:acquire()
      helper.error("misuse", old.release, old)
      helper.error("misuse", function() return old.value end)
      assert.is_true(new.held)
    end))

    it("goes back at the end of a block, once", helper.virtual(function()
      local pool = server():pool()
      do
        local a <close> = pool:acquire()
      local b <close> = pool:acquire()
        a:release()
        assert.is_true(b.held)
      end
      assert.equal(2, pool.idle)
    end))

    it("can be handed to another task", helper.virtual(function()
      local pool = server():pool { max = 1 }
      local lease = pool:acquire()
      local t = weir.spawn(function()
        weir.checkpoint()
        lease:release()
      end)
      lease:transfer(t)
      helper.error("misuse", lease.release, lease)
      t:await()
      assert.equal(1, pool.idle)
      local other = pool:acquire()
      helper.error("misuse", other.transfer, other, t)
      helper.error("misuse", other.transfer, other, 1)
      other:release()
    end))

    it("that was transferred does not come back at the end of the old holder's block", helper.virtual(function()
      local pool = server():pool { max = 1 }
      local t
      do
        local lease <close> = pool:acquire()
        t = weir.spawn(function() weir.sleep(1) lease:release() end)
        lease:transfer(t)
      end
      assert.equal(1, pool.active)
      t:await()
      assert.equal(0, pool.active)
    end))

    it("that is broken is discarded", helper.virtual(function()
      local s = server()
      local pool = s:pool { max = 1 }
      local lease = pool:acquire()
      lease:discard()
      assert.is_false(lease.held)
      assert.equal(2, pool:with(function(c) return c.id end))
      assert.equal(1, s.destroyed)
      assert.equal(1, pool:stats().evicted.discarded)
    end))

    it("that is forgotten stays out until its task ends, since its value may be in use", helper.virtual(function()
      local pool = server():pool { max = 1 }
      local t = weir.spawn(function()
        local connection = pool:acquire().value
        collectgarbage()
        collectgarbage()
        helper.error("timeout", pool.acquire, pool, { timeout = 1 })
        assert.is_true(connection.open)
      end)
      t:await()
      assert.equal(0, pool.active)
    end))
  end)

  it("shows what it is", helper.virtual(function()
    local pool = server { create = 1 }:pool { name = "db", max = 3, min = 1 }
    assert.equal("db", pool.name)
    assert.equal(3, pool.max)
    assert.equal(1, pool.min)
    weir.sleep(2)
    local lease <close> = pool:acquire()
    assert.is_true(lease.held)
    assert.equal("weir.pool db(1 of 3 leased, 0 idle, 0 connecting, 0 waiting)", tostring(pool))
    assert.is_false(pool:is_idle())
    helper.error("misuse", function() return pool.nothing end)
    assert.is_nil(server():pool().name)
  end))

  it("counts what happened", helper.virtual(function()
    local s = server { create = 0.1, destroy = 0 }
    local pool = s:pool { max = 2, name = "db" }
    assert.is_nil(pool:stats().suggested)
    weir.scope(function(scope)
      for _ = 1, 6 do scope:spawn(pool.with, pool, function() weir.sleep(1) end) end
    end)
    local stats = pool:stats()
    assert.equal("db", stats.name)
    assert.equal(6, stats.grants)
    assert.equal(6, stats.queued)
    assert.equal(2, stats.created)
    assert.equal(6, stats.hold.count)
    assert.is_true(math.abs(stats.hold.mean - 1) < 1e-6)
    assert.equal(2, stats.create.count)
    assert.equal(6, stats.wait.count)
    assert.same({ 2, 2, 0, 0, 0, 0, 0 },
      { stats.total, stats.idle, stats.active, stats.connecting, stats.checking, stats.closing, stats.waiting })
    -- 6 callers in 3.1 s that hold one for 1 s each: 1.9 at once, and some to spare
    assert.equal(6, stats.suggested)
  end))

  it("is overload above max_waiting, and above shed, and says which", helper.virtual(function()
    local pool = weir.pool { name = "db", max = 1, max_waiting = 1, create = function() return "c" end }
    local lease = pool:acquire()
    local waiting = weir.spawn(pool.with, pool, function(value) return value end)
    weir.sleep(1)
    local err = helper.error("overload", pool.acquire, pool)
    assert.equal("pool 'db': 1 are waiting already", tostring(err))
    lease:release()
    assert.equal("c", waiting:await())
    pool = weir.pool { name = "db", max = 4, shed = 0.5, create = function() return "c" end }
    local leases = { pool:acquire(), pool:acquire() }
    err = helper.error("overload", pool.acquire, pool)
    assert.equal("pool 'db': 2 of 4 leased, which is above shed", tostring(err))
    assert.is_number(err.retry_after)
    assert.same({ false, "overload" }, { pool:try_acquire() })
    assert.equal(2, pool:stats().rejects.shed)
    for _, held in ipairs(leases) do held:release() end
  end))

  it("serves keyed pools, of which idle ones are forgotten and closed", helper.virtual(function()
    local s = server()
    local pools = weir.keyed(function() return s:pool() end, { max = 1 })
    assert.equal(1, pools:with("a", function(c) return c.id end))
    assert.equal(2, pools:with("b", function(c) return c.id end))
    collectgarbage()
    collectgarbage()
    weir.sleep(1)
    assert.equal(1, s.open)
    local lease = pools("b"):acquire()
    helper.error("overload", pools, "c")
    lease:release()
  end))

  it("gives everything back wherever a cancel comes", function()
    local waits = helper.cancel_everywhere(function()
      local s = server { create = 0.1, destroy = 0.1, check = 0.1 }
      local pool = s:pool { max = 2, check = true, check_idle = 0 }
      local ok, err = pcall(weir.scope, function(scope)
        for _ = 1, 3 do scope:spawn(pool.with, pool, weir.checkpoint) end
        scope:spawn(function() local _ <close> = pool:acquire { timeout = 5 } weir.sleep(1) end)
        scope:spawn(function() pcall(pool.acquire, pool, { timeout = 0.05 }) end)
        weir.sleep(0)
      end)
      weir.shield(10, function()
        assert(pool.active == 0 and pool.waiting == 0)
        pool:drain()
        assert(pool.total == 0 and s.open == 0 and s.dialling == 0)
      end)
      if not ok then error(err, 0) end
    end)
    assert.is_true(waits > 10)
  end)

  it("gives everything back whichever allocation fails", function()
    helper.fail_allocations(function()
      local s = server { create = 0.1, destroy = 0.1, check = 0.1 }
      local pool <close> = s:pool { max = 2, min = 1, check = true, check_idle = 0, leak_after = 1 }
      weir.scope(function(scope)
        for _ = 1, 4 do scope:spawn(pool.with, pool, function() weir.sleep(0.5) end) end
        scope:spawn(function() local _ <close> = pool:acquire() weir.sleep(1) end)
      end)
    end)
  end)

  it("never lends one twice, under every schedule", function()
    helper.explore(function()
      local s = server()
      local pool <close> = s:pool { max = 1 }
      local inside = 0
      local function use()
        pool:with(function()
          inside = inside + 1
          assert.equal(1, inside)
          weir.checkpoint()
          inside = inside - 1
        end)
      end
      weir.all { use, use }
      assert.equal(1, s.made)
    end, 100000)
  end)
end)
