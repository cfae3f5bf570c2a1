-- cache_many_spec.lua - get_many: several keys, one call for what is missing.

local helper = require "support.helper"
local weir = require "weir"

-- A batched loader that takes a second and remembers what it was asked for.
local function batched()
  local calls = {}
  return calls, function(keys)
    calls[#calls + 1] = table.concat(keys, " ")
    weir.sleep(1)
    local values = {}
    for i, key in ipairs(keys) do values[i] = "v" .. key end
    return values
  end
end

describe("cache:get_many", function()
  it("takes what is there and loads the rest by one call", helper.virtual(function()
    local cache = weir.cache()
    local calls, load = batched()
    cache:set(2, "two")
    local start = weir.now()
    assert.same({ n = 3, "v1", "two", "v3" }, cache:get_many({ 1, 2, 3 }, load))
    helper.elapsed(1, start)
    assert.same({ "1 3" }, calls)
    assert.same({ n = 4, "v3", "v1", "two", "v3" }, cache:get_many({ 3, 1, 2, 3 }, load))
    assert.equal(1, #calls)
    assert.equal("v1", cache:get(1, error))
  end))

  it("asks for a key that comes twice once", helper.virtual(function()
    local cache = weir.cache()
    local calls, load = batched()
    assert.same({ n = 4, "va", "vb", "va", "vb" }, cache:get_many({ "a", "b", "a", "b" }, load))
    assert.same({ "a b" }, calls)
  end))

  it("joins what others load, and is joined", helper.virtual(function()
    local cache = weir.cache()
    local calls, load = batched()
    local single = weir.spawn(cache.get, cache, "a", function() weir.sleep(2) return "single" end)
    weir.checkpoint()
    local first = weir.spawn(cache.get_many, cache, { "a", "b" }, load)
    weir.checkpoint()
    local second = weir.spawn(cache.get_many, cache, { "b", "c" }, load)
    weir.checkpoint()
    assert.equal("vc", cache:get("c", error))
    assert.same({ n = 2, "single", "vb" }, first:await())
    assert.same({ n = 2, "vb", "vc" }, second:await())
    assert.equal("single", single:await())
    assert.same({ "b", "c" }, calls)
  end))

  it("passes arguments on, and takes n where a value is nil", helper.virtual(function()
    local cache = weir.cache { negative_ttl = 5 }
    local got
    local values = cache:get_many({ "a", "b" }, function(keys, ...)
      got = table.pack(keys, ...)
      return { n = 2, [1] = "x" }
    end, "arg", nil)
    assert.same({ n = 2, "x" }, values)
    assert.same({ n = 3, { "a", "b" }, "arg" }, got)
    assert.is_nil(cache:get("b", error))
  end))

  it("of no keys calls nobody", helper.virtual(function()
    assert.same({ n = 0 }, weir.cache():get_many({}, error))
  end))

  it("takes keys with n, false among them", helper.virtual(function()
    local cache = weir.cache()
    local values = cache:get_many({ n = 2, false, true }, function(keys) return { keys[1], keys[2] } end)
    assert.same({ n = 2, false, true }, values)
  end))

  it("keeps all with what the third result says", helper.virtual(function()
    local cache = weir.cache { ttl = 1 }
    cache:get_many({ "a", "b" }, function(keys) return keys, nil, { ttl = 100, tags = { "t" } } end)
    weir.sleep(50)
    assert.same({ n = 2, "a", "b" }, cache:get_many({ "a", "b" }, error))
    assert.equal(2, cache:delete_tag("t"))
  end))

  it("loads stale keys anew behind, together with what is missing", helper.virtual(function()
    local cache = weir.cache { ttl = 1, stale = 100 }
    local calls, load = batched()
    cache:set("a", "old")
    cache:set("b", "old")
    weir.sleep(2)
    local start = weir.now()
    assert.same({ n = 2, "old", "old" }, cache:get_many({ "a", "b" }, load))
    helper.elapsed(0, start)
    weir.sleep(0.5)
    assert.same({ n = 2, "old", "vc" }, cache:get_many({ "a", "c" }, load))
    assert.same({ "a b", "c" }, calls)
    assert.same({ n = 3, "va", "vb", "vc" }, cache:get_many({ "a", "b", "c" }, error))
  end))

  describe("whose loader", function()
    it("raises fails every missing key with the same value", helper.virtual(function()
      local cache = weir.cache()
      local boom = {}
      cache:set("there", 1)
      local function bad() weir.sleep(1) error(boom) end
      local other = weir.spawn(pcall, cache.get_many, cache, { "b" }, error)
      local ok, err = pcall(cache.get_many, cache, { "there", "a" }, bad)
      assert.is_false(ok)
      assert.equal(boom, err)
      assert.equal(1, cache:get("there", error))
      assert.is_false((other:await()))
      assert.equal(1, cache.count)
      assert.equal(boom, cache:stats().last_error)
    end))

    it("gives an error for one key fails that one", helper.virtual(function()
      local cache = weir.cache()
      local function load(keys)
        local values, errors = {}, {}
        for i, key in ipairs(keys) do
          if key == "bad" then errors[i] = "no " .. key else values[i] = key end
        end
        return values, errors
      end
      local ok, err = pcall(cache.get_many, cache, { "a", "bad" }, load)
      assert.is_false(ok)
      assert.equal("no bad", err)
      assert.equal("a", cache:get("a", error))
      local values, errors = cache:get_many_with({ on_error = "collect" }, { "bad", "b", "bad" }, load)
      assert.same({ n = 3, [2] = "b" }, values)
      assert.same({ "no bad", [3] = "no bad" }, errors)
      values, errors = cache:get_many_with({ on_error = "collect" }, { "a", "b" }, load)
      assert.same({ n = 2, "a", "b" }, values)
      assert.is_nil(errors)
    end))

    it("fails for a key with an old value that is good enough", helper.virtual(function()
      local cache = weir.cache { ttl = 1, stale_if_error = 100 }
      cache:set("a", "old")
      weir.sleep(2)
      local values, errors = cache:get_many_with({ on_error = "collect" }, { "a", "b" }, function() error("all") end)
      assert.equal("old", values[1])
      assert.is_truthy(errors[2]:find("all", 1, true))
      assert.same({ n = 2, "old", "w" }, cache:get_many({ "a", "b" }, function() return { nil, "w" }, { "one" } end))
    end))

    it("fails is remembered for negative_ttl", helper.virtual(function()
      local cache = weir.cache { negative_ttl = 5 }
      local calls = 0
      local function load()
        calls = calls + 1
        return { 1 }, { [2] = "bad" }
      end
      for _ = 1, 3 do
        local values, errors = cache:get_many_with({ on_error = "collect" }, { "a", "b" }, load)
        assert.same({ n = 2, 1 }, values)
        assert.same({ [2] = "bad" }, errors)
      end
      assert.equal(1, calls)
      local ok, err = pcall(cache.get_many, cache, { "c", "b" }, load)
      assert.is_false(ok)
      assert.equal("bad", err)
      assert.equal(1, calls)
      assert.equal(0, cache.loading)
    end))

    it("returns another number of values is told so", helper.virtual(function()
      local cache = weir.cache()
      for _, bad in ipairs { { 1 }, { 1, 2, 3 }, { n = 3, 1, 2 }, { n = "2", 1, 2 }, "x", false } do
        local err = helper.error("misuse", cache.get_many, cache, { "a", "b" }, function() return bad end)
        assert.is_truthy(tostring(err):find("value", 1, true))
      end
      helper.error("misuse", cache.get_many, cache, { "a" }, function() return { 1 }, "errors" end)
      helper.error("misuse", cache.get_many, cache, { "a" }, function() return { 1 }, nil, { no = 1 } end)
      assert.equal(0, cache.count)
    end))
  end)

  it("left by its caller ends what nobody else waits for", helper.virtual(function()
    local cache = weir.cache()
    local stopped = 0
    local function load(keys)
      local _ <close> = helper.closing(function(err) if err then stopped = stopped + 1 end end)
      weir.sleep(5)
      return keys
    end
    local t = weir.spawn(cache.get_many, cache, { "a", "b" }, load)
    weir.sleep(1)
    local other = weir.spawn(cache.get, cache, "b", error)
    weir.sleep(1)
    t:cancel()
    t:pawait()
    assert.equal(1, cache.loading)
    assert.equal("b", other:await())
    assert.is_nil((cache:peek("a")))
    t = weir.spawn(cache.get_many, cache, { "a", "c" }, load)
    weir.sleep(1)
    t:cancel()
    weir.sleep(1)
    assert.equal(0, cache.loading)
    assert.equal(1, stopped)
  end))

  it("waits no longer than its timeout", helper.virtual(function()
    local cache = weir.cache()
    local _, load = batched()
    local start = weir.now()
    helper.error("timeout", cache.get_many_with, cache, { timeout = 0.5 }, { "a", "b" }, load)
    helper.elapsed(0.5, start)
    weir.sleep(0.1)
    assert.equal(0, cache.loading)
  end))

  it("has what is there, and calls nothing, with a timeout of 0", helper.virtual(function()
    local cache = weir.cache { name = "users" }
    local calls = 0
    local function load(ids) calls = calls + 1 return ids end
    cache:set("a", 1)
    assert.equal(1, cache:get_many_with({ timeout = 0 }, { "a" }, load)[1])
    local err = helper.error("timeout", cache.get_many_with, cache, { timeout = 0 }, { "a", "b" }, load)
    assert.same({ "cache:get_many", "users" }, { err.op, err.name })
    weir.sleep(1)
    assert.same({ 0, 0 }, { calls, cache.loading })
  end))

  it("is misuse, by the name of the cache, where the loader returns something else", helper.virtual(function()
    local cache = weir.cache { name = "users" }
    local function raised(...)
      local results = table.pack(...)
      local err = helper.error("misuse", cache.get_many, cache, { 1 },
        function() return table.unpack(results, 1, results.n) end)
      assert.equal("users", err.name)
      return tostring(err)
    end
    assert.equal("cache:get_many: the function must return a table with a value for each key, got nil", raised(nil))
    assert.equal("cache:get_many: what the function returns second must be a table of errors by index, got 'no'",
      raised({ 1 }, "no"))
    assert.equal("cache:get_many: what the loader returns third must be a table (ttl=, tags=, size=, stale=), "
      .. "got boolean", raised({ 1 }, nil, true))
    assert.equal("cache:get_many: the function returned 2 values for 1 keys (say n=1 where a value may be nil)",
      raised { 1, 2 })
    local err = helper.error("misuse", cache.get, cache, 1, function() return nil, "not found" end)
    assert.equal("users", err.name)
    assert.equal("cache:get: what the loader returns second must be a table (ttl=, tags=, size=, stale=), "
      .. "got 'not found'", tostring(err))
  end))

  it("is overload where too many wait", helper.virtual(function()
    local cache = weir.cache { max_waiting = 1 }
    local t = weir.spawn(cache.get, cache, "a", function() weir.sleep(5) return 1 end)
    weir.sleep(1)
    helper.error("overload", cache.get_many, cache, { "a", "b" }, error)
    assert.equal(1, t:await())
  end))

  it("that fails before it waits has left what it had joined", helper.virtual(function()
    local cache = weir.cache { negative_ttl = 100 }
    pcall(cache.get, cache, "bad", function() error("remembered", 0) end)
    local t = weir.spawn(cache.get, cache, "a", function() weir.sleep(5) return 1 end)
    weir.sleep(1)
    local ok, err = pcall(cache.get_many, cache, { "a", "bad" }, error)
    assert.is_false(ok)
    assert.equal("remembered", err)
    t:cancel()
    assert.equal(0, cache.loading)
  end))

  it("that needs its own keys is a deadlock", helper.virtual(function()
    local cache = weir.cache { name = "users" }
    local function load(keys) return cache:get_many(keys, error) end
    local err = helper.error("deadlock", cache.get_many, cache, { "a", "b" }, load)
    assert.is_truthy(tostring(err):find("task 'users: load of 2 keys' ", 1, true), tostring(err))
  end))

  it("leaves nothing behind, cancelled anywhere or short of memory", function()
    local function program()
      local cache = weir.cache { ttl = 1, stale = 10 }
      local _, load = batched()
      weir.settle {
        function() return cache:get_many({ "a", "b", "c" }, load) end,
        function() return cache:get_many({ "c", "d" }, load) end,
        function() return cache:get("d", function() weir.sleep(1) return 1 end) end,
      }
      weir.sleep(1.5)
      return cache:get_many({ "a", "e" }, load)
    end
    assert.is_true(helper.cancel_everywhere(program) > 5)
    assert.is_true(helper.fail_allocations(program) > 20)
    helper.shuffle(50, program)
  end)

  it("is right about arguments", helper.virtual(function()
    local cache = weir.cache()
    helper.error("misuse", cache.get_many, cache, "a", print)
    helper.error("misuse", cache.get_many, cache, { "a" })
    helper.error("misuse", cache.get_many, cache, { "a", {} }, print)
    helper.error("misuse", cache.get_many, cache, { n = 2, "a" }, print)
    helper.error("misuse", cache.get_many, cache, { n = -1 }, print)
    helper.error("misuse", cache.get_many_with, cache, { nope = 1 }, { "a" }, print)
    helper.error("misuse", cache.get_many_with, cache, { on_error = "x" }, { "a" }, print)
    helper.error("misuse", cache.get_many_with, cache, { timeout = -1 }, { "a" }, print)
    assert.equal(0, cache:stats().misses)
  end))
end)
