-- pool_end_spec.lua - resize, evict, close, drain; ends of blocks, tasks, runs and states; a pool that is garbage.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

local function id(connection)
  return connection.id
end

-- A task that has one on loan.
local function hold(pool, seconds)
  local before = pool.active
  local t = weir.spawn(pool.with, pool, function(c) weir.sleep(seconds) return c.id end)
  repeat weir.checkpoint() until pool.active > before
  return t
end

describe("weir.pool", function()
  describe("resize", function()
    it("up makes more for those who wait", helper.virtual(function()
      local pool = server():pool { max = 1 }
      hold(pool, 100)
      local start = weir.now()
      local t = weir.spawn(pool.with, pool, id)
      weir.sleep(1)
      pool:resize { max = 2 }
      assert.equal(2, t:await())
      helper.elapsed(1, start)
      assert.equal(2, pool.max)
    end))

    it("down destroys what is idle at once and the rest as it comes back", helper.virtual(function()
      local s = server()
      local pool = s:pool { max = 4 }
      hold(pool, 5)
      hold(pool, 5)
      local a, b = pool:acquire(), pool:acquire()
      a:release()
      b:release()
      pool:resize { max = 1 }
      weir.sleep(0.1)
      assert.equal(2, pool.total)
      weir.sleep(10)
      assert.equal(1, pool.total)
      assert.equal(1, s.open)
      assert.equal(3, pool:stats().evicted.shrunk)
    end))

    it("of min fills up", helper.virtual(function()
      local pool = server():pool()
      pool:resize { min = 3 }
      weir.sleep(1)
      assert.equal(3, pool.idle)
      pool:resize { min = 0 }
      weir.sleep(100)
      assert.equal(0, pool.idle)
    end))
  end)

  describe("evict", function()
    it("replaces everything that there is", helper.virtual(function()
      local s = server()
      local pool = s:pool { min = 2, max = 3 }
      weir.sleep(1)
      local t = hold(pool, 5)
      pool:evict()
      weir.sleep(1)
      assert.is_true(pool:with(id) > 2)
      assert.is_true(t:await() <= 2)
      weir.sleep(1)
      local ids = {}
      for i = 1, 2 do ids[i] = pool:acquire() end
      for i = 1, 2 do
        assert.is_true(ids[i].value.id > 2)
        ids[i]:release()
      end
    end))
  end)

  describe("close", function()
    it("fails those who wait and all who come, with the reason", helper.virtual(function()
      local pool = server():pool { max = 1, name = "db" }
      hold(pool, 5)
      local t = weir.spawn(function() return pcall(pool.acquire, pool) end)
      weir.checkpoint()
      pool:close("moving house")
      local _, err = t:await()
      assert.equal("closed", weir.kind(err))
      assert.equal("moving house", err.reason)
      assert.equal("pool 'db': closed", tostring(err))
      pool:close("again")
      assert.equal("moving house", helper.error("closed", pool.with, pool, id).reason)
      assert.equal(2, pool:stats().rejects.closed)
      assert.is_truthy(tostring(pool):find(", closed)", 1, true))
    end))

    it("does not wait; destroys what is idle, and what is out when it comes back", helper.virtual(function()
      local s = server { destroy = 1 }
      local pool = s:pool { max = 3 }
      hold(pool, 5)
      pool:acquire():release()
      local start = weir.now()
      pool:close()
      helper.elapsed(0, start)
      weir.checkpoint()
      weir.checkpoint()
      assert.equal(1, s.open)
      weir.sleep(7)
      assert.equal(0, s.open)
      assert.equal(0, pool.total)
      assert.equal(2, pool:stats().evicted.closed)
    end))

    it("cancels creates and checks that are on their way", helper.virtual(function()
      local reasons = {}
      local function busy()
        local _ <close> = helper.closing(function(err) reasons[#reasons + 1] = err.reason end)
        weir.sleep(50)
      end
      local n = 0
      local pool = weir.pool {
        max = 2, check = busy, check_timeout = 60, create_timeout = 60,
        create = function() n = n + 1 if n > 1 then busy() end return n end,
      }
      pool:with(function() end)
      weir.sleep(1)
      local a, b = weir.spawn(pcall, pool.acquire, pool), weir.spawn(pcall, pool.acquire, pool)
      weir.sleep(1)
      assert.equal(2, pool.total)
      pool:close()
      for _, t in ipairs { a, b } do assert.equal("closed", weir.kind(select(2, t:await()))) end
      weir.sleep(0.1)
      assert.same({ "the pool was closed", "the pool was closed" }, reasons)
      assert.equal(0, pool.total)
    end))

    it("begins nothing that was given up before its turn came", helper.virtual(function()
      local s = server()
      local pool = s:pool()
      local t = weir.spawn(pcall, pool.acquire, pool)
      weir.spawn(pool.close, pool)
      assert.equal("closed", weir.kind(select(2, t:await())))
      weir.sleep(1)
      assert.equal(0, s.dialled)
      assert.equal(0, pool.total)
    end))

    it("works outside of tasks, and what it began is done by the next run", function()
      local output = helper.program [[
        local weir = require "weir"
        local pool = weir.pool { min = 1, create = function() return 1 end, destroy = function() print "destroyed" end }
        weir.run(weir.sleep, 0.001)
        print "run over"
        pool:close()
        weir.run(weir.sleep, 0.001)
        print(pool.total)
      ]]
      assert.equal("destroyed\nrun over\n0\n", output)
    end)
  end)

  describe("drain", function()
    it("serves those queued, refuses new ones, and waits until everything is destroyed", helper.virtual(function()
      local s = server { destroy = 1 }
      local pool = s:pool { max = 1 }
      hold(pool, 3)
      local queued = weir.spawn(pool.with, pool, id)
      weir.checkpoint()
      local start = weir.now()
      local late = weir.spawn(function() weir.sleep(1) return pcall(pool.acquire, pool) end)
      pool:drain()
      helper.elapsed(4, start)
      assert.equal(1, queued:await())
      assert.equal("closed", weir.kind(select(2, late:await())))
      assert.equal(0, s.open)
      pool:drain()
    end))

    it("takes a timeout", helper.virtual(function()
      local pool = server():pool { max = 1, name = "db" }
      hold(pool, 5)
      local start = weir.now()
      local err = helper.error("timeout", pool.drain, pool, 2)
      helper.elapsed(2, start)
      assert.equal("pool 'db': drain timed out after 2.0 s: 1 of 1 leased, 0 idle, 0 connecting, 0 waiting",
        tostring(err))
      pool:drain { timeout = 10 }
    end))

    it("ends with a close", helper.virtual(function()
      local pool = server():pool { max = 1 }
      hold(pool, 5)
      local queued = weir.spawn(function() return pcall(pool.acquire, pool) end)
      local t = weir.spawn(pool.drain, pool)
      weir.checkpoint()
      pool:close("enough")
      assert.equal("closed", weir.kind(select(2, queued:await())))
      t:await()
    end))
  end)

  describe("in a local <close>", function()
    it("is closed and gone when the block is left", helper.virtual(function()
      local s = server { destroy = 1 }
      local start = weir.now()
      do
        local pool <close> = s:pool { min = 3 }
        weir.sleep(0.5)
        pool:with(id)
      end
      helper.elapsed(1.5, start)
      assert.equal(0, s.open)
    end))

    it("is waited for as long as one destroy may take, and no longer", helper.virtual(function()
      local s = server()
      local start = weir.now()
      local pool
      do
        local p <close> = s:pool { destroy_timeout = 2 }
        pool = p
        hold(p, 10)
      end
      helper.elapsed(2, start)
      assert.equal(1, pool.active)
      weir.sleep(10)
      assert.equal(0, s.open)
    end))

    it("does not wait for a lease of its own block's", helper.virtual(function()
      local s = server()
      local start = weir.now()
      local lease
      do
        local pool <close> = s:pool()
        lease = pool:acquire()
      end
      helper.elapsed(0, start)
      assert.is_true(lease.held)
      lease:release()
      weir.checkpoint()
      weir.checkpoint()
      assert.equal(0, s.open)
    end))

    it("is waited for in a cancelled scope too", helper.virtual(function()
      local s = server { destroy = 1 }
      local t = weir.spawn(function()
        local pool <close> = s:pool()
        pool:with(id)
        weir.sleep(100)
      end)
      weir.sleep(1)
      local start = weir.now()
      t:cancel()
      t:pawait()
      helper.elapsed(1, start)
      assert.equal(0, s.open)
    end))

    it("is closed where nothing can wait", helper.virtual(function()
      local s = server { destroy = 1 }
      local pool
      s:pool():with(id)
      table.sort({ 2, 1 }, function()
        local p <close> = s:pool()
        pool = p
      end)
      helper.error("closed", pool.acquire, pool)
    end))
  end)

  describe("a task that ends with a lease", function()
    it("gives it back as suspect and is reported as a leak", function()
      local output = helper.program [[
        local weir = require "weir"
        weir.run(function()
          local pool = weir.pool {
            name = "db", create = function() return "c" end, check = function(v) print("checked", v) return true end,
          }
          weir.spawn(function() pool:acquire() end):await()
          print(pool:with(function(v) return v end))
        end)
      ]]
      assert.is_truthy(output:find("weir: leak: task 2 (spawned at ", 1, true), output)
      assert.is_truthy(output:find("ended and still held a lease of 'db', which was released", 1, true))
      assert.is_truthy(output:find("checked\tc\nc\n", 1, true))
    end)

    it("gives it back when its coroutine is closed under it", helper.virtual(function()
      local pool = server():pool { max = 1 }
      local co
      local t = weir.spawn(function()
        co = coroutine.running()
        pool:acquire()
        weir.sleep(100)
      end)
      weir.sleep(1)
      coroutine.close(co)
      t:cancel()
      t:pawait()
      assert.equal(0, pool.active)
    end))

    it("forgets the failure that it waited for when its coroutine is closed under it", helper.virtual(function()
      local s = server { create = 1 }
      local pool = s:pool { max = 1 }
      s.refuses = {}
      local co
      local t = weir.spawn(function()
        co = coroutine.running()
        pool:acquire()
      end)
      weir.sleep(0.5)
      coroutine.close(co)
      t:pawait()
      pool:drain()
    end))
  end)

  describe("at the end of the run", function()
    it("destroys what is left, after detached tasks and daemons have ended", function()
      local s = server { create = 0.1, destroy = 1 }
      local log = {}
      helper.run(function()
        local pool = s:pool { min = 2, max = 3 }
        weir.detach(function() weir.sleep(5) log[#log + 1] = pool:with(id) end)
        weir.daemon(function()
          local _ <close> = helper.closing(function()
            weir.shield(function()
              local all = { pool:acquire(), pool:acquire(), pool:acquire() } -- one of them is made now
              log[#log + 1] = #all
              for _, lease in ipairs(all) do lease:release() end
            end)
          end)
          weir.sleep(1e6)
        end)
      end)
      assert.equal(2, #log)
      assert.equal(3, log[2])
      assert.equal(0, s.open)
      assert.equal(3, s.destroyed)
    end)

    it("does not wait for creates and checks, nor for ever for a destroy", function()
      local s = server { create = 1e6, check = 1e6 }
      local ended = 0
      local r = helper.simulate(function()
        local pool = s:pool {
          create_timeout = math.huge, check_timeout = math.huge, check = true, max = 2,
          create = function()
            s.times.create = s.made == 0 and 0 or 1e6
            return s:create()
          end,
          destroy = function()
            local _ <close> = helper.closing(function() ended = ended + 1 end)
            weir.sleep(1e6)
          end,
        }
        pool:acquire():release()
        weir.sleep(1)
        weir.daemon(function() pool:acquire() end)
        weir.daemon(function() pool:acquire() end)
        weir.sleep(1)
        assert.equal(2, pool.total)
        weir.on_unhandled(function() return true end)
      end)
      assert.is_true(r.ok, tostring(r.error))
      assert.equal(1, ended)
      assert.is_true(r.time < 20)
      assert.equal(0, s.dialling)
    end)

    it("is not kept going by a pool", helper.virtual(function()
      local pool = server():pool { min = 1, max_lifetime = 10, idle_timeout = 10 }
      weir.sleep(1)
      assert.equal(1, pool.idle)
    end))

    it("leaves the pool empty and open for the next one", function()
      local output = helper.program [[
        local weir = require "weir"
        local n = 0
        local pool = weir.pool {
          name = "db", min = 1,
          create = function() n = n + 1 return n end, destroy = function(v) print("destroy", v) end,
        }
        weir.run(function() print(pool:with(function(v) return v end)) end)
        print("total", pool.total)
        weir.run(function() print(pool:with(function(v) return v end)) end)
        print("grants", pool:stats().grants)
      ]]
      assert.equal("1\ndestroy\t1\ntotal\t0\n2\ndestroy\t2\ngrants\t2\n", output)
    end)
  end)

  describe("in a state that is closed", function()
    -- Whatever it is doing: the sanitizers look for what is lost.
    local states = {
      ["before it ever ran"] = "",
      ["after a run"] = "weir.run(function() pool:with(function() end) end)",
      ["closed, not run since"] = "weir.run(function() pool:with(function() end) end) pool:close()",
      ["with os.exit inside a task"] = [[
        weir.run(function()
          local lease = pool:acquire()
          weir.spawn(pcall, pool.acquire, pool)
          weir.sleep(0.01)
          os.exit(0, true)
        end)]],
      ["after a failed run"] = "pcall(weir.run, function() local l = pool:acquire() error(l) end)",
    }
    for name, text in pairs(states) do
      it("leaves nothing: " .. name, function()
        local output, code = helper.program(([[
          local weir = require "weir"
          local pool
          pool = weir.pool {
            min = 2, max = 3, leak_after = 0.001, on_leak = function() end,
            create = function() if pool.total > 2 then error(pool) end return {} end,
            destroy = function() return pool end,
          }
          %s
        ]]):format(text))
        assert.equal(0, code, output)
        assert.is_falsy(output:find("ERROR", 1, true), output)
      end)
    end
  end)

  describe("that nobody refers to any more", function()
    it("is closed, though its functions refer to it", helper.virtual(function()
      local s = server { destroy = 1 }
      local weak = setmetatable({}, { __mode = "v" })
      ;(function()
        local pool
        pool = s:pool {
          min = 2,
          create = function() return pool and s:create() end,
          destroy = function(c) assert(pool:stats().closing > 0) s:destroy(c) end,
        }
        weak[1] = pool
        pool:with(id)
        weir.sleep(1)
      end)()
      assert.equal(2, s.open)
      weir.sleep(0) -- what is left of the block on the stack
      collectgarbage()
      collectgarbage()
      weir.sleep(2)
      assert.equal(2, s.destroyed)
      collectgarbage()
      collectgarbage()
      assert.is_nil(weak[1])
    end))

    it("is closed when the last lease of it is back", helper.virtual(function()
      local s = server()
      s:pool():with(function(c)
        collectgarbage()
        collectgarbage()
        weir.sleep(1)
        assert.is_true(c.open)
      end)
      collectgarbage()
      collectgarbage()
      weir.sleep(1)
      assert.equal(0, s.open)
    end))

    it("is freed where it never was used", helper.virtual(function()
      for _ = 1, 100 do server():pool { min = 1 } end
      collectgarbage()
      collectgarbage()
      weir.sleep(1)
    end))

    it("is destroyed also where its timer comes before the collector's finalizer", helper.virtual(function()
      local s = server()
      for _ = 1, 50 do
        s:pool { idle_timeout = 0.5, min = 0 }:with(id)
        weir.sleep(0.1)
        collectgarbage("step", 1)
      end
      weir.sleep(10)
      collectgarbage()
      weir.sleep(1)
      assert.equal(0, s.open)
    end))
  end)

  it("gives everything back wherever a cancel comes while it ends", function()
    helper.cancel_everywhere(function()
      local s = server { create = 0.1, destroy = 0.1 }
      local pool = s:pool { max = 2, min = 1 }
      local ok, err = pcall(weir.scope, function(scope)
        for _ = 1, 3 do scope:spawn(pcall, pool.with, pool, function() weir.sleep(0.2) end) end
        weir.sleep(0.05)
        pool:evict()
        pool:resize { max = 1, min = 0 }
        scope:spawn(function() pcall(pool.drain, pool, 1) pool:close() end)
      end)
      weir.shield(10, function()
        weir.sleep(1)
        pool:close()
        weir.sleep(1)
        assert(pool.total == 0 and s.open == 0 and pool.waiting == 0)
      end)
      if not ok then error(err, 0) end
    end)
  end)
end)
