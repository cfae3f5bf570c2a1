-- catalogue_spec.lua - the catalogue of concurrency patterns for Node.js, fault by fault: each is absent here.
--
-- One `describe` for each row of docs/catalogue.md, by the row's name; the last test holds both against each other.
-- An `it` is a fault of the pattern as it is printed in tutorials. What a primitive promises beyond that is in its own
-- spec.

local helper = require "support.helper"
local weir = require "weir"

local kind, virtual = weir.kind, helper.virtual

local rows = {}

-- describe, by the name of a row.
local function row(name, fn)
  rows[name] = true
  describe("catalogue: " .. name, fn)
end

-- Work of `seconds` that counts how many are at it, and who ended.
local function desk()
  local d = { now = 0, most = 0, ended = 0 }
  function d.work(seconds, failure)
    d.now = d.now + 1
    d.most = math.max(d.most, d.now)
    local _ <close> = setmetatable({}, { __close = function() d.now, d.ended = d.now - 1, d.ended + 1 end })
    weir.sleep(seconds)
    if failure then error(failure, 0) end
    return seconds
  end
  return d
end

row("Promise.all", function()
  it("has a bound, and nothing runs on after a failure", virtual(function()
    local d = desk()
    local ok, err = pcall(weir.map, { n = 10000 }, function(_, i)
      d.work(0.1, i == 70 and "no answer")
    end, { limit = 50 })
    assert.same({ false, "no answer" }, { ok, err })
    assert.same({ 50, 0 }, { d.most, d.now })
    assert.is_true(d.ended <= 150) -- of ten thousand
  end))

  it("has a bound where nobody says one", virtual(function()
    local d = desk()
    weir.each({ n = 1000 }, function() d.work(0.1) end)
    assert.equal(64, d.most)
  end))
end)

row("Promise.allSettled", function()
  it("takes failures as outcomes, within a bound too", virtual(function()
    local d = desk()
    local s = weir.settle { function() return d.work(1) end, function() return d.work(1, "down") end }
    assert.same({ true, 1, false, "down" }, { s[1].ok, s[1].value, s[2].ok, s[2].error })
    local _, errors = weir.map({ n = 100 }, function(_, i) d.work(1, i % 2 == 0 and "down") end,
      { limit = 10, on_error = "collect" })
    assert.same({ nil, "down", 10 }, { errors[1], errors[2], d.most })
  end))
end)

row("Promise.race", function()
  it("leaves no loser running", virtual(function()
    local d = desk()
    assert.equal(1, weir.race { function() return d.work(9) end, function() return d.work(1) end })
    assert.same({ 0, 2 }, { d.now, d.ended })
  end))
end)

row("withTimeout", function()
  it("ends the work, whose later error is nobody's, and leaves no timer", virtual(function()
    local d = desk()
    local start = weir.now()
    local err = helper.error("timeout", weir.timeout, 5, d.work, 60, "too late")
    assert.equal("timeout", err.kind)
    assert.equal(0, d.now)
    helper.elapsed(5, start)
    for _ = 1, 1000 do weir.timeout(30, weir.checkpoint) end
    helper.elapsed(5, start)
  end))
end)

row("hedged requests", function()
  local function hedged(after, calls)
    local list = {}
    for i, call in ipairs(calls) do
      list[i] = function()
        weir.sleep((i - 1) * after)
        return call()
      end
    end
    return weir.any(list)
  end

  it("sends the second only where the first is slow; an error does not win, and losers are ended", virtual(function()
    local d = desk()
    local function call(seconds, failure) return function() return d.work(seconds, failure) end end
    assert.equal(0.02, hedged(0.05, { call(0.02), call(0.03) }))
    assert.equal(1, d.ended)
    assert.equal(0.03, hedged(0.05, { call(9), call(0.03) }))
    assert.same({ 3, 0 }, { d.ended, d.now })
    assert.equal(0.03, hedged(0.05, { call(0.01, "down"), call(0.03) }))
  end))
end)

