-- cache_stale_spec.lua - old values while new ones are loaded, or cannot be; errors that are kept.

local helper = require "support.helper"
local weir = require "weir"

-- A loader that takes a second and fails while `state.bad`.
local function flaky()
  local state = { calls = 0, bad = false }
  return state, function()
    state.calls = state.calls + 1
    local mine = state.calls
    weir.sleep(1)
    if state.bad then error("bad " .. mine) end
    return mine
  end
end

describe("a stale value", function()
  it("is answered at once, and loaded anew once behind that", helper.virtual(function()
    local cache = weir.cache { ttl = 10, stale = 20 }
    local state, load = flaky()
    cache:get("k", load)
    weir.sleep(11)
    local start = weir.now()
    for _ = 1, 5 do assert.equal(1, cache:get("k", load)) end
    helper.elapsed(0, start)
    weir.sleep(0.5)
    assert.equal(1, cache:get("k", load))
    assert.equal(1, cache.loading)
    weir.sleep(1)
    assert.equal(2, cache:get("k", load))
    assert.equal(2, state.calls)
    local stats = cache:stats()
    assert.equal(6, stats.stale)
    assert.equal(1, stats.refreshes)
    assert.equal(1, stats.hits)
  end))

  it("passes the arguments of the call that found it to the load", helper.virtual(function()
    local got
    local cache = weir.cache { ttl = 1, stale = 20, load = function(...) got = table.pack(...) return got[2] end }
    cache:get("k", "old")
    weir.sleep(2)
    assert.equal("old", cache:get("k", "new", 7))
    weir.sleep(0.1)
    assert.same({ n = 3, "k", "new", 7 }, got)
    assert.equal("new", cache:get("k"))
  end))

  it("is none for peek, and too old one for nobody", helper.virtual(function()
    local cache = weir.cache { ttl = 10, stale = 20 }
    local _, load = flaky()
    cache:get("k", load)
    weir.sleep(11)
    assert.is_nil((cache:peek("k")))
    weir.sleep(20)
    local start = weir.now()
    assert.equal(2, cache:get("k", load))
    helper.elapsed(1, start)
  end))

  it("is loaded behind whatever becomes of who found it", helper.virtual(function()
    local cache = weir.cache { ttl = 10, stale = 20 }
    local _, load = flaky()
    cache:get("k", load)
    weir.sleep(11)
    local t = weir.spawn(function()
      cache:get("k", load)
      weir.sleep(100)
    end)
    weir.sleep(0.5)
    t:cancel()
    t:pawait()
    weir.sleep(1)
    assert.equal(2, cache:peek("k"))
  end))

  it("stays if the load behind it fails, which is counted and kept beside the statistics", helper.virtual(function()
    local unhandled = 0
    weir.on_unhandled(function() unhandled = unhandled + 1 return true end)
    local cache = weir.cache { ttl = 10, stale = 20 }
    local state, load = flaky()
    cache:get("k", load)
    weir.sleep(11)
    state.bad = true
    assert.equal(1, cache:get("k", load))
    weir.sleep(2)
    assert.equal(1, cache:get("k", load))
    local stats = cache:stats()
    assert.equal(1, stats.refresh_failures)
    assert.is_truthy(stats.last_error:find("bad 2", 1, true))
    assert.equal(0, unhandled)
    weir.sleep(2)
    state.bad = false
    cache:get("k", load)
    weir.sleep(2)
    assert.equal(4, cache:peek("k"))
  end))

  it("may be forbidden for one value", helper.virtual(function()
    local cache = weir.cache { ttl = 10, stale = 20, stale_if_error = 50 }
    local calls = 0
    local function load(_, bad)
      calls = calls + 1
      if bad then error("bad") end
      return calls, { stale = false }
    end
    cache:get("k", load)
    cache:set("s", "set", { stale = false })
    weir.sleep(11)
    assert.is_false(pcall(cache.get, cache, "k", load, true))
    assert.equal(3, cache:get("k", load))
    assert.equal(4, cache:get("s", load))
    assert.equal(0, cache:stats().stale)
  end))

  it("does not pin itself by a load that never ends", helper.virtual(function()
    local cache = weir.cache { ttl = 10, stale = 20 }
    cache:set("k", "old")
    weir.sleep(11)
    assert.equal("old", cache:get("k", function() weir.sleep(1e5) return "late" end))
    weir.sleep(25)
    helper.error("timeout", cache.get_with, cache, { timeout = 1 }, "k", error)
    assert.is_true(cache:delete("k"))
    assert.equal("new", cache:get("k", function() return "new" end))
  end))
end)

describe("stale_if_error", function()
  it("answers who waits for a load that failed with the old value", helper.virtual(function()
    local cache = weir.cache { ttl = 10, stale_if_error = 100 }
    local state, load = flaky()
    cache:get("k", load)
    weir.sleep(11)
    state.bad = true
    local start = weir.now()
    local values = weir.all { function() return cache:get("k", load) end, function() return cache:get("k", load) end }
    helper.elapsed(1, start)
    assert.same({ n = 2, 1, 1 }, values)
    assert.equal(2, state.calls)
    assert.equal(1, cache:stats().failures)
    weir.sleep(100)
    assert.is_false(pcall(cache.get, cache, "k", load))
  end))

  it("rests for negative_ttl after a failure", helper.virtual(function()
    local cache = weir.cache { ttl = 10, stale_if_error = 100, negative_ttl = 5 }
    local state, load = flaky()
    cache:get("k", load)
    weir.sleep(11)
    state.bad = true
    cache:get("k", load)
    local start = weir.now()
    assert.equal(1, cache:get("k", load))
    helper.elapsed(0, start)
    assert.equal(2, state.calls)
    weir.sleep(6)
    cache:get("k", load)
    assert.equal(3, state.calls)
  end))
end)

