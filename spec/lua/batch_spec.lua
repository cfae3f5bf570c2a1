-- batch_spec.lua - weir.batch: gathering, flushing, and what each caller gets.

local helper = require "support.helper"
local weir = require "weir"

-- A batch function that takes `seconds`, doubles its keys, and remembers what it was asked for and when.
local function doubling(seconds)
  local calls = {}
  return calls, function(keys)
    calls[#calls + 1] = { keys = table.concat(keys, " "), at = weir.now(), n = #keys }
    weir.sleep(seconds or 1)
    local values = {}
    for i, key in ipairs(keys) do values[i] = key * 2 end
    return values
  end
end

local function asked(calls)
  local list = {}
  for i, call in ipairs(calls) do list[i] = call.keys end
  return list
end

local function ask(batch, ...)
  return weir.map({ ... }, function(key) return batch(key) end)
end

describe("weir.batch", function()
  it("asks once for what was asked for one by one", helper.virtual(function()
    local calls, fn = doubling(2)
    local batch = weir.batch(fn)
    local start = weir.now()
    assert.same({ n = 3, 2, 4, 6 }, ask(batch, 1, 2, 3))
    helper.elapsed(2, start)
    assert.same({ "1 2 3" }, asked(calls))
  end))

  it("asks at once when nobody is ready to add more", helper.virtual(function()
    local calls, fn = doubling()
    local batch = weir.batch(fn, { delay = 5 })
    local start = weir.now()
    weir.spawn(weir.sleep, 10)
    assert.equal(2, batch(1))
    helper.elapsed(1, start)
    assert.equal(1, batch:stats().by_quiet)
    assert.equal(1, #calls)
  end))

  it("gathers what comes in later turns while others are busy", helper.virtual(function()
    local calls, fn = doubling()
    local batch = weir.batch(fn)
    ask(batch, 1, 2)
    weir.scope(function(s)
      for i = 1, 5 do
        s:spawn(function()
          for _ = 1, i * 3 do weir.checkpoint() end
          batch(i)
        end)
      end
    end)
    assert.same({ "1 2", "1 2 3 4 5" }, asked(calls))
  end))

  it("asks at once when it is full", helper.virtual(function()
    local calls, fn = doubling()
    local batch = weir.batch(fn, { max = 2, delay = 5, quiet = false })
    local start = weir.now()
    assert.same({ n = 5, 2, 4, 6, 8, 10 }, ask(batch, 1, 2, 3, 4, 5))
    assert.same({ "1 2", "3 4", "5" }, asked(calls))
    assert.same({ 0, 0, 5 }, { calls[1].at - start, calls[2].at - start, calls[3].at - start })
    local stats = batch:stats()
    assert.equal(2, stats.by_size)
    assert.equal(1, stats.by_delay)
    assert.equal(3, stats.groups)
    assert.equal(2, stats.size.max)
  end))

  it("asks after the delay of the oldest, however busy it is", helper.virtual(function()
    local calls, fn = doubling()
    local batch = weir.batch(fn, { delay = 0.5, quiet = false })
    local start = weir.now()
    weir.scope(function(s)
      for i = 1, 4 do
        s:spawn(function()
          weir.sleep(i * 0.2)
          batch(i)
        end)
      end
    end)
    assert.same({ "1 2 3", "4" }, asked(calls))
    helper.elapsed(0.8 + 0.5 + 1, start)
  end))

  it("asks when it is told to", helper.virtual(function()
    local calls, fn = doubling()
    local batch = weir.batch(fn, { delay = 50, quiet = false })
    batch:flush()
    local start = weir.now()
    weir.spawn(function()
      weir.sleep(1)
      batch:flush()
    end)
    assert.equal(4, batch(2))
    helper.elapsed(2, start)
    assert.equal(1, batch:stats().by_flush)
    assert.equal(1, #calls)
  end))

  it("asks once for equal keys of one group", helper.virtual(function()
    local calls, fn = doubling()
    local batch = weir.batch(fn)
    assert.same({ n = 5, 2, 4, 2, 2, 4 }, ask(batch, 1, 2, 1, 1.0, 2))
    assert.same({ "1 2" }, asked(calls))
    assert.equal(3, batch:stats().joined)
    ask(batch, 1)
    assert.same({ "1 2", "1" }, asked(calls))
  end))

  it("tells keys apart by what key() says", helper.virtual(function()
    local seen
    local batch = weir.batch(function(keys)
      seen = keys
      local values = {}
      for i, k in ipairs(keys) do values[i] = k.id .. k.name end
      return values
    end, { key = function(k) return k.id end })
    local values = weir.map({ { id = 1, name = "a" }, { id = 2, name = "b" }, { id = 1, name = "c" } },
      function(k) return batch(k) end)
    assert.same({ n = 3, "1a", "2b", "1a" }, values)
    assert.equal(2, #seen)
  end))

  it("takes keys of every kind", helper.virtual(function()
    local batch = weir.batch(function(keys) return keys end)
    local keys <const> = { 1, "1", true, false, {}, print, 1.5, (coroutine.running()) }
    local list = {}
    for i, key in ipairs(keys) do list[i] = function() return batch(key) end end
    local values = weir.all(list)
    for i, key in ipairs(keys) do assert.equal(key, values[i]) end
  end))

  it("gives nil and false where n says how many there are", helper.virtual(function()
    local batch = weir.batch(function() return { n = 3, nil, false, nil } end)
    assert.same({ n = 3, nil, false, nil }, ask(batch, 1, 2, 3))
  end))

  it("has so many calls under way as its limit says, and gathers meanwhile", helper.virtual(function()
    local calls, fn = doubling(1)
    local batch = weir.batch(fn, { limit = 1 })
    weir.scope(function(s)
      for i = 1, 6 do
        s:spawn(function()
          weir.sleep(i * 0.1)
          batch(i)
        end)
      end
      weir.sleep(0.55)
      assert.equal(1, batch.flying)
      assert.equal(4, batch.waiting)
    end)
    assert.same({ "1", "2 3 4 5 6" }, asked(calls))
    assert.equal(0, batch.flying)
  end))

  it("keeps full groups in line behind its limit", helper.virtual(function()
    local calls, fn = doubling(1)
    local batch = weir.batch(fn, { limit = 1, max = 2 })
    ask(batch, 1, 2, 3, 4, 5, 6)
    assert.same({ "1 2", "3 4", "5 6" }, asked(calls))
  end))

  describe("whose function", function()
    it("raises fails the whole group with the same value, and nobody reports it", helper.virtual(function()
      local unhandled = 0
      weir.on_unhandled(function() unhandled = unhandled + 1 return true end)
      local boom = {}
      local batch = weir.batch(function() weir.sleep(1) error(boom) end)
      local outcomes = weir.settle { function() batch(1) end, function() batch(2) end, function() batch(2) end }
      for i = 1, 3 do assert.equal(boom, outcomes[i].error) end
      assert.equal(0, unhandled)
      assert.equal(2, batch:stats().failures)
    end))

    it("gives errors by index fails those alone", helper.virtual(function()
      local boom = {}
      local batch = weir.batch(function(keys)
        local values, errors = {}, {}
        for i, key in ipairs(keys) do
          if key == 2 then errors[i] = boom else values[i] = key end
        end
        return values, errors
      end)
      local outcomes = weir.settle { function() return batch(1) end, function() return batch(2) end,
        function() return batch(3) end }
      assert.equal(1, outcomes[1].value)
      assert.equal(boom, outcomes[2].error)
      assert.equal(3, outcomes[3].value)
      assert.equal(1, batch:stats().failures)
    end))

    it("returns another number of values is told so, with both numbers", helper.virtual(function()
      for _, bad in ipairs { { 1 }, { 1, 2, 3 }, { n = 1, 1, 2 }, 5, false } do
        local batch = weir.batch(function() return bad end)
        local outcomes = weir.settle { function() return batch(1) end, function() return batch(2) end }
        for i = 1, 2 do
          assert.equal("misuse", weir.kind(outcomes[i].error))
          assert.is_truthy(type(bad) ~= "table" or tostring(outcomes[i].error):find("for 2 keys", 1, true))
        end
      end
      local batch = weir.batch(function() return { 1 }, "x" end)
      helper.error("misuse", batch, 1)
      batch = weir.batch(function() end)
      helper.error("misuse", batch, 1)
    end))

    it("uses its table again disturbs nobody", helper.virtual(function()
      local reused = {}
      local batch = weir.batch(function(keys)
        for i = 1, 10 do reused[i] = keys[i] end
        return reused
      end, { max = 2 })
      assert.same({ n = 6, 1, 2, 3, 4, 5, 6 }, ask(batch, 1, 2, 3, 4, 5, 6))
    end))

    it("says where it failed, in the traceback of who waited", helper.virtual(function()
      local function bad() error("bad") end
      local batch = weir.batch(function() bad() end)
      local t = weir.spawn(function() batch(1) end)
      t:pawait()
      assert.is_truthy(t.traceback:find("'bad'", 1, true), t.traceback)
    end))

    it("asks its own batch gathers again", helper.virtual(function()
      local batch
      batch = weir.batch(function(keys)
        local values = {}
        for i, key in ipairs(keys) do values[i] = key > 0 and batch(key - 1) + 1 or 0 end
        return values
      end)
      assert.equal(5, batch(5))
    end))

    it("asks its own batch with no call left is a deadlock", helper.virtual(function()
      local batch
      batch = weir.batch(function(keys) return { batch(keys[1] - 1) } end, { limit = 2, name = "users" })
      local err = helper.error("deadlock", batch, 5)
      assert.is_truthy(tostring(err):find("task 'users: call for 1 key' ", 1, true), tostring(err))
      weir.sleep(1)
      assert.equal(0, batch.flying + batch.waiting)
    end))
  end)

  it("says its name and state", helper.virtual(function()
    local batch = weir.batch(function(keys) return keys end, { name = "users" })
    assert.equal("users", batch.name)
    assert.is_truthy(tostring(batch):find("weir.batch users(0 waiting", 1, true))
    helper.error("misuse", function() return batch.nothing end)
    assert.equal("users", batch:stats().name)
  end))

  it("can be made outside tasks", function()
    local out = helper.program [[
      local weir = require "weir"
      local batch = weir.batch(function(keys) return keys end)
      print(weir.run(function() return batch(7) end), batch.waiting)
      print(weir.kind(select(2, pcall(batch, 1))))
      print(weir.run(function() return batch(8) end))
    ]]
    assert.equal("7\t0\nmisuse\n8\n", out)
  end)
end)

describe("batch:load_many", function()
  it("gives values in the order of its keys, in as few calls as may be", helper.virtual(function()
    local calls, fn = doubling()
    local batch = weir.batch(fn, { max = 3 })
    assert.same({ n = 5, 2, 4, 2, 6, 8 }, batch:load_many { 1, 2, 1, 3, 4 })
    assert.same({ "1 2 3", "4" }, asked(calls))
    assert.same({ n = 0 }, batch:load_many {})
    assert.same({ n = 2, 14, 16 }, batch:load_many { n = 2, 7, 8 })
  end))

  it("raises the first error, or gives all by index", helper.virtual(function()
    local batch = weir.batch(function(keys)
      local values, errors = {}, {}
      for i, key in ipairs(keys) do
        if key < 0 then errors[i] = "no " .. key else values[i] = key end
      end
      return values, errors
    end)
    local ok, err = pcall(batch.load_many, batch, { 1, -2, -3 })
    assert.is_false(ok)
    assert.equal("no -2", err)
    local values, errors = batch:load_many({ 1, -2, -3, 4 }, { on_error = "collect" })
    assert.same({ n = 4, [1] = 1, [4] = 4 }, values)
    assert.same({ [2] = "no -2", [3] = "no -3" }, errors)
    values, errors = batch:load_many({ 1 }, { on_error = "collect" })
    assert.same({ n = 1, 1 }, values)
    assert.is_nil(errors)
  end))

  it("asks nothing with a timeout of 0, since nothing is there at once", helper.virtual(function()
    local calls = 0
    local batch = weir.batch(function(keys) calls = calls + 1 return keys end, { name = "rows" })
    local err = helper.error("timeout", batch.load_many, batch, { 1 }, { timeout = 0 })
    assert.same({ "batch:load_many", "rows" }, { err.op, err.name })
    weir.sleep(1)
    assert.equal(0, calls)
    assert.equal(0, batch:load_many({}, { timeout = 0 }).n)
  end))

  it("is misuse, by the name of the batch, where the function returns something else", helper.virtual(function()
    local batch = weir.batch(function() return "x" end, { name = "rows" })
    local err = helper.error("misuse", batch, 1)
    assert.equal("rows", err.name)
    assert.equal("batch: the function must return a table with a value for each key, got 'x'", tostring(err))
  end))

  it("waits no longer than its timeout, and leaves", helper.virtual(function()
    local stopped = false
    local batch = weir.batch(function()
      local _ <close> = helper.closing(function(err) stopped = err ~= nil end)
      weir.sleep(10)
    end)
    local start = weir.now()
    helper.error("timeout", batch.load_many, batch, { 1, 2 }, { timeout = 1 })
    helper.elapsed(1, start)
    weir.sleep(1)
    assert.is_true(stopped)
  end))

  it("is right about arguments", helper.virtual(function()
    local batch = weir.batch(print)
    helper.error("misuse", batch.load_many, batch, 5)
    helper.error("misuse", batch.load_many, batch, { 1, 0 / 0 })
    helper.error("misuse", batch.load_many, batch, { n = 2, 1 })
    helper.error("misuse", batch.load_many, batch, { 1 }, { no = 1 })
    helper.error("misuse", batch.load_many, batch, { 1 }, { on_error = "x" })
    helper.error("misuse", batch.load_many, batch, { 1 }, { timeout = -1 })
    assert.equal(0, batch:stats().requests)
  end))
end)