row("semaphore", function()
  it("makes no permit out of a release too many", virtual(function()
    local sem = weir.semaphore(1)
    local permit = sem:acquire()
    permit:release()
    helper.error("misuse", permit.release, permit)
    assert.same({ 1, 1 }, { sem.available, sem.capacity })
  end))

  it("loses no permit to who gives up waiting", virtual(function()
    local sem = weir.semaphore(1)
    local permit = sem:acquire()
    local late = weir.spawn(pcall, sem.acquire, sem, { timeout = 1 })
    local gone = weir.spawn(pcall, sem.acquire, sem)
    weir.sleep(2)
    gone:cancel()
    assert.equal("timeout", kind(select(2, late:await())))
    assert.equal("cancelled", kind(select(2, gone:await())))
    permit:release()
    assert.same({ 1, 0 }, { sem.available, sem.waiting })
  end))

  it("takes no size that is none", virtual(function()
    for _, n in ipairs { 0, -1, 1.5, 0 / 0, "3" } do helper.error("misuse", weir.semaphore, n) end
  end))

  it("serves in order, whoever comes at the moment of a release", virtual(function()
    local sem, order = weir.semaphore(1), {}
    local permit = sem:acquire()
    for i = 1, 3 do weir.spawn(sem.with, sem, function() order[#order + 1] = i end) end
    weir.checkpoint()
    permit:release()
    assert.is_false((sem:try_acquire()))
    sem:with(function() order[#order + 1] = "late" end)
    assert.same({ 1, 2, 3, "late" }, order)
  end))
end)

row("p-limit", function()
  it("keeps its slot where the function throws before it waits", virtual(function()
    local limit = weir.limit(1)
    assert.same({ false, "thrown" }, { limit(error, "thrown", 0):pawait() })
    assert.equal("X", limit(string.upper, "x"):await())
    assert.same({ 0, 0 }, { limit.active, limit.pending })
  end))

  it("says that a job waits for a slot that it has itself", virtual(function()
    local limit = weir.limit { n = 1, name = "api" }
    local ok, err = limit(function() return limit(string.upper, "inner"):await() end):pawait()
    assert.is_false(ok)
    assert.equal("deadlock", kind(err))
    assert.truthy(tostring(err):find("api", 1, true))
  end))

  it("lets go what is queued", virtual(function()
    local limit = weir.limit(1)
    limit(weir.sleep, 1)
    local queued = limit(error, "never")
    assert.equal(1, limit:clear "shutting down")
    local ok, err = queued:pawait()
    assert.same({ false, "cancelled", "shutting down" }, { ok, kind(err), err.reason })
  end))
end)

row("weighted semaphore", function()
  it("refuses what never fits, and weights that are none", virtual(function()
    local sem = weir.semaphore(20)
    helper.error("impossible", sem.acquire, sem, 21)
    for _, weight in ipairs { 0, -1, 0 / 0, 0.5 } do helper.error("misuse", sem.acquire, sem, weight) end
    assert.equal(20, sem.available)
  end))

  it("lets a large request starve nobody, nor be starved", virtual(function()
    local sem, order = weir.semaphore { permits = 4, bypass = 2 }, {}
    local permit = sem:acquire(3)
    weir.spawn(sem.with_n, sem, 4, function() order[#order + 1] = "large" end)
    for i = 1, 4 do
      weir.spawn(sem.with, sem, function() order[#order + 1] = i weir.sleep(1) end)
    end
    weir.sleep(5)
    assert.same({ 1, 2 }, order)
    permit:release()
    weir.sleep(5)
    assert.equal("large", order[3])
    assert.equal(5, #order)
  end))
end)

row("priority semaphore", function()
  it("serves the low ones in the end", virtual(function()
    local sem, served = weir.semaphore { permits = 1, order = "priority" }, false
    weir.spawn(function()
      local _ <close> = sem:acquire { priority = 0 }
      served = weir.now()
    end)
    local start = weir.now()
    weir.scope(function(scope)
      for i = 0, 99 do
        scope:spawn(function()
          weir.sleep(i * 0.1)
          local _ <close> = sem:acquire { priority = 3 }
          weir.sleep(0.1)
        end)
      end
    end)
    assert.truthy(served)
    assert.is_true(served - start < 5)
  end))
end)

row("connection pool", function()
  local function pool_of(d, options)
    options.create = options.create or function() d.work(0.15) return {} end
    options.destroy = options.destroy or function() end
    return weir.pool(options)
  end

  it("has never more than max, those on their way included", virtual(function()
    local d, open, most = desk(), 0, 0
    local pool <close> = pool_of(d, { max = 5, dial_stagger = 0, max_dials = 100,
      create = function() open = open + 1 most = math.max(most, open) weir.sleep(0.15) return {} end,
      destroy = function() open = open - 1 end })
    weir.map({ n = 50 }, function() pool:with(function() weir.sleep(0.01) end) end, { limit = 50 })
    assert.equal(5, most)
  end))

  it("serves who waits by what comes back first, his own dial or another's return", virtual(function()
    local slow = 0
    local pool <close> = pool_of(desk(), { max = 2, dial_stagger = 0,
      create = function() slow = slow + 1 weir.sleep(slow == 1 and 0.1 or 5) return {} end })
    local start = weir.now()
    weir.spawn(pool.with, pool, function() weir.sleep(0.3) end)
    weir.sleep(0.01)
    pool:with(function() helper.elapsed(0.4, start) end)
  end))

  it("makes another where a dial failed or one is broken, so that nobody waits in vain", virtual(function()
    local n = 0
    local pool <close> = pool_of(desk(), { max = 1, create = function()
      n = n + 1
      weir.sleep(0.1)
      if n == 1 then error("refused", 0) end
      return {}
    end })
    local first, second = weir.spawn(pcall, pool.acquire, pool), weir.spawn(function()
      local lease = pool:acquire()
      weir.sleep(1)
      lease:discard()
      return "served"
    end)
    local third = weir.spawn(pool.with, pool, function() return "served too" end)
    assert.same({ false, "refused" }, { first:await() })
    assert.same({ "served", "served too" }, { second:await(), (third:await()) })
    assert.equal(3, n)
  end))

  it("waits for no check for ever", virtual(function()
    local n = 0
    local pool <close> = pool_of(desk(), { max = 1, check_idle = 0, check_timeout = 2,
      create = function() n = n + 1 return {} end, check = function() weir.sleep(1e6) return true end })
    pool:with(function() end)
    local start = weir.now()
    pool:with(function() end)
    helper.elapsed(2, start)
    assert.equal(2, n)
  end))

  it("leaves those on loan alone when it closes, and takes them in after", virtual(function()
    local destroyed = 0
    local pool = pool_of(desk(), { max = 1, destroy = function() destroyed = destroyed + 1 end })
    local lease = pool:acquire()
    local waiting = weir.spawn(pcall, pool.acquire, pool)
    weir.checkpoint()
    pool:close "over"
    assert.equal("closed", kind(select(2, waiting:await())))
    assert.same({ 0, true }, { destroyed, lease.held })
    lease:release()
    weir.sleep(1)
    assert.same({ 1, 0 }, { destroyed, pool.total })
    helper.error("closed", pool.acquire, pool)
  end))

  it("takes nothing back twice", virtual(function()
    local pool <close> = pool_of(desk(), { max = 1 })
    local lease = pool:acquire()
    lease:release()
    helper.error("misuse", lease.release, lease)
    assert.equal(1, pool.idle)
  end))
end)

row("fire and forget", function()
  it("has its failure reported, and the program goes on", virtual(function()
    local seen
    local before = weir.on_unhandled(function(err) seen = err return true end)
    local task = weir.detach(error, "cache warming", 0)
    weir.sleep(1)
    weir.on_unhandled(before)
    assert.same({ "cache warming", "failed" }, { seen, task.status })
  end))
end)

row("thundering herd", function()
  it("loads once, and who leaves takes nothing from the others", virtual(function()
    local loads = 0
    local cache <close> = weir.cache { load = function() loads = loads + 1 weir.sleep(0.1) return "row" end }
    local hasty = weir.spawn(pcall, weir.timeout, 0.01, cache.get, cache, 7)
    local found = weir.map({ n = 1000 }, function() return cache:get(7) end, { limit = math.huge })
    assert.equal("timeout", kind(select(2, hasty:await())))
    assert.same({ "row", 1 }, { found[1000], loads })
  end))

  it("keeps no value that was loaded before a change", virtual(function()
    local row_now = "old"
    local cache <close> = weir.cache { load = function() local seen = row_now weir.sleep(0.1) return seen end }
    local reader = weir.spawn(cache.get, cache, 7)
    weir.sleep(0.05)
    row_now = "new"
    cache:delete(7)
    assert.equal("old", reader:await())
    assert.equal("new", cache:get(7))
  end))

  it("is bounded, and remembers a failure where it shall", virtual(function()
    local loads = 0
    local cache <close> = weir.cache { max = 10, negative_ttl = 1, load = function()
      loads = loads + 1
      error("down", 0)
    end }
    for _ = 1, 100 do pcall(cache.get, cache, 1) end
    assert.equal(1, loads)
    for i = 1, 1000 do cache:set(i, i) end
    assert.equal(10, cache.count)
  end))
end)

row("nested semaphores", function()
  it("are a deadlock that is named, not a hang", virtual(function()
    local one = weir.semaphore { permits = 1, name = "one" }
    local err = helper.error("deadlock", one.with, one, function() one:with(error, "never") end)
    assert.truthy(tostring(err):find("one", 1, true))
    assert.equal(1, one.available)
  end))

  it("taken crosswise are one too", virtual(function()
    local a, b = weir.semaphore { permits = 1, name = "a" }, weir.semaphore { permits = 1, name = "b" }
    local function both(x, y)
      return pcall(x.with, x, function()
        weir.sleep(1)
        return y:with(function() return "both" end)
      end)
    end
    local s = weir.settle { function() return { both(a, b) } end, function() return { both(b, a) } end }
    local first, second = s[1].value, s[2].value
    assert.is_true(first[1] ~= second[1]) -- one is told, the other has both
    assert.equal("deadlock", kind(first[1] and second[2] or first[2]))
  end))
end)

row("token bucket", function()
  it("refuses more than the burst, and amounts that are none", virtual(function()
    local api = weir.bucket { rate = 10, burst = 2 }
    helper.error("impossible", api.take, api, 3)
    for _, n in ipairs { 0, -5, 0 / 0 } do helper.error("misuse", api.take, api, n) end
    assert.is_true((api:try_take(2)))
    assert.is_false((api:try_take(1)))
  end))

  it("serves in order, and who gives up holds nobody up", virtual(function()
    local api, order = weir.bucket { rate = 10, burst = 1 }, {}
    api:take()
    local start = weir.now()
    local function take(i)
      api:take()
      order[#order + 1] = i
    end
    local tasks = {}
    for i = 1, 4 do tasks[i] = weir.spawn(pcall, take, i) end
    weir.sleep(0.15)
    tasks[2]:cancel()
    assert.is_false((api:try_take()))
    weir.sleep(1)
    assert.same({ 1, 3, 4 }, order)
    helper.elapsed(1.15, start)
  end))

  it("does not drift", virtual(function()
    local api = weir.bucket { rate = 3, burst = 1 }
    local start = weir.now()
    for _ = 1, 30001 do api:take() end
    helper.elapsed(10000, start)
  end))
end)

row("adaptive concurrency", function()
  it("changes its limit in place: nobody is left behind, and no more run than the old limit", virtual(function()
    local gate, d = weir.semaphore(8), desk()
    weir.spawn(function()
      weir.sleep(0.5)
      gate:resize(2)
      weir.sleep(5)
      gate:resize(4)
    end)
    weir.map({ n = 40 }, function() gate:with(d.work, 1) end, { limit = 40 })
    assert.same({ 8, 40, 4, 4 }, { d.most, d.ended, gate.capacity, gate.available })
  end))
end)

row("structured concurrency", function()
  it("waits for all it cancels, and their errors are kept", virtual(function()
    local d, errors = desk(), nil
    local ok, err = pcall(weir.scope, { timeout = 30 }, function(scope)
      errors = scope
      scope:spawn(d.work, 60)
      scope:spawn(d.work, 1, "no stock")
      scope:spawn(d.work, 1, "no money")
    end)
    assert.is_false(ok)
    assert.equal("no stock", err)
    assert.same({ 0, 3 }, { d.now, d.ended })
    assert.equal("no stock", errors.errors[1].error)
  end))

  it("joins what is spawned while it joins", virtual(function()
    local d = desk()
    weir.scope(function(scope)
      scope:spawn(function()
        d.work(1)
        scope:spawn(d.work, 5)
      end)
    end)
    assert.equal(2, d.ended)
  end))
end)

row("async iterators", function()
  it("take no more from the source than there is room for, and nothing once the loop is left", virtual(function()
    local taken, done, ahead = 0, 0, 0
    local function source()
      taken = taken + 1
      ahead = math.max(ahead, taken - done)
      return taken
    end
    local ok = pcall(weir.each, source, function(i)
      weir.sleep(1)
      done = done + 1
      if i == 50 then error("enough", 0) end
    end, { limit = 5 })
    assert.is_false(ok)
    assert.is_true(ahead <= 6)
    local so_far = taken
    weir.sleep(100)
    assert.equal(so_far, taken)
  end))
end)

row("sizing", function()
  local queueing = require "weir.queueing"

  it("says what is not stable, and has no factorials that overflow", function()
    assert.equal(5, queueing.little { rate = 1000, time = 0.005 })
    assert.is_false(queueing.wait { rate = 1000, service = 0.005, servers = 5 }.stable)
    local p = queueing.erlang_c(9900, 10000)
    assert.is_true(p > 0 and p < 1)
  end)
end)

describe("catalogue: the page", function()
  it("has a row for each, and no other, and names tests that there are", function()
    local file <close> = assert(io.open("docs/catalogue.md"))
    local told = {}
    for line in file:lines() do
      for spec in line:gmatch("`([%w_]+_spec)`") do
        assert(io.open(("spec/lua/%s.lua"):format(spec))):close()
      end
      local name = line:match("^| %*%*(.-)%*%* |")
      if name then told[name] = true end
    end
    for _, name in ipairs { "50,000 webhooks", "3 a.m." } do -- whole programs, with tests of their own
      assert.is_true(told[name])
      told[name] = nil
    end
    assert.same(rows, told)
  end)
end)