describe("negative_ttl", function()
  it("keeps an error, the same value for all", helper.virtual(function()
    local cache = weir.cache { negative_ttl = 5 }
    local calls, boom = 0, {}
    local function load() calls = calls + 1 error(boom) end
    for _ = 1, 5 do
      local ok, err = pcall(cache.get, cache, "k", load)
      assert.is_false(ok)
      assert.equal(boom, err)
    end
    assert.equal(1, calls)
    assert.same({ n = 2, [2] = false }, table.pack(cache:peek("k")))
    weir.sleep(6)
    assert.is_false(pcall(cache.get, cache, "k", load))
    assert.equal(2, calls)
    assert.equal(4, cache:stats().negative)
  end))

  it("keeps an error of nothing", helper.virtual(function()
    local cache = weir.cache { negative_ttl = 5 }
    local calls = 0
    for _ = 1, 2 do
      local out = table.pack(pcall(cache.get, cache, "k", function() calls = calls + 1 error() end))
      assert.same({ n = 2, false }, out)
    end
    assert.equal(1, calls)
  end))

  it("keeps nil, as a value", helper.virtual(function()
    local cache = weir.cache { negative_ttl = 5, ttl = 50 }
    local calls = 0
    local function load() calls = calls + 1 return nil end
    for _ = 1, 3 do assert.is_nil(cache:get("k", load)) end
    assert.equal(1, calls)
    assert.same({ n = 2, [2] = true }, table.pack(cache:peek("k")))
    weir.sleep(6)
    cache:get("k", load)
    assert.equal(2, calls)
  end))

  it("of 0 keeps neither", helper.virtual(function()
    local cache = weir.cache()
    local calls = 0
    local function load() calls = calls + 1 end
    cache:get("k", load)
    cache:get("k", load)
    assert.equal(2, calls)
    assert.equal(0, cache.count)
  end))

  it("gives way to what a loader says of nil", helper.virtual(function()
    local cache = weir.cache { ttl = 50 }
    local calls = 0
    local function load() calls = calls + 1 return nil, { ttl = 5 } end
    cache:get("k", load)
    cache:get("k", load)
    assert.equal(1, calls)
    weir.sleep(6)
    cache:get("k", load)
    assert.equal(2, calls)
  end))

  it("keeps no cancel", helper.virtual(function()
    local cache = weir.cache { negative_ttl = 50 }
    local _, load = flaky()
    helper.error("timeout", cache.get_with, cache, { timeout = 0.5 }, "k", load)
    assert.equal(2, cache:get("k", load))
  end))

  it("keeps no cancel that a loader came upon, either", helper.virtual(function()
    local cache = weir.cache { negative_ttl = 50 }
    helper.error("cancelled", cache.get, cache, "k", function()
      local task = weir.spawn(weir.sleep, 1)
      task:cancel("changed my mind")
      return task:await()
    end)
    assert.equal("cancelled", cache:stats().last_error.kind)
    assert.equal(5, cache:get("k", function() return 5 end))
  end))
end)

describe("refresh", function()
  it("loads anew and waits, while others get what is there", helper.virtual(function()
    local cache = weir.cache { name = "r" }
    local state, load = flaky()
    cache:get("k", load)
    local start = weir.now()
    local t = weir.spawn(cache.refresh, cache, "k", load)
    weir.sleep(0.5)
    assert.equal(1, cache:get("k", load))
    assert.equal(2, t:await())
    helper.elapsed(1, start)
    assert.equal(2, cache:get("k", load))
    assert.equal(2, state.calls)
  end))

  it("joins a load that is under way, and is joined", helper.virtual(function()
    local cache = weir.cache()
    local state, load = flaky()
    local values = weir.all {
      function() return cache:get("k", load) end,
      function() return cache:refresh("k", load) end,
      function() return cache:get("k", load) end,
    }
    assert.same({ n = 3, 1, 1, 1 }, values)
    assert.equal(1, state.calls)
  end))

  it("raises what the load raises, and what is there stays", helper.virtual(function()
    local cache = weir.cache { load = function() error("bad") end }
    cache:set("k", "old")
    local ok, err = pcall(cache.refresh, cache, "k")
    assert.is_false(ok)
    assert.is_truthy(err:find("bad", 1, true))
    assert.equal("old", cache:get("k"))
  end))

  it("given up ends its load, and what is there stays", helper.virtual(function()
    local cache = weir.cache()
    local _, load = flaky()
    cache:get("k", load)
    helper.error("timeout", weir.timeout, 0.5, cache.refresh, cache, "k", load)
    weir.sleep(2)
    assert.equal(1, cache:get("k", load))
    assert.equal(1, cache:stats().abandoned)
  end))
end)

describe("early", function()
  it("loads popular keys anew before they are stale, mostly once", helper.virtual(function()
    local refreshed, waited = 0, 0
    for _ = 1, 20 do
      local cache = weir.cache { ttl = 60, early = 1 }
      local state, load = flaky()
      cache:get("k", load)
      for _ = 1, 1180 do
        local start = weir.now()
        cache:get("k", load)
        waited = waited + (weir.now() > start and 1 or 0)
        weir.sleep(0.05)
      end
      refreshed = refreshed + cache:stats().early
      assert.is_true(state.calls <= 4)
    end
    assert.is_true(refreshed >= 15 and refreshed <= 45, refreshed)
    assert.equal(0, waited)
  end))
end)
