-- timeout_spec.lua - weir.timeout: the deadline of one call.

local helper = require "support.helper"
local weir = require "weir"

describe("weir.timeout", function()
  it("passes arguments and values through", helper.virtual(function()
    local got = table.pack(weir.timeout(5, function(...)
      weir.sleep(1)
      return select("#", ...), ...
    end, 1, nil, 3, nil))
    assert.same({ 4, 1, nil, 3, nil, n = 5 }, got)
  end))

  it("raises timeout when the time is over", helper.virtual(function()
    local start = weir.now()
    local err = helper.error("timeout", weir.timeout, 2, weir.sleep, 10)
    helper.elapsed(2, start)
    assert.is_string(err.message)
    assert.is_string(err.traceback)
  end))

  it("says which wait it hit", helper.virtual(function()
    local err = helper.error("timeout", weir.timeout, 2, weir.sleep, 10)
    assert.is_truthy(tostring(err):find("sleep", 1, true))
  end))

  it("cancels and joins what the function spawned", helper.virtual(function()
    local cleaned = false
    helper.error("timeout", weir.timeout, 2, function()
      weir.spawn(function()
        local _ <close> = helper.closing(function() weir.shield(weir.sleep, 1) cleaned = true end)
        weir.sleep(100)
      end)
      weir.sleep(100)
    end)
    assert.is_true(cleaned)
  end))

  it("also covers children that outlive the function", helper.virtual(function()
    helper.error("timeout", weir.timeout, 2, function() weir.spawn(weir.sleep, 100) end)
  end))

  it("passes an error of the function unchanged", helper.virtual(function()
    local mine = {}
    local ok, err = pcall(weir.timeout, 2, function() weir.sleep(1) error(mine) end)
    assert.is_false(ok)
    assert.equal(mine, err)
  end))

  it("is raised where it was set even if the function swallowed it", helper.virtual(function()
    helper.error("timeout", weir.timeout, 1, function() pcall(weir.sleep, 10) return "done" end)
  end))

  it("holds for every wait inside", helper.virtual(function()
    local sem = weir.semaphore(1)
    local limit = weir.limit(1)
    local waits = {
      sleep = function() weir.sleep(100) end,
      await = function() weir.spawn(weir.sleep, 100):await() end,
      pawait = function() weir.spawn(weir.sleep, 100):pawait() end,
      acquire = function()
        local _ <close> = sem:acquire()
        weir.spawn(function() local _ <close> = sem:acquire() end):await(1000)
      end,
      with = function() sem:with(weir.sleep, 100) end,
      limit = function() limit(weir.sleep, 100):await() end,
      callback = function() weir.await(function() end) end,
      scope = function() weir.scope(function(s) s:spawn(weir.sleep, 100) end) end,
      join = function() weir.scope(function(s) s:spawn(weir.sleep, 100) s:join() end) end,
      settle = function() weir.settle { function() weir.sleep(100) end } end,
      all = function() weir.all { function() weir.sleep(100) end } end,
      race = function() weir.race { function() weir.sleep(100) end } end,
      any = function() weir.any { function() weir.sleep(100) end } end,
      map = function() weir.map({ 1 }, function() weir.sleep(100) end) end,
      busy = function() while true do weir.checkpoint() weir.sleep(0.1) end end,
    }
    for name, wait in pairs(waits) do
      local start = weir.now()
      local ok, err = pcall(weir.timeout, 1, wait)
      assert.is_false(ok, name)
      assert.equal("timeout", weir.kind(err), name)
      assert.is_true(math.abs(weir.now() - start - 1) < 1e-6, name)
    end
  end))

  it("inside a longer one ends the inner call alone", helper.virtual(function()
    local value = weir.timeout(10, function()
      helper.error("timeout", weir.timeout, 1, weir.sleep, 100)
      weir.sleep(2)
      return "outer"
    end)
    assert.equal("outer", value)
  end))

  it("inside a shorter one is cut by it", helper.virtual(function()
    local start, inner_kind = weir.now(), nil
    helper.error("timeout", weir.timeout, 1, function()
      local _, err = pcall(weir.timeout, 10, weir.sleep, 100)
      inner_kind = weir.kind(err)
      error(err, 0)
    end)
    assert.equal("cancelled", inner_kind)
    helper.elapsed(1, start)
  end))

  it("of infinity is none", helper.virtual(function()
    assert.equal(1, weir.timeout(math.huge, function() weir.sleep(1e8) return 1 end))
    assert.equal(2, weir.timeout(1e300, function() weir.sleep(1e8) return 2 end))
  end))

  describe("of 0", function()
    it("lets what need not wait be done", helper.virtual(function()
      local sem = weir.semaphore(1)
      assert.equal("done", weir.timeout(0, function() return "done" end))
      assert.equal("had", weir.timeout(0, sem.with, sem, function() return "had" end))
      assert.equal(0, weir.scope({ timeout = 0 }, function() return sem:with(function() return sem.available end) end))
    end))

    it("ends the first wait, also one that would be ready in this turn", helper.virtual(function()
      helper.error("timeout", weir.timeout, 0, weir.checkpoint)
      helper.error("timeout", weir.timeout, 0, weir.sleep, 0)
      local sem = weir.semaphore(1)
      local held = sem:acquire()
      held:transfer( -- to somebody who gives it back in this turn
        weir.spawn(function() held:release() end))
      helper.error("timeout", weir.timeout, 0, sem.with, sem, function() error("got it") end)
      weir.sleep(2)
      helper.error("timeout", weir.scope, { deadline = weir.now() - 1 }, function() weir.checkpoint() end)
    end))

    it("lets children run up to their first wait", helper.virtual(function()
      local ran = 0
      local function count(wait)
        ran = ran + 1
        if wait then weir.checkpoint() end
        ran = ran + 1
      end
      weir.timeout(0, function() weir.spawn(count) end)
      assert.equal(2, ran)
      helper.error("timeout", weir.timeout, 0, function() weir.spawn(count, true) end)
      assert.equal(3, ran)
    end))

    it("is no matter inside a shield", helper.virtual(function()
      assert.equal(1, weir.timeout(0, weir.shield, function() weir.checkpoint() return 1 end))
    end))
  end)

  it("leaves no timer behind when the function is faster", function()
    local r = helper.simulate(function()
      for _ = 1, 1000 do weir.timeout(3600, function() end) end
    end)
    assert.is_true(r.ok)
    assert.equal(0, r.time)
  end)

  it("names the combinator that it hit", helper.virtual(function()
    local function slow() weir.sleep(60) end
    local calls <const> = {
      all = function(fns) weir.all(fns) end,
      race = function(fns) weir.race(fns) end,
      any = function(fns) weir.any(fns) end,
      quorum = function(fns) weir.quorum(1, fns) end,
      iter = function(fns) weir.iter(fns)() end,
      each = function(fns) weir.each(fns, function(fn) fn() end) end,
    }
    for name, call in pairs(calls) do
      local err = helper.error("timeout", weir.timeout, 1, call, { slow, slow })
      assert.equal(("weir.timeout: timed out after 1.0 s (in weir.%s)"):format(name), err.message)
    end
  end))

  it("of a wait's own raises timeout there and not at the scope", helper.virtual(function()
    local sem = weir.semaphore(1)
    local holder = weir.spawn(function() sem:with(weir.sleep, 5) end)
    weir.checkpoint()
    weir.scope({ timeout = 100 }, function()
      local err = helper.error("timeout", sem.acquire, sem, { timeout = 1 })
      assert.is_truthy(err.op:find("acquire", 1, true))
    end)
    holder:await()
  end))

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      pcall(weir.timeout, 2, function()
        weir.spawn(weir.sleep, 1)
        weir.timeout(5, weir.sleep, 1)
        weir.sleep(10)
      end)
    end)
  end)
end)
