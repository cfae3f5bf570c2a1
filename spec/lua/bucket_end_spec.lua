-- bucket_end_spec.lua - reservations, cancels, close, drain, memory: nothing of a bucket is lost.

local helper = require "support.helper"
local support = require "support.bucket"
local weir = require "weir"

local empty, takers, assert_served = support.empty, support.takers, support.assert_served

describe("weir.bucket", function()
  describe("reserve", function()
    it("says when it is due", helper.virtual(function()
      local bucket = weir.bucket { rate = 10, burst = 2 }
      local now, later, last = bucket:reserve(2), bucket:reserve(), bucket:reserve(2)
      assert.equal(0, now.delay)
      assert.equal("due", now.state)
      assert.near(0.1, later.delay, 1e-6)
      assert.near(0.3, last.delay, 1e-6)
      assert.equal(2, last.n)
      assert.equal(2, bucket.reserved)
      weir.sleep(0.2)
      assert.equal(0, later.delay)
      assert.near(0.1, last.delay, 1e-6)
      assert.equal("waiting", last.state)
    end))

    it("is given back exactly by cancel, in any order", helper.virtual(function()
      -- x/time/rate: ten cancelled first to last leave -9 tokens.
      local random = helper.random()
      for _ = 1, 50 do
        local bucket, list = empty { rate = 7, burst = 5 }, {}
        for i = 1, 10 do list[i] = bucket:reserve(random(1, 20) / 4) end
        while #list > 0 do assert.is_true(table.remove(list, random(1, #list)):cancel()) end
        assert.equal(0, bucket.available)
        assert.near(1 / 7, bucket:reserve().delay, 1e-9)
      end
    end))

    it("moves up those behind a cancelled one", helper.virtual(function()
      local bucket = empty { rate = 10, burst = 10 }
      local first, second = bucket:reserve(10), bucket:reserve(1)
      local served = takers(bucket, { 1 })
      assert.near(1.1, second.delay, 1e-6)
      weir.sleep(0.05)
      assert.is_true(first:cancel())
      assert.equal("cancelled", first.state)
      assert.equal(math.huge, first.delay)
      assert.near(0.05, second.delay, 1e-6)
      weir.sleep(1)
      assert_served({ { 1, 0.2 } }, served)
    end))

    it("is not given back once it is due", helper.virtual(function()
      -- tikv/pd#10744: a refund reckoned with an old time mints tokens.
      local bucket = empty { rate = 10 }
      local r = bucket:reserve()
      weir.sleep(0.1 + 1e-9)
      assert.is_false(r:cancel())
      assert.is_false((bucket:try_take()))
      assert.is_false(bucket:reserve():cancel() and r:cancel())
    end))

    it("is given up at the end of a block if it was not due", helper.virtual(function()
      local bucket = empty { rate = 1 }
      local ok = pcall(weir.timeout, 0.5, function()
        local r <close> = bucket:reserve()
        weir.sleep(r.delay)
      end)
      assert.is_false(ok)
      assert.equal(0, bucket.reserved)
      assert.near(0.5, bucket:reserve().delay, 1e-6)
    end))

    it("holds its place when it is forgotten", helper.virtual(function()
      local bucket = empty { rate = 1 }
      bucket:reserve()
      collectgarbage()
      assert.equal(1, bucket.reserved)
      local start = weir.now()
      bucket:take()
      helper.elapsed(2, start)
    end))

    it("does not keep a program alive", helper.virtual(function()
      empty({ rate = 1 }):reserve()
    end))
  end)

  describe("close and drain", function()
    it("fails who waits and refuses new ones", helper.virtual(function()
      local bucket = empty { rate = 1, name = "api" }
      local waiter = weir.spawn(pcall, bucket.take, bucket)
      weir.checkpoint()
      bucket:close("gone")
      bucket:close("twice")
      local err = select(2, waiter:await())
      assert.equal("closed", weir.kind(err))
      assert.equal("gone", err.reason)
      assert.equal("gone", helper.error("closed", bucket.take, bucket).reason)
      helper.error("closed", bucket.reserve, bucket)
    end))

    it("serves those queued and refuses new ones", helper.virtual(function()
      local bucket = empty { rate = 10 }
      local served, start = takers(bucket, { 1, 1 }), weir.now()
      weir.spawn(function()
        weir.sleep(0.05)
        helper.error("closed", bucket.take, bucket)
      end)
      bucket:drain()
      helper.elapsed(0.2, start)
      assert.equal(2, #served)
    end))

    it("gives a drain its own timeout", helper.virtual(function()
      local bucket = empty { rate = 10 }
      takers(bucket, { 1 })
      helper.error("timeout", bucket.drain, bucket, 0.05)
    end))
  end)

  describe("cancelled", function()
    it("frees the place and moves up those behind", helper.virtual(function()
      local bucket = empty { rate = 10, burst = 10 }
      local large = weir.spawn(bucket.take, bucket, 10)
      local served = takers(bucket, { 1, 1 })
      weir.sleep(0.15)
      large:cancel()
      weir.sleep(1)
      assert_served({ { 1, 0.15 }, { 2, 0.2 } }, served)
    end))

    it("loses no token to a task that was cancelled as it was granted", helper.virtual(function()
      local bucket = empty { rate = 0, burst = 1 }
      local first = weir.spawn(bucket.take, bucket)
      local served = takers(bucket, { 1 })
      bucket:set { rate = math.huge } -- grants to both
      bucket:set { rate = 0 }
      first:cancel()
      weir.checkpoint()
      assert.equal(1, #served)
      assert.equal(1, bucket:stats().refunds)
    end))

    it("anywhere leaves nothing behind", function()
      local waits = helper.cancel_everywhere(function()
        local bucket = weir.bucket { rate = 10, burst = 2, window = { n = 20, per = 2 } }
        weir.scope(function(s)
          for i = 1, 6 do
            s:spawn(function()
              bucket:take(1 + i % 2)
              local r <close> = bucket:reserve(1)
              weir.sleep(r.delay)
              pcall(bucket.take, bucket, 1, { timeout = 0.3 })
            end)
          end
          weir.sleep(0.45)
          bucket:set { rate = 20, burst = 3 }
          bucket:take(3)
        end)
        bucket:drain()
      end)
      assert.is_true(waits > 10)
    end)

    it("under any schedule of three tasks keeps the count", function()
      assert.is_true(helper.explore(function()
        local bucket, got = weir.bucket { rate = 0, burst = 2 }, 0
        weir.scope(function(s)
          local victim = s:spawn(function()
            bucket:take()
            got = got + 1
          end)
          s:spawn(function()
            bucket:take(2)
            got = got + 2
          end)
          s:spawn(function()
            victim:cancel()
            weir.checkpoint()
            bucket:set { burst = 3 }
            bucket:set { rate = math.huge }
          end)
        end)
        assert.is_true(got == 2 or got == 3)
        assert.equal(0, bucket.waiting)
      end) > 1)
    end)
  end)

  it("survives every failed allocation", function()
    helper.fail_allocations(function()
      local bucket = weir.bucket { rate = 10, burst = 2, name = "api", window = { n = 3, per = 1 } }
      bucket:take(2)
      pcall(bucket.reserve, bucket)
      pcall(bucket.take, bucket)
      pcall(bucket.set, bucket, { window = { n = 9 } })
      pcall(bucket.take, bucket, 1)
    end)
  end)

  it("counts in stats what it did", helper.virtual(function()
    local bucket = weir.bucket { rate = 10, burst = 2, name = "api", max_waiting = 1 }
    bucket:take(2)
    bucket:try_take()
    pcall(bucket.take, bucket, 3)
    pcall(bucket.take, bucket, { timeout = 0.01 })
    bucket:reserve():cancel()
    local waiter = weir.spawn(bucket.take, bucket)
    weir.checkpoint()
    pcall(bucket.take, bucket)
    waiter:await()
    bucket:set { rate = 20 }
    bucket:close()
    bucket:try_take()
    local stats = bucket:stats()
    assert.same({ timeout = 1, cancelled = 1, closed = 1, busy = 1, impossible = 1, overload = 1 }, stats.rejects)
    assert.equal("api", stats.name)
    assert.same({ 2, 2, 0, 1, 0, 0 },
      { stats.grants, stats.queued, stats.refunds, stats.changes, stats.waiting, stats.reserved })
    assert.near(0.1, stats.wait.max, 1e-6)
    assert.equal(20, stats.rate)
    assert.equal(2, stats.burst)
    assert.equal(0, stats.held)
  end))

  it("may be dropped while a task waits for it", helper.virtual(function()
    local done = 0
    for _ = 1, 20 do
      weir.spawn(function()
        local bucket = empty { rate = 10 }
        bucket:take()
        done = done + 1
      end)
    end
    weir.checkpoint()
    collectgarbage()
    weir.sleep(1)
    assert.equal(20, done)
  end))
end)
