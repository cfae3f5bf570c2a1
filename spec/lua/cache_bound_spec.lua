-- cache_bound_spec.lua - bounds by entries and by bytes, what a value weighs, tags, what it all costs.

local helper = require "support.helper"
local weir = require "weir"

local function keys_there(cache, n)
  local there = {}
  for i = 1, n do
    local _, is = cache:peek(i)
    if is then there[#there + 1] = i end
  end
  return there
end

describe("max", function()
  it("is 10,000 unless said", helper.virtual(function()
    local cache = weir.cache()
    for i = 1, 10100 do cache:set(i, i) end
    assert.equal(10000, cache.count)
    assert.equal(100, cache:stats().evicted)
  end))

  it("spares what was asked for, once", helper.virtual(function()
    local cache = weir.cache { max = 4 }
    for i = 1, 4 do cache:set(i, i) end
    assert.equal(1, cache:get(1, error))
    assert.equal(3, cache:get(3, error))
    cache:set(5, 5)
    cache:set(6, 6)
    assert.same({ 1, 3, 5, 6 }, keys_there(cache, 6))
  end))

  it("of infinity is none", helper.virtual(function()
    local cache = weir.cache { max = math.huge }
    for i = 1, 20000 do cache:set(i, i) end
    assert.equal(20000, cache.count)
  end))

  it("never takes a load that is under way", helper.virtual(function()
    local cache = weir.cache { max = 1 }
    local values = weir.map({ 1, 2, 3, 4, 5 }, function(key)
      return cache:get(key, function()
        weir.sleep(key)
        cache:set("other" .. key, key)
        return key
      end)
    end)
    assert.same({ n = 5, 1, 2, 3, 4, 5 }, values)
    assert.equal(1, cache.count)
    assert.equal(0, cache:stats().abandoned)
  end))
end)

describe("max_bytes", function()
  it("counts strings, keys and records as they lie in memory", helper.virtual(function()
    local cache = weir.cache { max_bytes = 100000, max = math.huge }
    cache:set("k", ("x"):rep(1000))
    local one = cache.bytes
    assert.is_true(one > 1100 and one < 1250, one)
    for i = 1, 1000 do cache:set("k" .. i, ("x"):rep(1000)) end
    assert.is_true(cache.bytes <= 100000)
    assert.is_true(cache.bytes > 95000)
    assert.is_true(cache.count > 75)
  end))

  it("takes numbers, booleans and nil as they are", helper.virtual(function()
    local cache = weir.cache { max_bytes = 10000 }
    for i, value in ipairs { 1, 2.5, true, false } do assert.is_true(cache:set(i, value)) end
    assert.is_true(cache:set("nil", nil))
    assert.equal(5, cache.count)
  end))

  it("needs to be told of everything else", helper.virtual(function()
    local cache = weir.cache { max_bytes = 10000 }
    local err = helper.error("misuse", cache.set, cache, "k", {})
    assert.is_truthy(tostring(err):find("size", 1, true))
    err = helper.error("misuse", cache.get, cache, "k", function() return {} end)
    assert.is_truthy(tostring(err):find("size=function", 1, true))
    assert.equal(0, cache.count)
    assert.is_true(cache:set("k", {}, { size = 100 }))
    assert.is_table(cache:get("l", function() return {}, { size = 5000 } end))
    assert.equal(2, cache.count)
    assert.is_true(cache.bytes > 5100 and cache.bytes < 5500)
  end))

  it("asks size(value, key)", helper.virtual(function()
    local asked = {}
    local cache = weir.cache { max_bytes = 10000, size = function(value, key)
      asked[#asked + 1] = { value, key }
      return #value
    end }
    cache:set("s", "abc")
    cache:get(7, function() return { 1, 2 } end)
    assert.same({ { "abc", "s" }, { { 1, 2 }, 7 } }, asked)
    cache:set("s", "abc", { size = 1 })
    assert.equal(2, #asked)
  end))

  it("of a size that is none keeps nothing and says so", helper.virtual(function()
    for _, bad in ipairs { "10", -1, 0 / 0, false } do
      local cache = weir.cache { max_bytes = 10000, size = function() return bad end }
      helper.error("misuse", cache.set, cache, "k", {})
      helper.error("misuse", cache.get, cache, "k", function() return {} end)
      assert.equal(0, cache.count)
    end
    local cache = weir.cache { max_bytes = 10000, size = function() error("own") end }
    local ok, err = pcall(cache.set, cache, "k", {})
    assert.is_false(ok)
    assert.is_truthy(err:find("own", 1, true))
  end))

  it("says so where a value is too large with its tags alone", helper.virtual(function()
    local cache = weir.cache { max_bytes = 10000 }
    cache:set("a", "old")
    assert.same({ n = 2, false, "impossible" }, table.pack(cache:set("a", "b", { tags = ("x"):rep(10000) })))
    assert.same({ n = 2, nil, false }, table.pack(cache:peek("a")))
    assert.equal(0, cache.bytes)
    assert.same({ n = 1, true }, table.pack(cache:set("a", "b", { tags = { "x", "y" } })))
    assert.same({ n = 1, true }, table.pack(cache:set("a", "b", { tags = "x", ttl = 0 })))
  end))

  it("refuses what is larger than all of it, and has what is there no more", helper.virtual(function()
    local cache = weir.cache { max_bytes = 10000 }
    cache:set("a", "small")
    cache:set("b", "other")
    assert.same({ n = 2, false, "impossible" }, table.pack(cache:set("a", ("x"):rep(10000))))
    assert.same({ n = 2, [2] = false }, table.pack(cache:peek("a")))
    assert.equal("other", cache:peek("b"))
    assert.equal(20000, #cache:get("c", function() return ("x"):rep(20000) end))
    assert.equal(1, cache.count)
  end))

  it("bounds what Lua holds too, to a tenth", function()
    helper.run(function()
      local bound <const> = 4 * 2 ^ 20
      collectgarbage()
      collectgarbage()
      local before = collectgarbage("count") * 1024
      local cache = weir.cache { max = math.huge, max_bytes = bound // 1 | 0 }
      for i = 1, 60000 do cache:set("key " .. i, ("%09d"):format(i):rep(10)) end
      collectgarbage()
      collectgarbage()
      local lua <const> = collectgarbage("count") * 1024 - before
      local n <const> = cache.count
      assert.is_true(n > 10000 and n < 30000)
      assert.is_true(cache.bytes <= bound and cache.bytes > bound - 1000)
      -- of an entry: the string 25 + 90 bytes, its slot 16; the rest is the core's
      assert.is_true(lua / n > 125 and lua / n < 150, lua / n)
    end)
  end)
end)

describe("tags", function()
  it("delete together what has them", helper.virtual(function()
    local cache = weir.cache()
    cache:set("a", 1, { tags = "x" })
    cache:set("b", 2, { tags = { "x", "y" } })
    cache:get("c", function() return 3, { tags = { "y" } } end)
    cache:set("d", 4)
    assert.equal(2, cache:delete_tag("x"))
    assert.equal(0, cache:delete_tag("x"))
    assert.same({ 3, 4 }, { (cache:peek("c")), (cache:peek("d")) })
    assert.equal(1, cache:delete_tag("y"))
    assert.equal(1, cache.count)
  end))

  it("of a set are those it says, not those of the value before", helper.virtual(function()
    local cache = weir.cache()
    cache:set("a", 1, { tags = "x" })
    cache:set("a", 2)
    assert.equal(0, cache:delete_tag("x"))
    assert.equal(2, cache:peek("a"))
  end))

  it("that are deleted while a load is under way keep out what it brings, known or not", helper.virtual(function()
    local cache = weir.cache()
    local function load(key)
      weir.sleep(1)
      return key, { tags = key == "new" and "late" or "x" }
    end
    local tasks = { weir.spawn(cache.get, cache, "a", load), weir.spawn(cache.get, cache, "new", load) }
    weir.sleep(0.5)
    cache:delete_tag("x")
    cache:delete_tag("late")
    assert.equal("a", tasks[1]:await())
    assert.equal("new", tasks[2]:await())
    assert.equal(0, cache.count)
    cache:get("a", load)
    assert.equal(1, cache.count)
  end))
end)

describe("delete, set and clear", function()
  local function load(_, value)
    weir.sleep(1)
    return value
  end

  it("let no load that began before them be seen", helper.virtual(function()
    for _, change in ipairs { "delete", "clear", "set" } do
      local cache = weir.cache()
      local t = weir.spawn(cache.get, cache, "k", load, "old")
      weir.sleep(0.5)
      if change == "set" then cache:set("k", "set") else cache[change](cache, "k") end
      local late = weir.spawn(cache.get, cache, "k", load, "new")
      assert.equal("old", t:await())
      assert.equal(change == "set" and "set" or nil, (cache:peek("k")))
      assert.equal(change == "set" and "set" or "new", late:await())
      assert.equal(change == "set" and "set" or "new", (cache:peek("k")))
      assert.equal(1, cache:stats().discarded)
    end
  end))

  it("say what there was", helper.virtual(function()
    local cache = weir.cache()
    assert.is_false(cache:delete("k"))
    cache:set("k", nil)
    assert.is_true(cache:delete("k"))
    local t = weir.spawn(cache.get, cache, "k", load, 1)
    weir.checkpoint()
    assert.is_true(cache:delete("k"))
    assert.is_false(cache:delete("k"))
    assert.equal(1, t:await())
  end))

  it("of ttl 0 keeps nothing", helper.virtual(function()
    local cache = weir.cache()
    cache:set("k", 1)
    assert.is_true(cache:set("k", 2, { ttl = 0 }))
    assert.equal(0, cache.count)
  end))
end)
