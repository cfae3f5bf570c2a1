-- cache_flight_spec.lua - one load per key: shared by all, belonging to none, ended with the last.

local helper = require "support.helper"
local weir = require "weir"

local function slow(value, seconds)
  local state = { calls = 0, ended = 0, stopped = 0 }
  return state, function(key)
    state.calls = state.calls + 1
    local _ <close> = helper.closing(function(err) if err then state.stopped = state.stopped + 1 end end)
    weir.sleep(seconds or 1)
    state.ended = state.ended + 1
    return value or key
  end
end

-- What each of `n` tasks that ask for "k" gets, as settle gives it.
local function ask(cache, n, load)
  local list = {}
  for i = 1, n do list[i] = function() return cache:get("k", load) end end
  return weir.settle(list)
end

describe("a load", function()
  it("is one for 10,000 simultaneous misses, and all get its value in its time", helper.virtual(function()
    local cache = weir.cache()
    local state, load = slow({}, 5)
    local n <const> = 10000
    local first, same = nil, 0
    local start = weir.now()
    weir.scope(function(s)
      for _ = 1, n do
        s:spawn(function()
          local value = cache:get("k", load)
          first = first or value
          same = same + (value == first and 1 or 0)
        end)
      end
      weir.sleep(1)
      assert.equal(n, cache.waiting)
      assert.equal(1, cache.loading)
    end)
    helper.elapsed(5, start)
    assert.equal(n, same)
    assert.equal(1, state.calls)
    local stats = cache:stats()
    assert.equal(n, stats.misses)
    assert.equal(n - 1, stats.joined)
    assert.equal(1, stats.loads)
  end))

  it("is one for each key", helper.virtual(function()
    local cache = weir.cache()
    local state, load = slow()
    weir.map({ 1, 2, 1, 2, 3 }, function(key) return cache:get(key, load) end)
    assert.equal(3, state.calls)
  end))

  it("goes on when the one who asked first is cancelled", helper.virtual(function()
    local cache = weir.cache()
    local state, load = slow("v", 5)
    local first = weir.spawn(cache.get, cache, "k", load)
    weir.sleep(1)
    local second = weir.spawn(cache.get, cache, "k", load)
    weir.sleep(1)
    first:cancel("gone")
    local _, err = first:pawait()
    assert.equal("gone", err.reason)
    assert.equal("v", second:await())
    assert.equal(1, state.calls)
    assert.equal(0, state.stopped)
    assert.equal(1, cache:stats().rejects.cancelled)
  end))

  it("has no deadline but that of nobody", helper.virtual(function()
    local cache = weir.cache()
    local state, load = slow("v", 5)
    helper.error("timeout", weir.timeout, 1, function()
      local t = weir.spawn(cache.get, cache, "k", load)
      weir.detach(function() assert.equal("v", cache:get("k", load)) end)
      t:await()
    end)
    weir.sleep(10)
    assert.equal(1, state.ended)
    assert.equal("v", cache:peek("k"))
  end))

  it("is cancelled when the last one leaves, and the next one gets another", helper.virtual(function()
    local cache = weir.cache()
    local state, load = slow("v", 5)
    local tasks = {}
    for i = 1, 3 do tasks[i] = weir.spawn(cache.get, cache, "k", load) end
    weir.sleep(1)
    for i = 1, 3 do
      assert.equal(0, state.stopped)
      tasks[i]:cancel()
      tasks[i]:pawait()
    end
    assert.equal(0, cache.loading)
    local start = weir.now()
    assert.equal("v", cache:get("k", load))
    helper.elapsed(5, start)
    assert.equal(2, state.calls)
    assert.equal(1, state.stopped)
    assert.equal(1, cache:stats().abandoned)
  end))

  it("that is abandoned before it began never begins", helper.virtual(function()
    local cache = weir.cache()
    local state, load = slow()
    helper.error("timeout", cache.get_with, cache, { timeout = 0 }, "k", load)
    local t = weir.spawn(function() cache:get("k", load) end)
    weir.spawn(function() t:cancel() end)
    t:pawait()
    weir.sleep(3)
    assert.equal(0, state.calls)
    assert.equal(0, cache.loading)
  end))

  it("that ignores its cancel stores nothing and is not joined", helper.virtual(function()
    local cache = weir.cache()
    local calls = 0
    local function load()
      calls = calls + 1
      local mine = calls
      weir.shield(100, weir.sleep, 5)
      return mine
    end
    local t = weir.spawn(cache.get, cache, "k", load)
    weir.sleep(1)
    t:cancel()
    t:pawait()
    assert.equal(2, cache:get("k", load))
    weir.sleep(10)
    assert.equal(2, cache:peek("k"))
  end))

  it("belongs to no scope of the caller: its children are its own", helper.virtual(function()
    local cache = weir.cache()
    local child_ended = false
    local start = weir.now()
    local value = cache:get("k", function()
      weir.spawn(function() weir.sleep(3) child_ended = true end)
      return "v"
    end)
    assert.equal("v", value)
    assert.is_true(child_ended)
    helper.elapsed(3, start)
  end))

  it("whose child fails has failed, and nothing is kept", helper.virtual(function()
    local cache = weir.cache()
    local boom = {}
    local ok, err = pcall(cache.get, cache, "k", function()
      weir.spawn(function() weir.sleep(1) error(boom) end)
      return "v"
    end)
    assert.is_false(ok)
    assert.equal(boom, err)
    assert.equal(0, cache.count)
  end))

  describe("that fails", function()
    it("fails all who wait with the same value, and is reported by nobody", helper.virtual(function()
      local unhandled = 0
      weir.on_unhandled(function() unhandled = unhandled + 1 return true end)
      local cache = weir.cache()
      local boom, calls = setmetatable({}, { __tostring = function() return "boom" end }), 0
      local outcomes = ask(cache, 10, function()
        calls = calls + 1
        weir.sleep(1)
        error(boom)
      end)
      for i = 1, 10 do
        assert.is_false(outcomes[i].ok)
        assert.equal(boom, outcomes[i].error)
      end
      assert.equal(1, calls)
      assert.equal(0, cache.count)
      assert.equal(0, unhandled)
      assert.equal(1, cache:stats().failures)
      assert.equal(boom, cache:stats().last_error)
    end))

    it("is tried again by the next one", helper.virtual(function()
      local cache = weir.cache()
      local calls = 0
      local function load()
        calls = calls + 1
        if calls < 3 then error("bad") end
        return calls
      end
      assert.is_false(pcall(cache.get, cache, "k", load))
      assert.is_false(pcall(cache.get, cache, "k", load))
      assert.equal(3, cache:get("k", load))
    end))

    it("with nothing fails with nothing", helper.virtual(function()
      local cache = weir.cache()
      local ok, err = pcall(cache.get, cache, "k", function() error() end)
      assert.is_false(ok)
      assert.is_nil(err)
    end))

    it("says where, in the traceback of who waited", helper.virtual(function()
      local cache = weir.cache()
      local function bad() error("bad") end
      local t = weir.spawn(function() cache:get("k", function() bad() end) end)
      t:pawait()
      assert.is_truthy(t.traceback:find("'bad'", 1, true), t.traceback)
    end))
  end)

  describe("that asks for its own key", function()
    it("is a deadlock", helper.virtual(function()
      local cache = weir.cache { name = "users" }
      local inner
      local function load(key)
        inner = helper.error("deadlock", cache.get, cache, key, load)
        error(inner)
      end
      local err = helper.error("deadlock", cache.get, cache, "k", load)
      assert.equal(inner, err)
      assert.equal("users", err.name)
      assert.is_truthy(tostring(err):find("task 'users: load of k' ", 1, true), tostring(err))
    end))

    it("names the key of its load, as far as that is short", helper.virtual(function()
      local cache = weir.cache()
      local key = ("x"):rep(1000)
      local function load() return cache:get(key, load) end
      local text = tostring(helper.error("deadlock", cache.get, cache, key, load))
      assert.is_truthy(text:find("task 'cache: load of " .. ("x"):rep(40) .. "...' ", 1, true), text)
    end))

    it("through another key too", helper.virtual(function()
      local cache = weir.cache()
      local function load(key) return cache:get(key == "a" and "b" or "a", load) end
      local err = helper.error("deadlock", cache.get, cache, "a", load)
      local text = tostring(err)
      assert.is_truthy(text:find("cache:get: deadlock", 1, true))
      assert.is_truthy(text:find("task 'cache: load of a' ", 1, true), text)
      assert.is_truthy(text:find("task 'cache: load of b' ", 1, true), text)
      weir.sleep(1)
      assert.equal(0, cache.loading)
    end))

    it("while holding what another loader waits for", helper.virtual(function()
      local cache, sem = weir.cache(), weir.semaphore(1)
      local function load() return sem:with(function() return 1 end) end
      sem:with(function() helper.error("deadlock", cache.get, cache, "k", load) end)
      assert.equal(1, cache:get("k", load))
    end))
  end)

  it("is waited for no longer than the timeout of the call", helper.virtual(function()
    local cache = weir.cache { name = "users" }
    local state, load = slow("v", 5)
    local patient = weir.spawn(cache.get, cache, "k", load)
    local start = weir.now()
    local err = helper.error("timeout", cache.get_with, cache, { timeout = 2 }, "k", load)
    helper.elapsed(2, start)
    assert.equal("users", err.name)
    assert.equal("v", patient:await())
    assert.equal("v", cache:get_with({ timeout = 0 }, "k", load))
    assert.equal(1, state.calls)
    assert.equal(1, cache:stats().rejects.timeout)
  end))

  it("that its callers left by their timeouts is cancelled", helper.virtual(function()
    local cache = weir.cache()
    local state, load = slow("v", 5)
    helper.error("timeout", cache.get_with, cache, { timeout = 2 }, "k", load)
    weir.sleep(1)
    assert.equal(1, state.stopped)
  end))

  it("ends with the program, with who waits for it", function()
    local r = helper.simulate(function()
      local cache = weir.cache()
      weir.daemon(function() cache:get("k", function() weir.sleep(1e6) end) end)
      weir.daemon(function() cache:get("k", error) end)
      weir.sleep(1)
    end)
    assert.is_true(r.ok)
  end)

  it("is collected with its task", helper.virtual(function()
    local cache = weir.cache()
    local seen = setmetatable({}, { __mode = "v" })
    cache:get("k", function()
      seen.task_local = {}
      return 1
    end)
    collectgarbage()
    collectgarbage()
    assert.is_nil(seen.task_local)
  end))
end)

