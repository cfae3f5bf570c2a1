-- keyed_spec.lua - one object per key: what is remembered, what is forgotten, and the way through both levels.

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

  describe("with", function()
    local function count_through(keyed, parent)
      local now, most, running, most_running = {}, 0, 0, 0
      weir.scope(function(s)
        for i = 1, 30 do
          local key = "k" .. i % 3
          s:spawn(function()
            local value = keyed:with(key, function(x)
              now[key] = (now[key] or 0) + 1
              running = running + 1
              most = math.max(most, now[key])
              most_running = math.max(most_running, running)
              weir.sleep(1)
              now[key] = now[key] - 1
              running = running - 1
              return x * 2
            end, i)
            assert.equal(2 * i, value)
          end)
        end
      end)
      assert.is_true(parent:is_idle())
      assert.equal(0, keyed:stats().in_use)
      return most, most_running
    end

    it("holds a permit of the key's semaphore and one of the parent", helper.virtual(function()
      local parent = weir.semaphore(4)
      assert.same({ 2, 4 }, { count_through(weir.keyed(semaphore_of(2), { parent = parent }), parent) })
    end))

    it("takes limits as well", helper.virtual(function()
      local parent = weir.limit(4)
      local keyed = weir.keyed(function() return weir.limit(2) end, { parent = parent })
      assert.same({ 2, 4 }, { count_through(keyed, parent) })
    end))

    it("needs no parent", helper.virtual(function()
      local keyed = weir.keyed(semaphore_of(1))
      assert.same({ 3, 4 }, { keyed:with("a", function(...) return ... end, 3, 4) })
    end))

    it("lets no key hold the parent while it waits for its own", helper.virtual(function()
      local keyed = weir.keyed(semaphore_of(1), { parent = weir.semaphore(2) })
      local start = weir.now()
      weir.scope(function(s)
        for _ = 1, 5 do s:spawn(function() keyed:with("slow", weir.sleep, 10) end) end
        weir.sleep(1)
        keyed:with("fast", function() end)
        helper.elapsed(1, start)
      end)
    end))

    it("takes a token where the object is a bucket", helper.virtual(function()
      local keyed = weir.keyed(function() return weir.bucket { rate = 1, burst = 1 } end)
      local start = weir.now()
      for _ = 1, 3 do keyed:with("a", function() end) end
      helper.elapsed(2, start)
    end))

    it("gives both back when fn raises", helper.virtual(function()
      local parent = weir.semaphore(1)
      local keyed = weir.keyed(semaphore_of(1), { parent = parent })
      local oops = {}
      for _ = 1, 3 do
        local _, err = pcall(keyed.with, keyed, "a", error, oops)
        assert.equal(oops, err)
      end
      assert.equal(1, parent.available)
      assert.equal(1, keyed("a").available)
    end))

    it("gives the key's permit back when the parent is closed", helper.virtual(function()
      local parent = weir.semaphore(1)
      local keyed = weir.keyed(semaphore_of(1), { parent = parent })
      local held = parent:acquire()
      local t = weir.spawn(function() return pcall(keyed.with, keyed, "a", function() end) end)
      weir.checkpoint()
      parent:close()
      local ok, err = t:await()
      assert.is_false(ok)
      assert.equal("closed", weir.kind(err))
      assert.is_true(keyed("a"):is_idle())
      held:release()
    end))

    it("inside with, in a ring, is a deadlock that is told", helper.virtual(function()
      local keyed = weir.keyed(semaphore_of(1), { parent = weir.semaphore(2) })
      local outcomes = weir.settle {
        function() keyed:with("a", function() weir.sleep(1) keyed:with("b", weir.sleep, 1) end) end,
        function() keyed:with("b", function() weir.sleep(1) keyed:with("a", weir.sleep, 1) end) end,
      }
      local told = 0
      for i = 1, 2 do told = told + (outcomes[i].ok and 0 or weir.kind(outcomes[i].error) == "deadlock" and 1 or 9) end
      assert.equal(1, told)
      assert.equal(0, keyed:stats().in_use)
    end))

    it("loses nothing when it is cancelled, wherever that is", function()
      local waits = helper.cancel_everywhere(function()
        local parent = weir.semaphore(2)
        local keyed = weir.keyed(semaphore_of(1), { parent = parent, max = 3, idle = 1 })
        local ok, err = pcall(weir.scope, function(s)
          for i = 1, 6 do
            s:spawn(function() keyed:with(i % 3, weir.sleep, 1) end)
          end
        end)
        assert(parent.available == 2 and parent.waiting == 0, "a permit of the parent is lost")
        for _, semaphore in pairs(keyed) do
          assert(semaphore:is_idle(), "a permit of a key is lost")
        end
        if not ok then error(err, 0) end
      end)
      assert.is_true(waits > 6)
    end)
  end)

  describe("take", function()
    local function buckets(rate, burst)
      return function() return weir.bucket { rate = rate, burst = burst } end
    end

    it("takes of the bucket of the key", helper.virtual(function()
      local keyed = weir.keyed(buckets(1, 2))
      local start = weir.now()
      keyed:take("a")
      keyed:take("a", 1)
      keyed:take("b", 2)
      helper.elapsed(0, start)
      keyed:take("a")
      helper.elapsed(1, start)
    end))

    it("waits for the slower of the key's and the parent's", helper.virtual(function()
      local keyed = weir.keyed(buckets(1, 1), { parent = weir.bucket { rate = 4, burst = 2 } })
      local start = weir.now()
      keyed:take("a")
      keyed:take("b")
      helper.elapsed(0, start)
      keyed:take("c") -- its own is full, the parent's next token comes after 1/4 s
      helper.elapsed(0.25, start)
      keyed:take("a")
      helper.elapsed(1, start)
    end))

    it("takes neither when its timeout is too short", helper.virtual(function()
      local parent = weir.bucket { rate = 1, burst = 1 }
      local keyed = weir.keyed(buckets(1, 1), { parent = parent })
      keyed:take("a")
      for _ = 1, 3 do
        local err = helper.error("timeout", keyed.take, keyed, "b", 1, { timeout = 0.5 })
        assert.is_true(math.abs(err.retry_after - 1) < 1e-6)
      end
      assert.is_true(keyed("b"):is_idle())
      weir.sleep(1)
      assert.is_true(parent:is_idle())
    end))

    it("takes neither when one of them cannot give so many", helper.virtual(function()
      local parent = weir.bucket { rate = 1, burst = 1 }
      local keyed = weir.keyed(buckets(1, 5), { parent = parent })
      helper.error("impossible", keyed.take, keyed, "a", 2)
      assert.is_true(keyed("a"):is_idle())
      assert.is_true(parent:is_idle())
    end))

    it("leaves the key's tokens alone while it waits for the parent's", helper.virtual(function()
      local parent = weir.bucket { rate = 1, burst = 1 }
      local keyed = weir.keyed(buckets(1, 3), { parent = parent })
      parent:take()
      local t = weir.spawn(function() keyed:take("a") end)
      weir.sleep(0.5)
      assert.is_true(keyed("a"):is_idle())
      t:cancel()
      t:pawait()
      weir.sleep(0.5)
      assert.is_true(parent:is_idle())
    end))

    it("gives both back when it is cancelled before either is due", helper.virtual(function()
      local parent = weir.bucket { rate = 1, burst = 1 }
      local keyed = weir.keyed(buckets(1, 1), { parent = parent })
      keyed:take("a")
      local tasks = {}
      for i = 1, 3 do tasks[i] = weir.spawn(function() keyed:take("a") end) end
      weir.sleep(0.5)
      for i = 1, 3 do tasks[i]:cancel() end
      for i = 1, 3 do tasks[i]:pawait() end
      weir.sleep(0.5)
      assert.is_true(keyed("a"):is_idle())
      assert.is_true(parent:is_idle())
    end))
  end)

  it("holds its bounds under every schedule", function()
    local n = helper.explore(function()
      local keyed = weir.keyed(semaphore_of(1), { parent = weir.semaphore(1), max = 2 })
      local running = 0
      weir.scope(function(s)
        for i = 1, 3 do
          s:spawn(function()
            keyed:with(i % 2, function()
              running = running + 1
              assert.equal(1, running)
              weir.checkpoint()
              running = running - 1
            end)
          end)
        end
      end)
      assert.equal(0, keyed:stats().in_use)
    end)
    assert.is_true(n > 1)
  end)

  it("is as before when an allocation failed", function()
    helper.fail_allocations(function()
      local parent = weir.semaphore(2)
      local keyed = weir.keyed(semaphore_of(1), { parent = parent, max = 3 })
      for i = 1, 12 do
        pcall(keyed.with, keyed, i % 5, weir.sleep, 0.1)
        assert(#keyed <= 3 and keyed:stats().in_use == 0 and parent:is_idle())
      end
    end)
  end)

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

  -- A list of keys, oldest first, searched from its beginning each time.
  local function naive(max, idle)
    local model = { list = {} }

    local function remove(i) return table.remove(model.list, i) end

    function model.expire(t)
      for i = #model.list, 1, -1 do
        local e = model.list[i]
        if not e.busy and t - e.used > idle then remove(i) end
      end
    end

    local function find(key)
      for i, e in ipairs(model.list) do
        if e.key == key then return i, e end
      end
    end
    model.find = find

    -- "hit", "made" or "overload"
    function model.use(key, t)
      local i, e = find(key)
      if e then
        remove(i)
        e.used = t
        table.insert(model.list, e)
        return "hit"
      end
      if #model.list >= max then
        local victim
        while #model.list > 0 and not victim and model.list[1].seen ~= t do
          e = model.list[1]
          if not e.busy then
            victim = e
            remove(1)
          else -- in use is used
            e.used, e.seen = t, t
            table.insert(model.list, remove(1))
          end
        end
        for _, seen in ipairs(model.list) do seen.seen = nil end
        if not victim then return "overload" end
      end
      table.insert(model.list, { key = key, used = t })
      return "made"
    end
    return model
  end

  -- Busy entries are looked at when they are due, and then count as used: so the model does it too.
  local function refresh(model, t, idle)
    local due = {}
    for i = #model.list, 1, -1 do
      local e = model.list[i]
      if e.busy and t - e.used > idle then table.insert(due, 1, table.remove(model.list, i)) end
    end
    for _, e in ipairs(due) do
      e.used = t
      table.insert(model.list, e)
    end
  end

  it("does what a plain list does, for any sequence of calls", function()
    for round = 0, 19 do
      local seed = helper.seed + round
      local random = helper.random(seed)
      local max, idle = random(1, 12), random(0, 20)
      helper.run(function()
        local factory, made = things()
        local keyed = weir.keyed(factory, { max = max, idle = idle })
        local model, expected = naive(max, idle), 0
        for step = 1, 300 do
          local what = ("WEIR_SEED=%d step %d"):format(seed, step)
          local key = "k" .. random(1, 2 * max)
          local dice = random(1, 10)
          local size = #keyed -- looks at all that are due
          model.expire(weir.now())
          refresh(model, weir.now(), idle)
          assert.equal(#model.list, size, what)
          if dice <= 5 then
            local outcome = model.use(key, weir.now())
            if outcome == "made" then collect() end
            expected = expected + (outcome == "made" and 1 or 0)
            local ok, got = pcall(keyed, key)
            assert.equal(outcome ~= "overload", ok, what)
            assert.equal(ok and key or "overload", ok and got.key or weir.kind(got), what)
          elseif dice <= 7 then
            local object, _, e = keyed:peek(key), model.find(key)
            assert.equal(e ~= nil, object ~= nil, what)
            if object then
              object.busy = not object.busy
              e.busy = object.busy
            end
          elseif dice == 8 then
            local i, e = model.find(key)
            local gone = e and not e.busy or false
            assert.equal(gone, (keyed:forget(key)), what)
            if gone then table.remove(model.list, i) end
          else
            weir.sleep(random(0, 10))
          end
          local order = {}
          for i, e in ipairs(model.list) do order[i] = e.key end
          if dice <= 8 then assert.same(order, keys_of(keyed), what) end
          assert.equal(expected, made.n, what)
        end
      end)
    end
  end)
end)
