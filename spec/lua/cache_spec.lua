-- cache_spec.lua - weir.cache: what is there, what is loaded, keys and values of every kind.

local helper = require "support.helper"
local weir = require "weir"

-- A loader that takes `seconds` and says how often it was called.
local function counting(seconds)
  local calls = { n = 0 }
  return calls, function(key, ...)
    calls.n = calls.n + 1
    calls.key, calls.args = key, table.pack(...)
    weir.sleep(seconds or 1)
    return tostring(key) .. calls.n
  end
end

describe("weir.cache", function()
  it("loads what is not there, once", helper.virtual(function()
    local cache = weir.cache()
    local calls, load = counting(2)
    local start = weir.now()
    assert.equal("a1", cache:get("a", load))
    helper.elapsed(2, start)
    assert.equal("a1", cache:get("a", load))
    helper.elapsed(2, start)
    assert.equal(1, calls.n)
    assert.equal(1, cache.count)
  end))

  it("passes the key and what follows the loader to it", helper.virtual(function()
    local cache = weir.cache()
    local calls, load = counting()
    cache:get("a", load, 1, nil, "x", nil)
    assert.equal("a", calls.key)
    assert.same({ n = 4, [1] = 1, [3] = "x" }, calls.args)
    local many = {}
    for i = 1, 50 do many[i] = i end
    cache:get("b", load, table.unpack(many))
    assert.equal(50, calls.args.n)
    assert.equal(50, calls.args[50])
  end))

  it("uses the loader it was made with where a call brings none", helper.virtual(function()
    local calls, load = counting()
    local cache = weir.cache { load = load }
    assert.equal("a1", cache:get("a"))
    assert.equal("b2", cache:get("b", "arg", 7))
    assert.same({ n = 2, "arg", 7 }, calls.args)
    assert.equal("own", cache:get("c", function() return "own" end))
    assert.equal(2, calls.n)
  end))

  it("keeps the first of what a loader returns", helper.virtual(function()
    local cache = weir.cache()
    assert.same({ n = 1, "v" }, table.pack(cache:get("a", function() return "v" end)))
    assert.same({ n = 1, "v" }, table.pack(cache:get("a", error)))
    assert.same({ n = 1 }, table.pack(cache:get("b", function() end)))
  end))

  describe("a hit", function()
    it("does not switch tasks", helper.virtual(function()
      local cache = weir.cache()
      cache:set("a", 1)
      local switched = false
      weir.spawn(function() switched = true end)
      for _ = 1, 50 do assert.equal(1, cache:get("a", error)) end
      assert.is_false(switched)
    end))

    it("spends budget, so that a loop of hits lets others run", helper.virtual(function()
      local cache = weir.cache()
      cache:set("a", 1)
      local stop = false
      weir.spawn(function() stop = true end)
      local n = 0
      while not stop do
        n = n + 1
        assert(n < 1000 and cache:get("a", error) == 1)
      end
      assert.is_true(n > 50)
    end))

    it("is possible where nothing can wait", helper.virtual(function()
      local cache = weir.cache()
      cache:set("a", 1)
      local list = { 3, 1, 2 }
      table.sort(list, function(x, y) return cache:get("a", error) * x < y end)
      assert.same({ 1, 2, 3 }, list)
      helper.error("misuse", table.sort, { 2, 1 }, function() return cache:get("b", error) end)
      assert.equal(0, cache.loading)
    end))

    it("raises cancelled in a loop of a cancelled task", helper.virtual(function()
      local cache = weir.cache()
      cache:set("a", 1)
      local t = weir.spawn(function() while true do cache:get("a", error) end end)
      weir.checkpoint()
      t:cancel()
      t:pawait()
      assert.equal("cancelled", t.status)
    end))
  end)

  describe("keys", function()
    it("are strings, numbers and booleans, each a key of its own", helper.virtual(function()
      local cache = weir.cache()
      local bits <const> = string.unpack("i8", string.pack("d", 1.5))
      local keys = { "1", 1, 1.5, bits, "1.5", true, "true", false, "false", "", "\0", "a\0b", "a", "a\0", -1, 0,
        math.mininteger, math.maxinteger, math.huge, -math.huge, 2 ^ 53, "\0\0\0\0\0\0\0\0i", 1e300, ("x"):rep(10000) }
      for i, key in ipairs(keys) do cache:set(key, i) end
      assert.equal(#keys, cache.count)
      for i, key in ipairs(keys) do assert.equal(i, cache:get(key, error), i) end
    end))

    it("that are equal numbers are one key, as in a table", helper.virtual(function()
      local cache = weir.cache()
      cache:set(1, "one")
      cache:set(-0.0, "zero")
      assert.equal("one", cache:peek(1.0))
      assert.equal("zero", cache:peek(0))
      cache:set(2 ^ 53, "large")
      assert.equal("large", cache:peek(1 << 53))
      assert.equal(3, cache.count)
    end))

    it("reach the loader as what they were", helper.virtual(function()
      local cache = weir.cache()
      for _, key in ipairs { "x\0y", 7, 7.5, true, false } do
        local got
        cache:get(key, function(k) got = k return 1 end)
        assert.equal(key, got)
        assert.equal(math.type(key), math.type(got))
      end
    end))
  end)

  it("keeps values of every kind", helper.virtual(function()
    local cache = weir.cache()
    local table_value, fn = {}, function() end
    local values = { false, true, 0, 1.5, "", "x", table_value, fn, coroutine.running(), io.stdout }
    for i, value in ipairs(values) do
      assert.equal(value, cache:get(i, function() return value end))
      assert.equal(value, cache:get(i, error))
      cache:set("s" .. i, value)
      assert.equal(value, cache:get("s" .. i, error))
    end
  end))

  it("keeps its values through collections, and lets go what it drops", helper.virtual(function()
    local cache = weir.cache { max = 700 }
    local seen = setmetatable({}, { __mode = "v" })
    for i = 1, 700 do
      local value = { i }
      seen[i] = value
      cache:set(i, value)
    end
    collectgarbage()
    for i = 1, 700 do assert.equal(i, cache:peek(i)[1]) end
    for i = 1, 350 do cache:delete(i) end
    cache:set(700, "other")
    collectgarbage()
    for i = 1, 350 do assert.is_nil(seen[i]) end
    assert.is_nil(seen[700])
    assert.equal(699, cache:peek(699)[1])
    cache:clear()
    collectgarbage()
    assert.is_nil(next(seen))
  end))

  it("may be cleared as the last thing of a run, however large", helper.virtual(function()
    local caches = { weir.cache(), weir.cache() }
    for i = 1, 5000 do
      for _, cache in ipairs(caches) do cache:set(i, i, { tags = "all" }) end
    end
    caches[1]:clear()
    assert.equal(5000, caches[2]:delete_tag("all"))
  end))

  it("can be filled again after a clear", helper.virtual(function()
    local cache = weir.cache()
    for round = 1, 3 do
      for i = 1, 256 do cache:set(i, { i + round }) end
      for i = 1, 256 do assert.equal(i + round, cache:get(i, error)[1]) end
      cache:clear()
      cache:set("a", { round })
      assert.equal(round, cache:get("a", error)[1])
    end
    assert.equal(1, cache.count)
  end))

  it("gives the places of what went in the quiet to others", helper.virtual(function()
    local cache = weir.cache()
    for round = 1, 3 do
      for i = 1, 3000 do cache:set(i, "x" .. i, { tags = "all" }) end
      assert.equal(3000, cache:delete_tag("all"))
      weir.sleep(1)
      for i = 1, 1500 do cache:set(-i, "y" .. i + round) end
      weir.sleep(1)
      for i = 1, 1500 do assert.equal("y" .. i + round, cache:get(-i, error)) end
    end
  end))

  it("is collected with what it holds, a cycle included", helper.virtual(function()
    local seen = setmetatable({}, { __mode = "v" })
    do
      local cache = weir.cache()
      seen.cache, seen.value = cache, { cache }
      cache:set("self", seen.value)
      cache:get("own", function() return function() return cache end end)
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(seen.cache)
    assert.is_nil(seen.value)
  end))

  describe("ttl", function()
    it("is 60 seconds unless said, from the end of the load", helper.virtual(function()
      local cache = weir.cache()
      local calls, load = counting(30)
      cache:get("a", load)
      weir.sleep(59.9)
      assert.equal("a1", cache:get("a", load))
      weir.sleep(0.2)
      assert.equal("a2", cache:get("a", load))
      assert.equal(2, calls.n)
      assert.equal(1, cache:stats().expired)
    end))

    it("may be the loader's to say", helper.virtual(function()
      local cache = weir.cache { ttl = 10 }
      local calls = 0
      local function load(_, ttl)
        calls = calls + 1
        return calls, { ttl = ttl }
      end
      cache:get("a", load, 100)
      weir.sleep(50)
      assert.equal(1, cache:get("a", load, 100))
      assert.equal(2, cache:get("b", load, 0))
      assert.equal(1, cache.count)
      assert.equal(3, cache:get("b", load, 5))
      weir.sleep(6)
      assert.equal(4, cache:get("b", load, math.huge))
      weir.sleep(1e8)
      assert.equal(4, cache:get("b", load))
    end))

    it("of 0 is single flight alone", helper.virtual(function()
      local cache = weir.cache { ttl = 0 }
      local calls, load = counting()
      local values = weir.all { function() return cache:get("a", load) end, function() return cache:get("a", load) end }
      assert.same({ n = 2, "a1", "a1" }, values)
      assert.equal("a2", cache:get("a", load))
      assert.equal(2, calls.n)
      assert.equal(0, cache.count)
    end))

    it("is shortened by up to the jitter", helper.virtual(function()
      local cache = weir.cache { ttl = 100, jitter = 0.2 }
      for i = 1, 200 do cache:set(i, i) end
      weir.sleep(79.9)
      local left = {}
      for at = 1, 3 do
        local n = 0
        for i = 1, 200 do
          local _, there = cache:peek(i)
          n = n + (there and 1 or 0)
        end
        left[at] = n
        weir.sleep(10.1)
      end
      assert.equal(200, left[1])
      assert.is_true(left[2] > 50 and left[2] < 150)
      assert.equal(0, left[3])
    end))
  end)

  describe("peek", function()
    it("gives a value and whether it is there, and does nothing else", helper.virtual(function()
      local cache = weir.cache { ttl = 10 }
      assert.same({ n = 2, [2] = false }, table.pack(cache:peek("a")))
      cache:set("a", nil)
      assert.same({ n = 2, [2] = true }, table.pack(cache:peek("a")))
      cache:set("b", false)
      assert.same({ n = 2, false, true }, table.pack(cache:peek("b")))
      weir.sleep(11)
      assert.same({ n = 2, [2] = false }, table.pack(cache:peek("b")))
      local stats = cache:stats()
      assert.equal(0, stats.hits + stats.misses + stats.loads)
    end))
  end)

  it("works outside tasks, but for get", function()
    local out = helper.program [[
      local weir = require "weir"
      local cache = weir.cache { ttl = 10 }
      print(cache:set("a", 1), cache:peek("a"), cache.count)
      print(weir.kind(select(2, pcall(cache.get, cache, "a", print))))
      print(weir.run(function() return cache:get("a", print), cache:get("b", function() return 2 end) end))
      print(cache:delete("a"), cache:delete("a"), cache:peek("b"))
      cache:clear()
      print(cache.count, cache)
    ]]
    assert.equal("true\t1\t1\nmisuse\n1\t2\ntrue\tfalse\t2\ttrue\n0\tweir.cache (0 entries, 0 bytes, 0 loading)\n", out)
  end)

  it("keeps nothing of a load that the end of a program cut off", function()
    local out = helper.program [[
      local weir = require "weir"
      local cache = weir.cache { ttl = 0.001, stale = 100, negative_ttl = 100 }
      weir.run(function()
        cache:set("k", "old")
        weir.sleep(0.002)
        print(cache:get("k", function() weir.sleep(1000) end))
        weir.checkpoint()
      end)
      weir.run(function() print(cache:get("k", function() return "new" end), cache.loading) end)
      print(cache:stats().failures, cache:stats().last_error)
    ]]
    assert.equal("old\nold\t1\n0\tnil\n", out)
  end)

  it("says its name and state", helper.virtual(function()
    local cache = weir.cache { name = "users" }
    cache:set("a", 1)
    assert.is_truthy(tostring(cache):find("weir.cache users(1 entries", 1, true))
    assert.equal("users", cache.name)
    assert.equal("users", cache:stats().name)
    helper.error("misuse", function() return cache.nothing end)
  end))

  it("cannot be used once its runtime has ended", function()
    local cache
    helper.run(function()
      cache = weir.cache()
      cache:set("a", {})
    end)
    helper.error("misuse", cache.peek, cache, "a")
    helper.error("misuse", function() return cache.count end)
    assert.equal("weir.cache (ended)", tostring(cache))
    helper.run(function() helper.error("misuse", cache.get, cache, "a", print) end)
  end)
end)
