-- keyed_parent_spec.lua - weir.keyed on two levels: through the key's object and the parent, both or neither.

local helper = require "support.helper"
local weir = require "weir"

local function semaphore_of(n)
  return function(key)
    return weir.semaphore { permits = n, name = tostring(key) }
  end
end

describe("weir.keyed", function()
  describe("with", function()
    local function count_through(keyed, parent)
      local now, most, running, most_running = {}, 0, 0, 0
      weir.scope(function(s)
        for i = 1, 30 do
          local key = "k" .. i % 3
          s:spawn(function()
            local value = keyed:with(key, function(x)
              now[key] = (now[key] or 0) + 1
              running = running + 1
              most = math.max(most, now[key])
              most_running = math.max(most_running, running)
              weir.sleep(1)
              now[key] = now[key] - 1
              running = running - 1
              return x * 2
            end, i)
            assert.equal(2 * i, value)
          end)
        end
      end)
      assert.is_true(parent:is_idle())
      assert.equal(0, keyed:stats().in_use)
      return most, most_running
    end

    it("holds a permit of the key's semaphore and one of the parent", helper.virtual(function()
      local parent = weir.semaphore(4)
      assert.same({ 2, 4 }, { count_through(weir.keyed(semaphore_of(2), { parent = parent }), parent) })
    end))

    it("takes limits as well", helper.virtual(function()
      local parent = weir.limit(4)
      local keyed = weir.keyed(function() return weir.limit(2) end, { parent = parent })
      assert.same({ 2, 4 }, { count_through(keyed, parent) })
    end))

    it("needs no parent", helper.virtual(function()
      local keyed = weir.keyed(semaphore_of(1))
      assert.same({ 3, 4 }, { keyed:with("a", function(...) return ... end, 3, 4) })
    end))

    it("lets no key hold the parent while it waits for its own", helper.virtual(function()
      local keyed = weir.keyed(semaphore_of(1), { parent = weir.semaphore(2) })
      local start = weir.now()
      weir.scope(function(s)
        for _ = 1, 5 do s:spawn(function() keyed:with("slow", weir.sleep, 10) end) end
        weir.sleep(1)
        keyed:with("fast", function() end)
        helper.elapsed(1, start)
      end)
    end))

    it("takes a token where the object is a bucket", helper.virtual(function()
      local keyed = weir.keyed(function() return weir.bucket { rate = 1, burst = 1 } end)
      local start = weir.now()
      for _ = 1, 3 do keyed:with("a", function() end) end
      helper.elapsed(2, start)
    end))

    it("gives both back when fn raises", helper.virtual(function()
      local parent = weir.semaphore(1)
      local keyed = weir.keyed(semaphore_of(1), { parent = parent })
      local oops = {}
      for _ = 1, 3 do
        local _, err = pcall(keyed.with, keyed, "a", error, oops)
        assert.equal(oops, err)
      end
      assert.equal(1, parent.available)
      assert.equal(1, keyed("a").available)
    end))

    it("gives the key's permit back when the parent is closed", helper.virtual(function()
      local parent = weir.semaphore(1)
      local keyed = weir.keyed(semaphore_of(1), { parent = parent })
      local held = parent:acquire()
      local t = weir.spawn(function() return pcall(keyed.with, keyed, "a", function() end) end)
      weir.checkpoint()
      parent:close()
      local ok, err = t:await()
      assert.is_false(ok)
      assert.equal("closed", weir.kind(err))
      assert.is_true(keyed("a"):is_idle())
      held:release()
    end))

    it("inside with, in a ring, is a deadlock that is told", helper.virtual(function()
      local keyed = weir.keyed(semaphore_of(1), { parent = weir.semaphore(2) })
      local outcomes = weir.settle {
        function() keyed:with("a", function() weir.sleep(1) keyed:with("b", weir.sleep, 1) end) end,
        function() keyed:with("b", function() weir.sleep(1) keyed:with("a", weir.sleep, 1) end) end,
      }
      local told = 0
      for i = 1, 2 do told = told + (outcomes[i].ok and 0 or weir.kind(outcomes[i].error) == "deadlock" and 1 or 9) end
      assert.equal(1, told)
      assert.equal(0, keyed:stats().in_use)
    end))

    it("loses nothing when it is cancelled, wherever that is", function()
      local waits = helper.cancel_everywhere(function()
        local parent = weir.semaphore(2)
        local keyed = weir.keyed(semaphore_of(1), { parent = parent, max = 3, idle = 1 })
        local ok, err = pcall(weir.scope, function(s)
          for i = 1, 6 do
            s:spawn(function() keyed:with(i % 3, weir.sleep, 1) end)
          end
        end)
        assert(parent.available == 2 and parent.waiting == 0, "a permit of the parent is lost")
        for _, semaphore in pairs(keyed) do
          assert(semaphore:is_idle(), "a permit of a key is lost")
        end
        if not ok then error(err, 0) end
      end)
      assert.is_true(waits > 6)
    end)
  end)

  describe("take", function()
    local function buckets(rate, burst)
      return function() return weir.bucket { rate = rate, burst = burst } end
    end

    it("takes of the bucket of the key", helper.virtual(function()
      local keyed = weir.keyed(buckets(1, 2))
      local start = weir.now()
      keyed:take("a")
      keyed:take("a", 1)
      keyed:take("b", 2)
      helper.elapsed(0, start)
      keyed:take("a")
      helper.elapsed(1, start)
    end))

    it("waits for the slower of the key's and the parent's", helper.virtual(function()
      local keyed = weir.keyed(buckets(1, 1), { parent = weir.bucket { rate = 4, burst = 2 } })
      local start = weir.now()
      keyed:take("a")
      keyed:take("b")
      helper.elapsed(0, start)
      keyed:take("c") -- its own is full, the parent's next token comes after 1/4 s
      helper.elapsed(0.25, start)
      keyed:take("a")
      helper.elapsed(1, start)
    end))

    it("takes neither when its timeout is too short", helper.virtual(function()
      local parent = weir.bucket { rate = 1, burst = 1 }
      local keyed = weir.keyed(buckets(1, 1), { parent = parent })
      keyed:take("a")
      for _ = 1, 3 do
        local err = helper.error("timeout", keyed.take, keyed, "b", 1, { timeout = 0.5 })
        assert.is_true(math.abs(err.retry_after - 1) < 1e-6)
      end
      assert.is_true(keyed("b"):is_idle())
      weir.sleep(1)
      assert.is_true(parent:is_idle())
    end))

    it("takes neither when one of them cannot give so many", helper.virtual(function()
      local parent = weir.bucket { rate = 1, burst = 1 }
      local keyed = weir.keyed(buckets(1, 5), { parent = parent })
      helper.error("impossible", keyed.take, keyed, "a", 2)
      assert.is_true(keyed("a"):is_idle())
      assert.is_true(parent:is_idle())
    end))

    it("leaves the key's tokens alone while it waits for the parent's", helper.virtual(function()
      local parent = weir.bucket { rate = 1, burst = 1 }
      local keyed = weir.keyed(buckets(1, 3), { parent = parent })
      parent:take()
      local t = weir.spawn(function() keyed:take("a") end)
      weir.sleep(0.5)
      assert.is_true(keyed("a"):is_idle())
      t:cancel()
      t:pawait()
      weir.sleep(0.5)
      assert.is_true(parent:is_idle())
    end))

    it("gives both back when it is cancelled before either is due", helper.virtual(function()
      local parent = weir.bucket { rate = 1, burst = 1 }
      local keyed = weir.keyed(buckets(1, 1), { parent = parent })
      keyed:take("a")
      local tasks = {}
      for i = 1, 3 do tasks[i] = weir.spawn(function() keyed:take("a") end) end
      weir.sleep(0.5)
      for i = 1, 3 do tasks[i]:cancel() end
      for i = 1, 3 do tasks[i]:pawait() end
      weir.sleep(0.5)
      assert.is_true(keyed("a"):is_idle())
      assert.is_true(parent:is_idle())
    end))
  end)

  it("holds its bounds under every schedule", function()
    local n = helper.explore(function()
      local keyed = weir.keyed(semaphore_of(1), { parent = weir.semaphore(1), max = 2 })
      local running = 0
      weir.scope(function(s)
        for i = 1, 3 do
          s:spawn(function()
            keyed:with(i % 2, function()
              running = running + 1
              assert.equal(1, running)
              weir.checkpoint()
              running = running - 1
            end)
          end)
        end
      end)
      assert.equal(0, keyed:stats().in_use)
    end)
    assert.is_true(n > 1)
  end)

  it("is as before when an allocation failed", function()
    helper.fail_allocations(function()
      local parent = weir.semaphore(2)
      local keyed = weir.keyed(semaphore_of(1), { parent = parent, max = 3 })
      for i = 1, 12 do
        pcall(keyed.with, keyed, i % 5, weir.sleep, 0.1)
        assert(#keyed <= 3 and keyed:stats().in_use == 0 and parent:is_idle())
      end
    end)
  end)
end)
