-- keyed_spec.lua - one object per key: what is made, remembered and forgotten.

local helper = require "support.helper"
local weir = require "weir"

-- Objects for the bookkeeping specs: in use while `busy`.
local Thing = {}
Thing.__index = Thing

function Thing:is_idle()
  return not self.busy, self.seconds
end

-- A factory of things that counts what it made.
local function things()
  local made = { n = 0 }
  return function(key)
    made.n = made.n + 1
    return setmetatable({ key = key, number = made.n }, Thing)
  end, made
end

local function semaphore_of(n)
  return function(key)
    return weir.semaphore { permits = n, name = tostring(key) }
  end
end

-- What nobody refers to is really gone.
local function collect()
  collectgarbage()
  collectgarbage()
end

local function keys_of(keyed)
  local list = {}
  for key in pairs(keyed) do
    list[#list + 1] = key
  end
  return list
end

describe("weir.keyed", function()
  it("makes an object once and gives the same one after that", helper.virtual(function()
    local factory, made = things()
    local keyed = weir.keyed(factory)
    local a = keyed("a")
    assert.equal("a", a.key)
    assert.equal(a, keyed("a"))
    assert.not_equal(a, keyed("b"))
    assert.equal(2, made.n)
    assert.equal(2, #keyed)
  end))

  it("takes any value for a key, false included", helper.virtual(function()
    local keyed = weir.keyed((things()))
    local t = {}
    for _, key in ipairs { "a", 1, 1.5, t, false, true } do
      assert.equal(keyed(key), keyed(key))
    end
    assert.equal(6, #keyed)
    helper.error("misuse", keyed, nil)
    helper.error("misuse", keyed, 0 / 0)
  end))

  it("works for semaphores, limits and buckets", helper.virtual(function()
    for _, new in ipairs {
      function() return weir.semaphore(2) end,
      function() return weir.limit(2) end,
      function() return weir.bucket { rate = 10, burst = 5 } end,
    } do
      local keyed = weir.keyed(new, { idle = 1 })
      assert.equal(keyed("a"), keyed("a"))
      assert.equal(0, keyed:stats().in_use)
      weir.sleep(2)
      assert.equal(0, #keyed)
    end
  end))

  describe("a factory", function()
    it("that raises leaves nothing, and its error passes unchanged", helper.virtual(function()
      local oops, fail = {}, true
      local keyed = weir.keyed(function()
        if fail then error(oops) end
        return weir.semaphore(1)
      end)
      local ok, err = pcall(keyed, "a")
      assert.is_false(ok)
      assert.equal(oops, err)
      assert.equal(0, #keyed)
      assert.is_nil(keyed:peek("a"))
      assert.equal(0, keyed:stats().made)
      fail = false
      assert.is_truthy(keyed("a"))
    end))

    it("that raises sends nobody away", helper.virtual(function()
      local keyed = weir.keyed(function(key)
        return key == "bad" and error("oops", 0) or weir.semaphore(1)
      end, { max = 1 })
      local a = keyed("a")
      assert.is_false(pcall(keyed, "bad"))
      assert.equal(a, keyed:peek("a"))
    end))

    it("must not wait", helper.virtual(function()
      local keyed = weir.keyed(function() weir.sleep(1) end)
      local err = helper.error("misuse", keyed, "a")
      assert.is_truthy(tostring(err):find("factory must not wait (weir.sleep)", 1, true))
      assert.equal(0, #keyed)
    end))

    it("must not ask for the key that it is making", helper.virtual(function()
      local keyed
      keyed = weir.keyed(function(key) return keyed(key) end)
      local err = helper.error("misuse", keyed, "a")
      assert.is_truthy(tostring(err):find("the key that it is making, 'a'", 1, true))
    end))

    it("may make other keys", helper.virtual(function()
      local keyed
      keyed = weir.keyed(function(n)
        return setmetatable({ below = n > 1 and keyed(n - 1) or nil }, Thing)
      end, { max = 2 })
      assert.equal(keyed(4).below.below, keyed(2))
      assert.equal(2, #keyed)
    end))

    it("must return something that can be asked whether it is idle", helper.virtual(function()
      for _, what in ipairs { false, 12, "text", {} } do
        local keyed = weir.keyed(function() return what end)
        helper.error("misuse", keyed, "a")
        assert.equal(0, #keyed)
      end
      local keyed = weir.keyed(function() return {} end, { is_idle = function() return true end })
      assert.is_truthy(keyed("a"))
    end))
  end)

  describe("idle", function()
    it("seconds after its last use an object is forgotten", helper.virtual(function()
      local factory, made = things()
      local keyed = weir.keyed(factory, { idle = 10 })
      keyed("a")
      weir.sleep(9)
      keyed("a")
      weir.sleep(9)
      keyed("a")
      assert.equal(1, made.n)
      weir.sleep(11)
      assert.equal(0, #keyed)
      collect()
      assert.equal(2, keyed("a").number)
      assert.equal(1, keyed:stats().expired)
    end))

    it("is 60 unless said", helper.virtual(function()
      local keyed = weir.keyed((things()))
      keyed("a")
      weir.sleep(60)
      assert.equal(1, #keyed)
      weir.sleep(0.001)
      assert.equal(0, #keyed)
    end))

    it("may be 0: what is not in use is remembered for this instant", helper.virtual(function()
      local keyed = weir.keyed((things()), { idle = 0 })
      keyed("a").busy = true
      keyed("b")
      assert.equal(2, #keyed)
      weir.sleep(1)
      assert.same({ "a" }, keys_of(keyed))
    end))

    it("does not count while an object is in use", helper.virtual(function()
      local keyed = weir.keyed(semaphore_of(1), { idle = 10 })
      weir.spawn(function() keyed("a"):with(weir.sleep, 100) end)
      weir.sleep(50)
      keyed("b")
      local a = keyed("a")
      assert.equal(0, a.available)
      weir.sleep(45)
      assert.same({ "a" }, keys_of(keyed))
      weir.sleep(20)
      assert.equal(0, #keyed)
    end))

    it("does not count while a job is queued, or a bucket is not full", helper.virtual(function()
      local limits = weir.keyed(function() return weir.limit(1) end, { idle = 1 })
      limits("a")(weir.sleep, 20)
      limits("a")(weir.sleep, 20)
      local buckets = weir.keyed(function() return weir.bucket { rate = 1, burst = 30 } end, { idle = 1 })
      buckets("a"):take(20)
      weir.sleep(15)
      collect()
      assert.equal(1, #limits)
      assert.equal(1, #buckets)
      weir.sleep(30)
      assert.equal(0, #limits)
      assert.equal(0, #buckets)
    end))

    it("comes for a bucket when all of its limits are full again", helper.virtual(function()
      local keyed = weir.keyed(function()
        return weir.bucket { rate = 10, burst = 10, window = { n = 3, per = 60 } }
      end, { idle = 1 })
      keyed("a"):take(2)
      weir.sleep(30)
      assert.equal(1, #keyed)
      weir.sleep(35)
      assert.equal(0, #keyed)
    end))

    it("comes for a bucket whose limits were set meanwhile", helper.virtual(function()
      local keyed = weir.keyed(function()
        return weir.bucket { limits = { { rate = 10, burst = 10 }, { rate = 5, burst = 5 } } }
      end, { idle = 1 })
      keyed("a"):set { limits = { {}, { burst = 3 } } }
      keyed("a"):take(3)
      weir.sleep(1.5)
      assert.equal(0, #keyed)
    end))

    it("costs each look-up no more than two looks", helper.virtual(function()
      local looks = 0
      local keyed = weir.keyed(function() return {} end, {
        idle = 1, is_idle = function() looks = looks + 1 return true end,
      })
      for i = 1, 1000 do keyed(i) end
      weir.sleep(2)
      looks = 0
      for i = 1, 500 do
        keyed("other" .. i)
        assert.is_true(looks <= 2 * i)
      end
      assert.equal(500, #keyed)
    end))

    it("does not give a key two objects while somebody still has the first", helper.virtual(function()
      local keyed = weir.keyed(semaphore_of(1), { idle = 1 })
      local kept = keyed("a")
      weir.sleep(5)
      assert.equal(0, #keyed)
      collect()
      assert.equal(kept, keyed("a"))
      assert.equal(1, keyed:stats().revived)
    end))

    it("lets go of what no weak table would", helper.virtual(function()
      local keyed = weir.keyed(tostring, { max = 1, is_idle = function() return true end })
      for i = 1, 100 do keyed(i) end
      collect()
      for i = 1, 100 do assert.equal(tostring(i), keyed(i)) end
      assert.equal(200, keyed:stats().made)
      assert.equal(0, keyed:stats().revived)
    end))

    it("keeps no runtime alive", function()
      local r = helper.simulate(function()
        weir.keyed((things()))("a")
      end)
      assert.is_true(r.ok)
      assert.equal(0, r.time)
    end)
  end)

  describe("max", function()
    it("sends the least recently used away", helper.virtual(function()
      local keyed = weir.keyed((things()), { max = 3 })
      keyed("a")
      keyed("b")
      keyed("c")
      keyed("a")
      keyed("d")
      assert.same({ "c", "a", "d" }, keys_of(keyed))
      assert.equal(1, keyed:stats().evicted)
    end))

    it("passes what is in use", helper.virtual(function()
      local keyed = weir.keyed((things()), { max = 3 })
      keyed("a").busy = true
      keyed("b")
      keyed("c")
      keyed("d")
      assert.same({ "c", "a", "d" }, keys_of(keyed))
    end))

    it("with all in use is overload, and makes nothing", helper.virtual(function()
      local factory, made = things()
      local keyed = weir.keyed(factory, { max = 2, name = "tenants" })
      keyed("a").busy = true
      keyed("b").busy = true
      local err = helper.error("overload", keyed, "c")
      assert.equal("tenants", err.name)
      assert.is_nil(err.retry_after)
      assert.equal(2, made.n)
      assert.equal(1, keyed:stats().rejects.overload)
      keyed:peek("a").busy = false
      assert.equal("c", keyed("c").key)
      assert.same({ "b", "c" }, keys_of(keyed))
    end))

    it("says when to come again, if an object knows", helper.virtual(function()
      local keyed = weir.keyed(function() return weir.bucket { rate = 2, burst = 10 } end, { max = 2 })
      keyed("a"):take(10)
      keyed("b"):take(4)
      local err = helper.error("overload", keyed, "c")
      assert.is_true(math.abs(err.retry_after - 2) < 1e-6)
      weir.sleep(err.retry_after + 1e-6)
      assert.is_truthy(keyed("c"))
      assert.is_nil(keyed:peek("b"))
    end))

    it("of 1 works", helper.virtual(function()
      local keyed = weir.keyed((things()), { max = 1 })
      for i = 1, 10 do assert.equal(i, keyed(i).key) end
      assert.equal(1, #keyed)
    end))

    it("finds one idle object behind any number in use", helper.virtual(function()
      local keyed = weir.keyed((things()), { max = 1000 })
      for i = 1, 1000 do keyed(i).busy = i ~= 700 end
      keyed("new")
      assert.is_nil(keyed:peek(700))
      assert.equal(1000, #keyed)
    end))

    it("refuses at the price of 64 looks, and comes round", helper.virtual(function()
      local looks, idle = 0, nil
      local keyed = weir.keyed(function(key) return { key = key } end, {
        max = 1000, is_idle = function(_, key) looks = looks + 1 return key == idle end,
      })
      for i = 1, 1000 do keyed(i) end
      for _ = 1, 3 do assert.is_false(pcall(keyed, "new")) end
      looks = 0
      for i = 1, 100 do
        assert.is_false(pcall(keyed, "new"))
        assert.is_true(looks <= 64 * i)
      end
      idle = 500
      local refused = 0
      while not pcall(keyed, "new") do refused = refused + 1 end
      assert.is_true(refused <= 1000 / 64)
    end))

    it("counts a limiter that a task waits for as in use", helper.virtual(function()
      local keyed = weir.keyed(semaphore_of(1), { max = 1 })
      local permit = keyed("a"):acquire()
      local t = weir.spawn(function() keyed("a"):with(weir.sleep, 1) end)
      weir.checkpoint()
      permit:release()
      helper.error("overload", keyed, "b")
      t:await()
      assert.is_truthy(keyed("b"))
    end))
  end)

  describe("forget", function()
    it("drops an idle key, so that the factory is asked again", helper.virtual(function()
      local keyed = weir.keyed((things()))
      local first = keyed("a")
      assert.is_true(keyed:forget("a"))
      assert.equal(0, #keyed)
      assert.not_equal(first, keyed("a"))
    end))

    it("drops nothing that is in use or not there", helper.virtual(function()
      local keyed = weir.keyed((things()))
      keyed("a").busy = true
      assert.same({ false, "busy" }, { keyed:forget("a") })
      assert.same({ false, "unknown" }, { keyed:forget("b") })
      assert.equal(1, #keyed)
    end))
  end)

  describe("iteration", function()
    it("goes from the least to the most recently used", helper.virtual(function()
      local keyed = weir.keyed((things()))
      for _, key in ipairs { "a", "b", "c", "b" } do keyed(key) end
      local seen = {}
      for key, object in keyed:pairs() do
        assert.equal(key, object.key)
        seen[#seen + 1] = key
      end
      assert.same({ "a", "c", "b" }, seen)
    end))

    it("allows anything in the loop", helper.virtual(function()
      local keyed = weir.keyed((things()), { max = 4 })
      for i = 1, 4 do keyed(i) end
      local seen = {}
      for key in pairs(keyed) do
        seen[#seen + 1] = key
        keyed:forget(2)
        keyed("new" .. key)
      end
      assert.same({ 1, 3, 4 }, seen)
      assert.equal(4, #keyed)
    end))
  end)

  it("says what it was asked wrongly", helper.virtual(function()
    local factory = things()
    helper.error("misuse", weir.keyed)
    helper.error("misuse", weir.keyed, {})
    helper.error("misuse", weir.keyed, factory, { maximum = 1 })
    helper.error("misuse", weir.keyed, factory, { max = 0 })
    helper.error("misuse", weir.keyed, factory, { idle = -1 })
    helper.error("misuse", weir.keyed, factory, { name = 1 })
    helper.error("misuse", weir.keyed, factory, { is_idle = 1 })
    helper.error("misuse", weir.keyed, factory, { parent = {} })
    local keyed = weir.keyed(factory)
    helper.error("misuse", keyed.with, keyed, "a")
    helper.error("misuse", keyed.with, keyed, "a", function() end)
    helper.error("misuse", keyed.take, keyed, "a")
    assert.is_truthy(tostring(keyed):find("^weir.keyed: 1 of 10000 keys"))
  end))

  it("prints in its example what its page says", function()
    local page <close> = assert(io.open("docs/keyed.md"))
    local example <const> = page:read("a"):match("```lua\n(.-)```")
    local printed, shown = {}, {}
    local function record(...)
      local words = table.pack(...)
      for i = 1, words.n do words[i] = tostring(words[i]) end
      printed[#printed + 1] = table.concat(words, " ")
    end
    helper.run(assert(load(example, "example", "t", setmetatable({ print = record }, { __index = _G }))))
    for text in example:gmatch("%-%->%s*([^\n]-)%s*\n") do shown[#shown + 1] = text end
    assert.is_true(#shown > 3)
    assert.same(shown, printed)
  end)
end)
