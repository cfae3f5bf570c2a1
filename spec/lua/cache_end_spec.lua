-- cache_end_spec.lua - close, overload, misuse, and what the statistics say.

local core = require "weir.core"
local helper = require "support.helper"
local weir = require "weir"

local function slow(seconds, value)
  return function()
    weir.sleep(seconds)
    return value or 1
  end
end

describe("cache:close", function()
  it("fails who waits and who comes with its reason, and ends the loads", helper.virtual(function()
    local cache = weir.cache { name = "users" }
    cache:set("there", 1)
    local stopped = false
    local function load()
      local _ <close> = helper.closing(function(err) stopped = weir.kind(err) == "cancelled" end)
      weir.sleep(100)
    end
    local tasks = {}
    for i = 1, 3 do tasks[i] = weir.spawn(pcall, cache.get, cache, "k", load) end
    tasks[4] = weir.spawn(pcall, cache.get_many, cache, { "k", "l" }, load)
    weir.sleep(1)
    cache:close("going home")
    for i = 1, 4 do
      local ok, err = tasks[i]:await()
      assert.is_false(ok)
      assert.equal("closed", weir.kind(err))
      assert.equal("going home", err.reason)
      assert.equal("users", err.name)
    end
    weir.checkpoint()
    assert.is_true(stopped)
    assert.equal(0, cache.count)
    assert.equal(0, cache.loading)
    for _, call in ipairs { cache.get, cache.refresh, cache.set, cache.delete, cache.delete_tag } do
      assert.equal("going home", helper.error("closed", call, cache, "k", print).reason)
    end
    helper.error("closed", cache.clear, cache)
    helper.error("closed", cache.get_many, cache, { "k" }, print)
    assert.is_nil((cache:peek("there")))
    cache:close("again")
    assert.equal("going home", helper.error("closed", cache.get, cache, "k", print).reason)
    assert.equal(4, cache:stats().rejects.closed)
  end))

  it("comes at the end of a block that says <close>", helper.virtual(function()
    local kept
    do
      local cache <close> = weir.cache()
      cache:set("k", 1)
      kept = cache
    end
    helper.error("closed", kept.get, kept, "k", print)
    assert.equal(0, kept.count)
  end))

  it("from within a loader ends that", helper.virtual(function()
    local cache = weir.cache()
    helper.error("closed", cache.get, cache, "k", function()
      cache:close()
      return 1
    end)
    assert.equal(0, cache.count)
  end))

  it("from within the function that measures keeps nothing", helper.virtual(function()
    local cache
    cache = weir.cache { max_bytes = 10000, size = function()
      cache:close()
      return 1
    end }
    helper.error("closed", cache.set, cache, "k", {})
    assert.equal(0, cache.count)
  end))
end)

describe("max_waiting", function()
  it("refuses more with overload, and when to try again", helper.virtual(function()
    local cache = weir.cache { max_waiting = 2, name = "users" }
    cache:get("first", slow(4))
    local tasks = {}
    for i = 1, 2 do tasks[i] = weir.spawn(cache.get, cache, "k", slow(4)) end
    weir.sleep(1)
    local err = helper.error("overload", cache.get, cache, "k", slow(4))
    assert.equal("users", err.name)
    assert.is_true(math.abs(err.retry_after - 3) < 0.5, err.retry_after)
    helper.error("overload", cache.get, cache, "other", slow(4))
    helper.error("overload", cache.refresh, cache, "first", slow(4))
    assert.equal(1, cache:get("first", error))
    tasks[1]:await()
    tasks[2]:await()
    assert.equal(1, cache:get("other", slow(4)))
    assert.equal(3, cache:stats().rejects.overload)
  end))

  it("of 0 never waits", helper.virtual(function()
    local cache = weir.cache { max_waiting = 0 }
    helper.error("overload", cache.get, cache, "k", print)
    cache:set("k", 1)
    assert.equal(1, cache:get("k", print))
  end))
end)