describe("every cancel and every schedule", function()
  local function program()
    local cache = weir.cache { ttl = 1, stale = 5, negative_ttl = 1 }
    local n = 0
    local function load(key)
      n = n + 1
      local mine = n
      weir.sleep(1)
      if key == "bad" then error("bad") end
      return mine
    end
    weir.settle {
      function() return cache:get("a", load) end,
      function() return cache:get_with({ timeout = 0.5 }, "a", load) end,
      function() weir.sleep(0.7) cache:delete("a") return cache:get("a", load) end,
      function() return cache:get("bad", load) end,
      function() return cache:get_many({ "a", "b", "c" }, function(keys) weir.sleep(1) return keys end) end,
    }
    weir.sleep(1.5)
    cache:get("a", load)
    cache:refresh("b", load)
    assert(cache.waiting == 0)
  end

  it("leave nothing behind", function()
    assert.is_true(helper.cancel_everywhere(program) > 10)
    helper.shuffle(100, program)
  end)

  it("give one load at a time, which is that of who waits", function()
    local most = 0
    local schedules = helper.explore(function()
      local cache = weir.cache()
      local calls = 0
      local function load()
        calls = calls + 1
        assert(cache.loading == 1) -- what was cancelled may still clean up beside it
        weir.checkpoint()
        return calls
      end
      local t = weir.spawn(cache.get, cache, "k", load)
      local values = weir.all { function() return cache:get("k", load) end, function() t:cancel() end }
      t:pawait()
      assert(calls <= 2 and values[1] == calls and cache:peek("k") == calls)
      most = math.max(most, calls)
    end)
    assert.is_true(schedules > 50)
    assert.equal(2, most)
  end)

  it("and every failed allocation leave nothing behind", function()
    assert.is_true(helper.fail_allocations(program) > 20)
  end)
end)
