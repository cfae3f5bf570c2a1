-- pool_failure_spec.lua - creates that fail, take too long, return nothing; a pool that is open; destroys that fail.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

local function hold(pool, seconds)
  return weir.spawn(pool.with, pool, function() weir.sleep(seconds) end)
end

describe("weir.pool", function()
  describe("when create fails", function()
    it("raises the error unchanged where it was waited for longest", helper.virtual(function()
      for _, mine in ipairs { "text", {}, false, 42 } do
        local pool = weir.pool { create = function() weir.sleep(0.1) error(mine, 0) end }
        local ok, err = pcall(pool.acquire, pool)
        assert.is_false(ok)
        assert.equal(mine, err)
        ok, err = pcall(pool.with, pool, function() end)
        assert.is_false(ok)
        assert.equal(mine, err)
      end
    end))

    it("leads from the caller to the line that failed", helper.virtual(function()
      local line = helper.line(1)
      local pool = weir.pool { create = function() error("no route") end }
      local task = weir.detach(function() pool:acquire() end)
      assert.is_false((task:pawait()))
      assert.is_truthy(task.traceback:find("pool_failure_spec.lua:" .. line, 1, true), task.traceback)
      assert.is_truthy(task.traceback:find("raised again in", 1, true))
    end))

    it("fails one caller for each create, and gives the next one a create of its own", helper.virtual(function()
      local s = server { create = 0.1 }
      local pool = s:pool { max = 1, open_after = 0, backoff = 0.01 }
      s.refuses = "no"
      local first, second = weir.spawn(pcall, pool.acquire, pool), weir.spawn(pcall, pool.acquire, pool)
      assert.same({ false, "no" }, { first:await() })
      s.refuses = nil
      local ok, lease = second:await()
      assert.is_true(ok)
      assert.is_false(lease.held, "it went back with its task")
      assert.equal(2, s.dialled)
      local stats = pool:stats()
      assert.equal(1, stats.create_failures)
      assert.equal(1, stats.rejects.failed)
    end))

    it("spares who waits for those that come back, since the server serves", helper.virtual(function()
      local s = server { create = 1 }
      local pool = s:pool { max = 2 }
      pool:with(function() end)
      s.refuses = "too many connections"
      local start = weir.now()
      hold(pool, 0.5)
      hold(pool, 1)
      local t = weir.spawn(pool.with, pool, function(c) return c.id end)
      assert.equal(1, t:await())
      helper.elapsed(1.5, start)
      assert.equal(1, pool:stats().create_failures)
    end))

    it("does not fail those who were never served by it", helper.virtual(function()
      local s = server { create = 1 }
      local pool = s:pool { min = 1, backoff = 0.5, max_backoff = 0.5, open_after = 0 }
      s.refuses = "down"
      weir.sleep(3)
      s.refuses = nil
      weir.sleep(2)
      assert.equal(1, pool.idle, "refilled without a request")
      assert.is_true(pool:stats().create_failures >= 2)
    end))
  end)

  describe("when create returns nothing", function()
    it("raises an error of its own, with what came beside it", helper.virtual(function()
      for _, value in ipairs { "nil", "false" } do
        local pool = weir.pool {
          name = "db", create = function() return value == "false" and false or nil, "connection refused" end,
        }
        local err = helper.error("misuse", pool.acquire, pool)
        assert.equal("pool 'db': create returned nothing: connection refused", tostring(err))
        assert.equal("connection refused", err.cause)
        assert.equal("db", err.name)
      end
      local pool = weir.pool { create = function() end }
      assert.equal("pool: create returned nothing", tostring(helper.error("misuse", pool.acquire, pool)))
    end))
  end)

  describe("when create takes too long", function()
    it("cancels it and fails who waits for it", helper.virtual(function()
      local seen
      local pool = weir.pool {
        name = "db", create_timeout = 2,
        create = function()
          local _ <close> = helper.closing(function(err) seen = err end)
          weir.sleep(100)
        end,
      }
      local start = weir.now()
      local err = helper.error("timeout", pool.acquire, pool)
      helper.elapsed(2, start)
      assert.equal("pool 'db': create timed out after 2.0 s", tostring(err))
      weir.checkpoint()
      assert.equal("cancelled", weir.kind(seen))
      assert.equal("it took too long", seen.reason)
      assert.equal(1, pool:stats().create_timeouts)
    end))

    it("counts it until its cleanup is done", helper.virtual(function()
      local s = server()
      local pool = s:pool {
        max = 1, create_timeout = 1, backoff = 0.01,
        create = function()
          if s.dialled == 1 then return s:create() end
          s.dialled = 1
          local _ <close> = helper.closing(function() weir.shield(weir.sleep, 3) end)
          weir.sleep(100)
        end,
      }
      local start = weir.now()
      helper.error("timeout", pool.acquire, pool)
      helper.elapsed(1, start)
      assert.equal(1, pool.total)
      pool:with(function() helper.elapsed(4, start) end)
    end))

    it("keeps what it makes all the same", helper.virtual(function()
      local pool = weir.pool {
        create_timeout = 1,
        create = function() weir.shield(weir.sleep, 2) return "late" end,
      }
      helper.error("timeout", pool.acquire, pool)
      assert.equal("late", pool:with(function(v) return v end))
      assert.equal(1, pool:stats().created)
    end))
  end)

  describe("that is open", function()
    local function broken(options)
      local s = server { create = 0.1 }
      local pool = s:pool(options)
      s.refuses = "refused"
      for _ = 1, 3 do assert.same({ false, "refused" }, { pcall(pool.acquire, pool) }) end
      return s, pool
    end

    it("refuses at once, with the cause and when to come again", helper.virtual(function()
      local s, pool = broken { name = "db", backoff = 1, max_backoff = 1 }
      local start, dialled = weir.now(), s.dialled
      local err = helper.error("open", pool.acquire, pool)
      helper.elapsed(0, start)
      assert.equal("pool 'db': refused, since 3 creates in a row failed; the last: refused", tostring(err))
      assert.equal("refused", err.cause)
      assert.is_true(err.retry_after > 0 and err.retry_after <= 1)
      assert.same({ false, "open", n = 2 }, table.pack(pool:try_acquire()))
      helper.error("open", pool.with, pool, function() end)
      assert.equal(dialled, s.dialled)
      assert.is_true(pool:stats().open)
      assert.equal(3, pool:stats().rejects.open)
      assert.is_truthy(tostring(pool):find(", open)", 1, true))
    end))

    it("lets all who wait go when it opens", helper.virtual(function()
      local s = server { create = 0.1 }
      local pool = s:pool { max = 1, open_after = 2 }
      s.refuses = {}
      local tasks = {}
      for i = 1, 4 do tasks[i] = weir.spawn(pcall, pool.acquire, pool) end
      local kinds = {}
      for i = 1, 4 do kinds[i] = weir.kind(select(2, tasks[i]:await())) end
      assert.same({ "error", "error", "open", "open" }, kinds)
      assert.equal(s.refuses, select(2, tasks[4]:await()).cause)
    end))

    it("dials alone until it is served again", helper.virtual(function()
      local s, pool = broken { backoff = 1, max_backoff = 4 }
      weir.sleep(20)
      assert.is_true(s.dialled > 5 and s.dialled < 15, s.dialled)
      s.refuses = nil
      weir.sleep(5)
      assert.is_false(pool:stats().open)
      assert.equal("number", type(pool:with(function(c) return c.id end)))
      assert.equal(1, s.made)
    end))

    it("lends what it still has", helper.virtual(function()
      local s = server { create = 0.1 }
      local pool = s:pool { max = 5, open_after = 1, backoff = 1 }
      local lease = pool:acquire()
      s.refuses = "refused"
      assert.same({ false, "refused" }, { pcall(pool.acquire, pool) })
      helper.error("open", pool.acquire, pool)
      lease:release()
      assert.equal(1, pool:with(function(c) return c.id end))
    end))

    it("is named in the text of a timeout by its last failure", helper.virtual(function()
      local s = server { create = 0.1 }
      local pool = s:pool { name = "db", max = 2, open_after = 0, backoff = 5, max_backoff = 5 }
      s.refuses = "refused\nby the server"
      pcall(pool.acquire, pool)
      local err = helper.error("timeout", pool.acquire, pool, { timeout = 1 })
      assert.equal("pool 'db': timed out after 1.0 s: 0 of 2 leased, 0 idle, 0 connecting, 0 waiting; "
        .. "last create failed: refused", tostring(err))
      assert.equal(s.refuses, err.cause)
    end))

    it("is not named any more once a create succeeded", helper.virtual(function()
      local s = server { create = 0.1 }
      local pool = s:pool { name = "db", max = 1, backoff = 1 }
      s.refuses = "refused"
      assert.same({ false, "refused" }, { pcall(pool.acquire, pool) })
      s.refuses = nil
      local _ <close> = pool:acquire()
      weir.sleep(3600)
      local err = helper.error("timeout", pool.acquire, pool, { timeout = 1 })
      assert.equal("pool 'db': timed out after 1.0 s: 1 of 1 leased, 0 idle, 0 connecting, 0 waiting", tostring(err))
      assert.is_nil(err.cause)
    end))

    it("may be nothing, which is not a timeout", helper.virtual(function()
      local pool = weir.pool { create = function() error(nil) end, open_after = 1, backoff = 5 }
      assert.same({ false, nil }, { pcall(pool.acquire, pool) })
      local err = helper.error("open", pool.acquire, pool)
      assert.equal("pool: refused, since 1 creates in a row failed; the last: nil", tostring(err))
    end))

    it("says that creates time out, if they do", helper.virtual(function()
      local pool = weir.pool {
        create = function() weir.sleep(100) end, create_timeout = 1, open_after = 1, backoff = 5,
      }
      helper.error("timeout", pool.acquire, pool)
      local err = helper.error("open", pool.acquire, pool)
      assert.equal("pool: refused, since 1 creates in a row failed; the last: timed out after 1.0 s", tostring(err))
    end))
  end)

  describe("when destroy fails", function()
    it("reports it once and goes on", helper.virtual(function()
      local s = server()
      local pool = s:pool { max = 1, destroy = function() error("no goodbye", 0) end, name = "db" }
      local reported = {}
      weir.on_unhandled(function(err, task)
        reported[#reported + 1] = { err, task.name }
        return true
      end)
      for _ = 1, 2 do pool:acquire():discard() end
      weir.sleep(1)
      assert.same({ { "no goodbye", "db: destroy" }, { "no goodbye", "db: destroy" } }, reported)
      assert.equal(0, pool.total)
    end))

    it("that takes too long is cancelled and reported", helper.virtual(function()
      local reported
      local pool = weir.pool {
        create = function() return 1 end, destroy = function() weir.sleep(100) end, destroy_timeout = 2, name = "db",
      }
      weir.on_unhandled(function(err) reported = err return true end)
      pool:acquire():discard()
      weir.sleep(1)
      assert.equal(1, pool:stats().closing)
      weir.sleep(2)
      assert.equal(0, pool.total)
      assert.equal("pool 'db': destroy timed out after 2.0 s", tostring(reported))
    end))

    it("names where the pool was made, on standard error", function()
      local output, code = helper.program [[
        local weir = require "weir"
        weir.run(function()
          local pool <close> = weir.pool {
            name = "db", create = function() return 1 end, destroy = function() error "boom" end }
          pool:with(print)
        end)
        print "over"
      ]]
      assert.is_truthy(output:find("weir: unhandled error in task 'db: destroy': ", 1, true), output)
      assert.is_truthy(output:find(":4: boom", 1, true))
      assert.is_truthy(output:find("task 'db: destroy' spawned at [^\n]*:3\n"), output)
      assert.is_truthy(output:find("\nover\n", 1, true))
      assert.equal(0, code)
    end)
  end)

  it("keeps nothing of failures that are over", helper.virtual(function()
    local alive = setmetatable({}, { __mode = "k" })
    local function count()
      collectgarbage()
      collectgarbage()
      local n = 0
      for _ in pairs(alive) do n = n + 1 end
      return n
    end
    local pool = weir.pool {
      min = 1, backoff = 0.1, max_backoff = 0.1, open_after = 3, -- some with who waits, some without
      create = function()
        local err = {}
        alive[err] = true
        error(err)
      end,
    }
    for _ = 1, 20 do
      pcall(pool.acquire, pool)
      weir.sleep(0.05)
    end
    assert.is_true(count() <= 2, "the cause, and the stack of what this task caught last")
    assert.is_true(pool:stats().create_failures > 5)
  end))

  it("keeps nothing of the failures of a pool that is gone", function()
    local alive = setmetatable({}, { __mode = "k" })
    helper.run(function()
      local pool = weir.pool {
        max = 2, create = function() local err = {} alive[err] = true weir.sleep(0.1) error(err) end,
      }
      weir.scope(function(scope)
        for _ = 1, 5 do scope:spawn(pcall, pool.acquire, pool) end
      end)
      assert.is_true(next(alive) ~= nil)
    end)
    collectgarbage()
    assert.is_nil(next(alive))
  end)

  it("reports no failure of create or check as unhandled", helper.virtual(function()
    weir.on_unhandled(function(err) error("reported: " .. tostring(err)) end)
    local pool = weir.pool {
      min = 1, create = function() error("no", 0) end, check = function() error("bad", 0) end, backoff = 1,
    }
    weir.sleep(10)
    assert.is_true(pool:stats().create_failures > 0)
  end))

  it("gives everything back wherever a cancel comes while creates fail", function()
    helper.cancel_everywhere(function()
      local s = server { create = 0.1, destroy = 0.1 }
      local pool <close> = s:pool { max = 2, min = 1, backoff = 0.1, open_after = 4 }
      s.refuses = "no"
      weir.scope(function(scope)
        for _ = 1, 5 do
          scope:spawn(function() pcall(pool.with, pool, weir.checkpoint) end)
        end
        weir.sleep(0.15)
        s.refuses = nil
      end)
    end)
  end)

  it("gives everything back whichever allocation fails while creates fail", function()
    helper.fail_allocations(function()
      local n = 0
      local pool <close> = weir.pool {
        max = 2, backoff = 0.1,
        create = function() n = n + 1 weir.sleep(0.1) if n % 2 == 1 then error("odd", 0) end return n end,
      }
      weir.scope(function(scope)
        for _ = 1, 3 do scope:spawn(function() pcall(pool.with, pool, weir.checkpoint) end) end
      end)
    end)
  end)
end)