describe("misuse", function()
  local wrong_options <const> = {
    { ttl = -1 }, { ttl = "1" }, { ttl = 0 / 0 }, { stale = -1 }, { stale_if_error = {} }, { negative_ttl = false },
    { jitter = 1.1 }, { jitter = -0.1 }, { jitter = "x" }, { early = -1 }, { early = 0 / 0 }, { max = 0 },
    { max = 1.5 }, { max = -1 }, { max = "10" }, { max_bytes = 0 }, { max_bytes = 0 / 0 }, { max_waiting = -1 },
    { size = 1 }, { load = "x" }, { name = 7 }, { no_such = 1 }, { 1 },
  }

  it("of options names the option", helper.virtual(function()
    for i, options in ipairs(wrong_options) do
      local err = helper.error("misuse", weir.cache, options)
      local name = next(options)
      assert.is_truthy(tostring(err):find(tostring(name), 1, true), i)
    end
    helper.error("misuse", weir.cache, 5)
  end))

  it("of keys says what a key is", helper.virtual(function()
    local cache = weir.cache()
    for _, call in ipairs { cache.get, cache.refresh, cache.peek, cache.set, cache.delete } do
      for _, key in ipairs { {}, print, 0 / 0, (coroutine.running()) } do
        local err = helper.error("misuse", call, cache, key, print)
        assert.is_truthy(tostring(err):find("key", 1, true))
      end
      helper.error("misuse", call, cache)
    end
    assert.equal(0, cache:stats().misses)
  end))

  it("of loaders, tags and the rest changes nothing", helper.virtual(function()
    local cache = weir.cache()
    helper.error("misuse", cache.get, cache, "k")
    helper.error("misuse", cache.get, cache, "k", "no function")
    helper.error("misuse", cache.refresh, cache, "k", 7)
    helper.error("misuse", cache.get_with, cache, "k", print)
    helper.error("misuse", cache.get_with, cache, { no = 1 }, "k", print)
    helper.error("misuse", cache.get_with, cache, { timeout = -1 }, "k", print)
    helper.error("misuse", cache.delete_tag, cache, 5)
    for _, keep in ipairs { 5, { no = 1 }, { ttl = -1 }, { size = -1 }, { size = "1" }, { tags = 5 },
      { tags = { 5 } }, { stale = 1 } } do
      helper.error("misuse", cache.set, cache, "k", 1, keep)
      helper.error("misuse", cache.get, cache, "k", function() return 1, keep end)
    end
    assert.equal(0, cache.count)
    helper.error("misuse", cache.get, weir.semaphore(1), "k", print)
    helper.error("misuse", cache.stats, {})
  end))

  it("of a coroutine of one's own is told", helper.virtual(function()
    local cache = weir.cache()
    local co = coroutine.create(function() return cache:get("k", print) end)
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.equal("misuse", weir.kind(err))
  end))
end)

describe("a coroutine that somebody closes while it waits", function()
  it("leaves the load, and nothing of it", helper.virtual(function()
    local cache = weir.cache { ttl = 0 }
    local function close(landed)
      local ok, err = pcall(weir.scope, function()
        local co
        local t = weir.spawn(function()
          co = coroutine.running()
          return cache:get("k", slow(2))
        end)
        weir.sleep(1)
        coroutine.close(co)
        if not landed then t:cancel() end
        weir.sleep(5)
      end)
      assert.is_false(ok)
      assert.is_truthy(tostring(err):find("dead coroutine", 1, true))
      assert.equal(0, cache.loading)
      assert.equal(0, cache.waiting)
    end
    close(false)
    close(true)
    local bytes = core.counters().bytes
    close(false)
    close(true)
    assert.equal(bytes, core.counters().bytes)
  end))
end)

describe("stats", function()
  it("count every kind of answer", helper.virtual(function()
    local cache = weir.cache { ttl = 10, stale = 10, negative_ttl = 5, name = "s" }
    cache:get("a", slow(2))
    cache:get("a", error)
    pcall(cache.get, cache, "bad", error)
    pcall(cache.get, cache, "bad", error)
    weir.sleep(11)
    cache:get("a", slow(1))
    weir.sleep(2)
    weir.map({ 1, 1, 1 }, function() return cache:get("b", slow(1)) end)
    local s = cache:stats()
    local expected = { name = "s", count = 2, hits = 1, stale = 1, negative = 1, misses = 5, joined = 2, loads = 4,
      refreshes = 1, early = 0, failures = 1, refresh_failures = 0, abandoned = 0, discarded = 0, evicted = 0,
      loading = 0, waiting = 0 }
    for name, value in pairs(expected) do assert.equal(value, s[name], name) end
    assert.equal(4, s.load.count)
    assert.is_true(math.abs(s.load.mean - 1) < 0.01)
    assert.equal(cache.bytes, s.bytes)
  end))
end)
