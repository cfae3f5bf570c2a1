-- bucket_spec.lua - rate limits: one queue over token buckets and windows, timed by the rate of the moment.

local helper = require "support.helper"
local support = require "support.bucket"
local weir = require "weir"

local empty, takers, assert_served = support.empty, support.takers, support.assert_served

describe("weir.bucket", function()
  it("starts full", helper.virtual(function()
    local bucket = weir.bucket { rate = 10, burst = 5, name = "api" }
    assert.equal(5, bucket.available)
    assert.equal(10, bucket.rate)
    assert.equal(5, bucket.burst)
    assert.equal(0, bucket.waiting)
    assert.equal("api", bucket.name)
    local start = weir.now()
    bucket:take(5)
    helper.elapsed(0, start)
  end))

  it("has a burst of one unless told", helper.virtual(function()
    local bucket = weir.bucket { rate = 10 }
    assert.equal(1, bucket.burst)
    assert.is_true(bucket:try_take())
    assert.is_false((bucket:try_take()))
  end))

  it("fills at its rate up to its burst and no further", helper.virtual(function()
    local bucket = empty { rate = 10, burst = 5 }
    weir.sleep(0.3)
    assert.near(3, bucket.available, 1e-6)
    weir.sleep(1000)
    assert.equal(5, bucket.available)
  end))

  it("can be made and asked outside tasks", function()
    local out = helper.program [[
      local weir = require "weir"
      local bucket = weir.bucket { rate = 0, burst = 2 }
      print(bucket:try_take(), bucket:try_take(), bucket:try_take())
      print(bucket:reserve(1).delay)
      print(pcall(bucket.take, bucket))
    ]]
    assert.is_truthy(out:find("^true\ttrue\tfalse\tbusy\tinf\ninf\nfalse\tbucket:take: must be called inside a"))
  end)

  it("prints its name and limits", helper.virtual(function()
    local bucket = weir.bucket { rate = 10, burst = 5, window = { n = 300, per = 60 }, name = "api" }
    assert.equal("weir.bucket api(10/s, burst 5; at most 300 in 60 s, 0 waiting)", tostring(bucket))
  end))

  it("refuses bad limits as misuse", helper.virtual(function()
    for _, case in ipairs {
      { {}, "must be given" },
      { { rate = -1 }, "'rate'" }, { { rate = 0 / 0 }, "'rate'" }, { { rate = "1" }, "'rate'" },
      { { rate = 1, burst = 0 }, "'burst'" }, { { burst = 1 }, "'rate'" }, { { rate = 1, brust = 1 }, "brust" },
      { { limits = {} }, "'limits'" }, { { limits = { 1 } }, "'limits'" }, { { limits = { { burst = 2 } } }, "'rate'" },
      { { window = { n = 0, per = 1 } }, "'n'" }, { { window = { n = 1 } }, "'per'" },
      { { window = { n = 1, per = math.huge } }, "'per'" }, { { window = { n = 1 << 21, per = 1 } }, "'n'" },
      { { rate = 1, max_waiting = -1 }, "'max_waiting'" }, { { rate = 1, name = 1 }, "'name'" },
      { "x", "'options'" },
    } do
      local err = helper.error("misuse", weir.bucket, case[1])
      assert.is_truthy(tostring(err):find("weir.bucket", 1, true))
      assert.is_truthy(tostring(err):find(case[2], 1, true), tostring(err))
    end
  end))

  describe("take", function()
    it("takes any number above zero, fractions included", helper.virtual(function()
      local bucket = weir.bucket { rate = 1, burst = 1 }
      for _ = 1, 10 do assert.is_true(bucket:try_take(0.1)) end -- which no double is
      assert.is_false((bucket:try_take(0.1)))
      local start = weir.now()
      bucket:take(0.25)
      helper.elapsed(0.25, start)
      for _, n in ipairs { 0, -1, 0 / 0, "1", {} } do
        local err = helper.error("misuse", bucket.try_take, bucket, n)
        assert.is_truthy(tostring(err):find("bucket:try_take: 'n' must be a number > 0", 1, true))
      end
      helper.error("misuse", bucket.take, bucket, 1, { timeuot = 1 })
      helper.error("misuse", bucket.take, bucket, { timeout = -1 })
    end))

    it("waits exactly until the tokens are there", helper.virtual(function()
      local bucket = empty { rate = 3 }
      local start = weir.now()
      for _ = 1, 3000 do bucket:take() end
      assert.near(1000, weir.now() - start, 1e-9)
    end))

    it("serves in order of arrival, the large before the small behind it", helper.virtual(function()
      -- aiolimiter keeps its waiters by amount: the large one would starve.
      local bucket = empty { rate = 10, burst = 10 }
      local served = takers(bucket, { 10, 1, 1 })
      assert.equal(3, bucket.waiting)
      weir.sleep(0.5)
      assert.is_false((bucket:try_take(1))) -- 5 are there, and not for us
      weir.sleep(2)
      assert_served({ { 1, 1 }, { 2, 1.1 }, { 3, 1.2 } }, served)
    end))

    it("does not switch tasks when the tokens are there", helper.virtual(function()
      local bucket, switched = weir.bucket { rate = 1, burst = 50 }, false
      weir.spawn(function() switched = true end)
      for _ = 1, 50 do bucket:take() end
      assert.is_false(switched)
    end))

    it("spends the task's budget", helper.virtual(function()
      local bucket, turns = weir.bucket { rate = math.huge }, 0
      weir.spawn(function() turns = turns + 1 end)
      for _ = 1, 200 do bucket:take() end
      assert.equal(1, turns)
    end))

    it("raises impossible for more than the burst", helper.virtual(function()
      -- Effect grants it after one window without a charge, redis_rate says to try again later.
      local bucket = weir.bucket { rate = 100, burst = 2, name = "small" }
      local err = helper.error("impossible", bucket.take, bucket, 3)
      assert.equal("small", err.name)
      assert.equal("bucket:take: 3 tokens can never be had (100/s, burst 2)", tostring(err))
      assert.equal(0, bucket.waiting)
      assert.same({ false, "impossible" }, { bucket:try_take(3) })
      helper.error("impossible", bucket.reserve, bucket, 2.5)
      assert.equal(2, bucket.available)
    end))

    it("raises timeout at once if it cannot be in time", helper.virtual(function()
      -- resilience4j sleeps the whole timeout before it says no.
      local bucket = empty { rate = 10, name = "api" }
      takers(bucket, { 1, 1 })
      local start = weir.now()
      local err = helper.error("timeout", bucket.take, bucket, 1, { timeout = 0.25 })
      helper.elapsed(0, start)
      assert.near(0.3, err.retry_after, 1e-6)
      assert.equal("api", err.name)
      assert.equal(2, bucket.waiting)
      bucket:take(1, { timeout = 0.3 })
      helper.elapsed(0.3, start)
    end))

    it("waits for what falls due in the instant of its timeout", helper.virtual(function()
      local bucket = empty { rate = 3 }
      for _ = 1, 10 do bucket:take { timeout = 1 / 3 + 1e-9 } end
    end))

    it("takes now or not at all with a timeout of zero", helper.virtual(function()
      local bucket = weir.bucket { rate = 1 }
      bucket:take { timeout = 0 }
      assert.near(1, helper.error("timeout", bucket.take, bucket, { timeout = 0 }).retry_after, 1e-6)
    end))

    it("times out if the rate was lowered while it waited", helper.virtual(function()
      local bucket = empty { rate = 1 }
      local waiter = weir.spawn(pcall, bucket.take, bucket, { timeout = 2 })
      weir.checkpoint()
      bucket:set { rate = 0.1 }
      local start = weir.now()
      local _, err = waiter:await()
      assert.equal("timeout", weir.kind(err))
      assert.near(8, err.retry_after, 1e-6)
      helper.elapsed(2, start)
    end))

    it("raises overload beyond max_waiting, with retry_after", helper.virtual(function()
      local bucket = empty { rate = 10, max_waiting = 2 }
      takers(bucket, { 1, 1 })
      local err = helper.error("overload", bucket.take, bucket)
      assert.near(0.3, err.retry_after, 1e-6)
      helper.error("overload", bucket.reserve, bucket)
      for _, none in ipairs { 0, 0.0 } do
        local never = empty { rate = 10, max_waiting = none }
        helper.error("overload", never.take, never)
      end
    end))

    it("is not made up for by a burst when the loop was late", helper.virtual(function()
      local bucket = empty { rate = 10, burst = 2 }
      weir.sleep(1000) -- as if nothing had run
      assert.is_true(bucket:try_take(2))
      assert.is_false((bucket:try_take(0.01)))
    end))

    it("cannot be called on something else", helper.virtual(function()
      local bucket = weir.bucket { rate = 1 }
      helper.error("misuse", bucket.take, {})
      helper.error("misuse", bucket.reserve(bucket).cancel, bucket)
      helper.error("misuse", function() return bucket.nonsense end)
    end))
  end)

  describe("try_take", function()
    it("answers and never waits", helper.virtual(function()
      local bucket = weir.bucket { rate = 10, burst = 2 }
      assert.same({ true }, { bucket:try_take(2) })
      local ok, reason, retry_after = bucket:try_take(2)
      assert.is_false(ok)
      assert.equal("busy", reason)
      assert.near(0.2, retry_after, 1e-6)
      bucket:close()
      assert.same({ false, "closed" }, { bucket:try_take() })
    end))

    it("charges nothing for what it refuses", helper.virtual(function()
      -- upstash's bucket goes from 1 to -99 to -199 with each call it rejects.
      local bucket = weir.bucket { rate = 1, burst = 10 }
      bucket:take(9)
      for _ = 1, 100 do assert.is_false((bucket:try_take(5))) end
      assert.equal(1, bucket.available)
      assert.is_true(bucket:try_take(1))
    end))

    it("keeps fractions that it cannot grant", helper.virtual(function()
      -- redis_rate's AllowAtMost grants 3 of 3.28 and burns the rest.
      local bucket = empty { rate = 1, burst = 10 }
      weir.sleep(3.28)
      assert.is_true(bucket:try_take(3))
      assert.near(0.28, bucket.available, 1e-6)
    end))
  end)

  describe("set", function()
    it("times anew all who wait", helper.virtual(function()
      -- x/time/rate: SetLimit from 1 to 1000 a second leaves the waiter asleep for its second.
      local bucket = empty { rate = 1 }
      local served = takers(bucket, { 1, 1 })
      local r = bucket:reserve()
      weir.sleep(0.5)
      bucket:set { rate = 1000 }
      assert.equal(1000, bucket.rate)
      assert.near(0.0025, r.delay, 1e-9)
      weir.sleep(1)
      assert_served({ { 1, 0.5005 }, { 2, 0.5015 } }, served)
    end))

    it("mints nothing with a larger burst", helper.virtual(function()
      local bucket = weir.bucket { rate = 1, burst = 10 }
      bucket:take(7)
      bucket:set { burst = 1000 }
      assert.equal(3, bucket.available)
      assert.equal(1000, bucket.burst)
      bucket:set { burst = 2 }
      assert.equal(2, bucket.available)
      bucket:set { burst = 10 }
      assert.equal(2, bucket.available)
    end))

    it("ends with impossible those a smaller burst cannot serve", helper.virtual(function()
      local bucket = empty { rate = 10, burst = 10 }
      local large = weir.spawn(pcall, bucket.take, bucket, 5)
      local served = takers(bucket, { 2 })
      local r = bucket:reserve(4)
      bucket:set { burst = 3 }
      assert.equal("impossible", weir.kind(select(2, large:await())))
      assert.equal("impossible", r.state)
      assert.equal(math.huge, r.delay)
      weir.sleep(1)
      assert_served({ { 1, 0.2 } }, served)
    end))

    it("checks what it is given and leaves all as it was", helper.virtual(function()
      local bucket = weir.bucket { rate = 1, burst = 2 }
      for _, bad in ipairs { { rate = -1 }, { burst = 0 }, { rate = 5, burst = 0 / 0 }, { name = "x" },
        { window = { n = 1 } }, { limits = { { rate = 1 } } }, 7 } do
        helper.error("misuse", bucket.set, bucket, bad)
      end
      assert.equal(1, bucket.rate)
      assert.equal(2, bucket.burst)
    end))
  end)

  describe("with a rate of zero", function()
    it("gives the burst only, until set", helper.virtual(function()
      local bucket = weir.bucket { rate = 0, burst = 2 }
      bucket:take(2)
      assert.same({ false, "busy", math.huge }, { bucket:try_take() })
      assert.equal(math.huge, helper.error("timeout", bucket.take, bucket, { timeout = 5 }).retry_after)
      local served = takers(bucket, { 1 })
      weir.sleep(1e6)
      assert.equal(1, bucket.waiting)
      bucket:set { rate = 10 }
      weir.sleep(1)
      assert_served({ { 1, 1e6 + 0.1 } }, served)
    end))

    it("stops a bucket and keeps what is in it", helper.virtual(function()
      local bucket = weir.bucket { rate = 1, burst = 5 }
      bucket:take(3)
      bucket:set { rate = 0 }
      weir.sleep(100)
      assert.equal(2, bucket.available)
    end))

    it("is a deadlock when nobody is left to set it", helper.virtual(function()
      local r = helper.simulate(function() empty({ rate = 0, name = "stopped" }):take() end)
      assert.is_false(r.ok)
      assert.equal("deadlock", weir.kind(r.error))
      assert.is_truthy(tostring(r.error):find("stopped", 1, true))
    end))
  end)

  it("never waits at an infinite rate", helper.virtual(function()
    local bucket, start = weir.bucket { rate = math.huge }, weir.now()
    for _ = 1, 1000 do bucket:take(1e9) end
    helper.elapsed(0, start)
    bucket:set { rate = 1 }
    assert.equal(1, bucket.available)
    helper.error("impossible", bucket.take, bucket, 2)
  end))

  describe("over several limits", function()
    it("charges all or none", helper.virtual(function()
      local bucket = weir.bucket { limits = { { rate = 10, burst = 10 }, { rate = 5, burst = 30 } } }
      local start = weir.now()
      for _ = 1, 3 do bucket:take(10) end
      helper.elapsed(2, start)
      bucket:take(10) -- 30 + 5 a second: 40 at 2 s
      helper.elapsed(3, start)
      bucket:take(10)
      helper.elapsed(5 - 1, start)
      for _ = 1, 100 do bucket:try_take(10) end
      bucket:take(5)
      assert.is_true(weir.now() - start <= 5 + 1e-6)
    end))

    it("takes a window beside them, by name", helper.virtual(function()
      local bucket = weir.bucket { rate = 10, burst = 10, window = { n = 15, per = 60 } }
      bucket:take(10)
      assert.equal(0, bucket.available)
      weir.sleep(10)
      assert.equal(5, bucket.available)
      bucket:take(5)
      local ok, reason, retry_after = bucket:try_take()
      assert.same({ false, "busy" }, { ok, reason })
      assert.near(50, retry_after, 1e-6)
    end))

    it("sets them one by one", helper.virtual(function()
      local bucket = weir.bucket { rate = 1, limits = { { rate = 10, burst = 10 }, { n = 3, per = 1 } },
        window = { n = 100, per = 60 } }
      bucket:set { burst = 2, limits = { { rate = 20 }, { n = 4 } }, window = { per = 30 } }
      assert.equal("weir.bucket (1/s, burst 2; 20/s, burst 10; at most 4 in 1 s; at most 100 in 30 s, 0 waiting)",
        tostring(bucket))
    end))

    it("sets no rate where there are only limits, or a window", helper.virtual(function()
      local bucket = weir.bucket { limits = { { rate = 10, burst = 10 }, { rate = 5, burst = 30 } } }
      for _, options in ipairs { { rate = 1 }, { burst = 1 }, { rate = 1, limits = { {}, {} } } } do
        local err = helper.error("misuse", bucket.set, bucket, options)
        assert.is_truthy(tostring(err):find("no 'rate' of its own to set, only 'limits'", 1, true))
      end
      assert.equal("weir.bucket (10/s, burst 10; 5/s, burst 30, 0 waiting)", tostring(bucket))
      bucket:set { limits = { { rate = 1 }, {} } }
      assert.equal(1, bucket.rate)
      local window = weir.bucket { window = { n = 5, per = 1 } }
      local err = helper.error("misuse", window.set, window, { rate = 1 })
      assert.is_truthy(tostring(err):find("only a 'window'", 1, true))
    end))
  end)

  describe("is idle", function()
    it("when it is full and nobody waits, or says in how many seconds", helper.virtual(function()
      local bucket = weir.bucket { rate = 10, burst = 5 }
      assert.same({ true }, { bucket:is_idle() })
      bucket:take(2)
      assert.same({ false, 0.2 }, { bucket:is_idle() })
      weir.sleep(0.2)
      assert.same({ true }, { bucket:is_idle() })
      bucket:take(5)
      local place = bucket:reserve(5)
      assert.same({ false }, { bucket:is_idle() })
      place:cancel()
      assert.same({ false, 0.5 }, { bucket:is_idle() })
      bucket:set { rate = 0 }
      assert.same({ false }, { bucket:is_idle() })
    end))

    it("when all of its limits are full, whatever was set", helper.virtual(function()
      local bucket = weir.bucket { limits = { { rate = 10, burst = 10 }, { rate = 1, burst = 5 } },
        window = { n = 20, per = 60 } }
      bucket:set { limits = { { burst = 3 }, { burst = 4 } } }
      assert.is_true(bucket:is_idle())
      bucket:take(2)
      assert.same({ false, 60 }, { bucket:is_idle() })
      weir.sleep(60)
      assert.is_true(bucket:is_idle())
    end))
  end)

  describe("with a window", function()
    it("lets at most n through in any span", helper.virtual(function()
      -- A fixed window (tower, p-queue, resilience4j) lets 2 n through around its boundary.
      local bucket, times = weir.bucket { window = { n = 5, per = 1 } }, {}
      local random = helper.random()
      for i = 1, 200 do
        if random(1, 3) == 1 then weir.sleep(random(0, 500) / 1000) end
        bucket:take()
        times[i] = weir.now()
        assert.is_true(i <= 5 or times[i] - times[i - 5] >= 1 - 1e-9)
      end
    end))

    it("counts whole numbers", helper.virtual(function()
      local bucket = weir.bucket { window = { n = 5, per = 1 } }
      helper.error("misuse", bucket.take, bucket, 0.5)
      helper.error("impossible", bucket.take, bucket, 6)
      bucket:take(5)
      bucket:set { window = { n = 7 } }
      assert.is_true(bucket:try_take(2))
      assert.equal(7, bucket.burst)
      assert.equal(7, bucket.rate)
    end))
  end)

  it("does what its page shows", function()
    local page <close> = assert(io.open("docs/bucket.md"))
    local example <const> = page:read("a"):match("```lua\n(.-)```")
    local printed, shown = {}, {}
    local function record(...)
      local words <const> = table.pack(...)
      for i = 1, words.n do words[i] = tostring(words[i]) end
      printed[#printed + 1] = table.concat(words, " ")
    end
    helper.run(assert(load(example, "example", "t", setmetatable({ print = record }, { __index = _G }))))
    for text in example:gmatch("%-%->%s*([^\n]-)%s*\n") do shown[#shown + 1] = text end
    assert.same(shown, printed)
  end)
end)
