-- pool_check_spec.lua - what is checked when, what becomes of what is not good any more; age, use, rest.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

local function id(connection)
  return connection.id
end

describe("weir.pool", function()
  describe("check", function()
    it("comes before a loan of what was idle longer than check_idle", helper.virtual(function()
      local s = server { check = 0.1 }
      local pool = s:pool { check = true, check_idle = 2 }
      pool:with(id)
      weir.sleep(1)
      pool:with(id)
      assert.equal(0, s.checked)
      weir.sleep(3)
      local start = weir.now()
      assert.equal(1, pool:with(id))
      helper.elapsed(0.1, start)
      assert.equal(1, s.checked)
    end))

    it("is no waiting to max_waiting: who comes after a rest is served by what is idle", helper.virtual(function()
      local s = server { check = 0.1 }
      local pool = s:pool { name = "db", check = true, min = 3, max = 3, max_waiting = 0 }
      weir.sleep(10)
      local outcomes = weir.settle {
        function() return pool:with(id) end, function() return pool:with(id) end, function() return pool:with(id) end,
        function() return pool:with(id) end,
      }
      assert.same({ true, true, true, false },
        { outcomes[1].ok, outcomes[2].ok, outcomes[3].ok, outcomes[4].ok })
      assert.equal("overload", weir.kind(outcomes[4].error))
      assert.equal("pool 'db': none is free, and max_waiting is 0", tostring(outcomes[4].error))
      assert.is_number(outcomes[4].error.retry_after)
    end))

    it("comes before every loan with a check_idle of 0, and never with one of math.huge", helper.virtual(function()
      for check_idle, expected in pairs { [0] = 3, [math.huge] = 0 } do
        local s = server()
        local pool = s:pool { check = true, check_idle = check_idle, max = 1 }
        for _ = 1, 4 do pool:with(id) weir.sleep(10) end
        assert.equal(expected, s.checked)
      end
    end))

    it("that says no replaces what it looked at, within the same wait", helper.virtual(function()
      local s = server { check = 0.1, create = 0.1 }
      local pool = s:pool { check = true, max = 1 }
      s.sick[pool:with(function(c) return c end)] = true
      weir.sleep(1)
      local start = weir.now()
      assert.equal(2, pool:with(id))
      helper.elapsed(0.2, start)
      local stats = pool:stats()
      assert.equal(1, stats.checks)
      assert.equal(1, stats.check_failures)
      assert.equal(1, stats.evicted.check)
      assert.equal(1, s.destroyed)
    end))

    it("that raises, returns nothing or takes too long says no", helper.virtual(function()
      local says = {
        function() error("gone", 0) end,
        function() end,
        function() return false end,
        function() weir.sleep(100) return true end,
        function() weir.await(function() end) end,
      }
      for i, check in ipairs(says) do
        local s = server()
        local pool = s:pool { check = check, check_timeout = 2, max = 1 }
        pool:with(id)
        weir.sleep(1)
        assert.equal(2, pool:with(id), "case " .. i)
        assert.equal(1, s.destroyed)
        assert.equal(1, pool.total)
      end
    end))

    it("may wait and is given its time from the caller's", helper.virtual(function()
      local s = server { check = 3 }
      local pool = s:pool { check = true, max = 1 }
      pool:with(id)
      weir.sleep(1)
      local err = helper.error("timeout", pool.acquire, pool, { timeout = 1 })
      assert.is_truthy(tostring(err):find("0 waiting, 1 checking", 1, true), tostring(err))
      weir.sleep(3)
      assert.equal(1, pool:with(id))
    end))

    it("looks at what its borrower left by an error or a cancel", helper.virtual(function()
      local s = server()
      local pool = s:pool { check = true, max = 1, check_idle = math.huge }
      pcall(pool.with, pool, error)
      weir.checkpoint()
      assert.equal(1, pool:with(id))
      assert.equal(1, s.checked)
      pcall(function() local _ <close> = pool:acquire() error("oops") end)
      assert.equal(1, pool:with(id))
      assert.equal(2, s.checked)
      local t = weir.spawn(pool.with, pool, function() weir.sleep(100) end)
      weir.sleep(1)
      t:cancel()
      t:pawait()
      assert.equal(1, pool:with(id))
      assert.equal(3, s.checked)
      weir.spawn(function() pool:acquire() end):await() -- and by forgetting it
      assert.equal(1, pool:with(id))
      assert.equal(4, s.checked)
      pool:acquire():release()
      assert.equal(4, s.checked)
    end))

    it("is replaced by an end where there is none", helper.virtual(function()
      local s = server()
      local pool = s:pool { max = 1 }
      pcall(pool.with, pool, error)
      assert.equal(2, pool:with(id))
      assert.equal(1, pool:stats().evicted.discarded)
    end))

    it("keeps what is idle alive", helper.virtual(function()
      local s = server()
      local pool = s:pool { check = true, keep_alive = 10, jitter = 0, idle_timeout = math.huge }
      pool:with(id)
      weir.sleep(35)
      assert.equal(3, s.checked)
      assert.equal(1, pool.idle)
    end))

    it("that keeps alive and says no lets it go, and fills up again", helper.virtual(function()
      local s = server()
      local pool = s:pool { check = true, keep_alive = 10, min = 2, jitter = 0 }
      local all = { pool:acquire(), pool:acquire() }
      s.sick[all[1].value] = true
      all[1]:release()
      all[2]:release()
      weir.sleep(11)
      assert.equal(2, pool.idle)
      assert.equal(3, s.made)
    end))
  end)

  describe("ends", function()
    it("what was idle too long, down to min", helper.virtual(function()
      local s = server()
      local pool = s:pool { idle_timeout = 30, min = 1, max = 5 }
      local all = {}
      for i = 1, 4 do all[i] = pool:acquire() end
      for i = 1, 4 do all[i]:release() end
      weir.sleep(29)
      assert.equal(4, pool.idle)
      weir.sleep(2)
      assert.equal(1, pool.idle)
      assert.equal(3, pool:stats().evicted.idle)
      assert.equal(1, s.open)
    end))

    it("what has lived too long, not all at the same instant, and fills up again", helper.virtual(function()
      local ends = {}
      local pool = weir.pool {
        create = function() return weir.now() end, destroy = function() ends[#ends + 1] = weir.now() end,
        min = 10, max_lifetime = 100, jitter = 0.1, idle_timeout = math.huge,
      }
      weir.sleep(89)
      assert.equal(0, #ends)
      assert.equal(10, pool.idle)
      weir.sleep(12)
      assert.equal(10, #ends)
      assert.equal(10, pool.idle)
      local distinct = {}
      for _, at in ipairs(ends) do distinct[at] = true end
      local n = 0
      for _ in pairs(distinct) do n = n + 1 end
      assert.equal(10, n)
      assert.equal(10, pool:stats().evicted.lifetime)
    end))

    it("what has lived too long while it was lent when it comes back", helper.virtual(function()
      local s = server()
      local pool = s:pool { max_lifetime = 10 }
      pool:with(function() weir.sleep(20) assert.equal(1, s.open) end)
      weir.checkpoint()
      assert.equal(0, pool.idle)
      assert.equal(1, pool:stats().evicted.lifetime)
    end))

    it("what was lent max_uses times", helper.virtual(function()
      local s = server()
      local pool = s:pool { max = 1, max_uses = 3 }
      local ids = {}
      for i = 1, 7 do ids[i] = pool:with(id) end
      assert.same({ 1, 1, 1, 2, 2, 2, 3 }, ids)
      assert.equal(2, pool:stats().evicted.uses)
    end))
  end)

  describe("min", function()
    it("is made ahead, staggered, and counts what is on its way", helper.virtual(function()
      local s = server { create = 1 }
      local pool = s:pool { min = 3, dial_stagger = 0.5 }
      weir.sleep(0.1)
      assert.equal(1, pool.connecting)
      weir.sleep(0.5)
      assert.equal(2, pool.connecting)
      weir.sleep(5)
      assert.equal(3, pool.idle)
      assert.equal(3, s.made)
    end))

    it("is kept up as one is discarded", helper.virtual(function()
      local s = server()
      local pool = s:pool { min = 2 }
      for _ = 1, 3 do pool:acquire():discard() end
      weir.sleep(1)
      assert.equal(2, pool.idle)
    end))
  end)

  it("gives everything back wherever a cancel comes while checks say no", function()
    helper.cancel_everywhere(function()
      local s = server { create = 0.1, check = 0.1, destroy = 0.1 }
      local pool <close> = s:pool { max = 2, check = true, check_idle = 0, max_uses = 3 }
      pool:with(function(c) s.sick[c] = true end)
      weir.scope(function(scope)
        for _ = 1, 3 do
          scope:spawn(function()
            pool:with(weir.checkpoint)
            pcall(pool.with, pool, error)
          end)
        end
      end)
      assert(pool.active == 0 and pool.waiting == 0)
    end)
  end)
end)
