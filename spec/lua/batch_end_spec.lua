-- batch_end_spec.lua - leaving a batch, closing and draining it, refusals, every cancel and every schedule.

local core = require "weir.core"
local helper = require "support.helper"
local weir = require "weir"

local function recording(seconds)
  local calls = { stopped = 0 }
  return calls, function(keys)
    local _ <close> = helper.closing(function(err) if err then calls.stopped = calls.stopped + 1 end end)
    calls[#calls + 1] = table.concat(keys, " ")
    weir.sleep(seconds or 1)
    return keys
  end
end

local function start_all(batch, n)
  local tasks = {}
  for i = 1, n do tasks[i] = weir.spawn(pcall, batch, i) end
  weir.checkpoint()
  return tasks
end

describe("a caller that leaves", function()
  it("before the call takes its key along, if nobody else wants it", helper.virtual(function()
    local calls, fn = recording()
    local batch = weir.batch(fn, { delay = 1, quiet = false })
    local tasks = start_all(batch, 3)
    local twin = weir.spawn(batch, 3)
    weir.checkpoint()
    tasks[2]:cancel()
    tasks[3]:cancel()
    assert.equal(3, twin:await())
    assert.same({ "1 3" }, { table.unpack(calls) })
    assert.equal(1, batch:stats().dropped)
    assert.equal(2, batch:stats().rejects.cancelled)
  end))

  it("and comes back before the call is one of it again", helper.virtual(function()
    local calls, fn = recording()
    local batch = weir.batch(fn, { delay = 1, quiet = false })
    local tasks = start_all(batch, 2)
    tasks[1]:cancel()
    weir.checkpoint()
    assert.equal(1, batch(1))
    assert.same({ "2 1" }, { table.unpack(calls) })
  end))

  it("as the last of a group has it not asked at all", helper.virtual(function()
    local calls, fn = recording()
    local batch = weir.batch(fn, { delay = 1, quiet = false })
    local tasks = start_all(batch, 2)
    for i = 1, 2 do tasks[i]:cancel() end
    weir.sleep(5)
    assert.equal(0, #calls)
    assert.equal(0, batch.waiting)
    assert.equal(7, batch(7))
  end))

  it("during the call does not end it for others, the last one does", helper.virtual(function()
    local calls, fn = recording(5)
    local batch = weir.batch(fn)
    local tasks = start_all(batch, 2)
    weir.sleep(1)
    tasks[1]:cancel()
    weir.sleep(1)
    assert.equal(0, calls.stopped)
    tasks[2]:cancel()
    weir.sleep(1)
    assert.equal(1, calls.stopped)
    assert.equal(0, batch.flying)
  end))

  it("by the deadline of its scope concerns itself alone", helper.virtual(function()
    local calls, fn = recording(5)
    local batch = weir.batch(fn)
    local patient = weir.spawn(batch, 1)
    weir.checkpoint()
    helper.error("timeout", weir.timeout, 1, batch, 2)
    assert.equal(1, patient:await())
    assert.same({ "1 2" }, { table.unpack(calls) })
  end))
end)

describe("batch:close", function()
  it("fails who waits for what was not asked, lets what was asked end, and refuses the rest", helper.virtual(function()
    local calls, fn = recording(5)
    local batch = weir.batch(fn, { limit = 1, max = 2, name = "users" })
    local tasks = start_all(batch, 5) -- one group under way, one in line, one that gathers
    weir.sleep(1)
    local many = weir.spawn(pcall, batch.load_many, batch, { 8, 9 })
    weir.checkpoint()
    batch:close("enough")
    batch:close("again")
    local outcomes = {}
    for i = 1, 5 do outcomes[i] = table.pack(tasks[i]:await()) end
    for i = 1, 2 do assert.same({ n = 2, true, i }, outcomes[i]) end
    for i = 3, 5 do
      assert.equal("closed", weir.kind(outcomes[i][2]))
      assert.equal("enough", outcomes[i][2].reason)
      assert.equal("users", outcomes[i][2].name)
    end
    local _, err = many:await()
    assert.equal("closed", weir.kind(err))
    assert.equal("enough", helper.error("closed", batch, 1).reason)
    helper.error("closed", batch.load_many, batch, { 1 })
    assert.same({ "1 2" }, { table.unpack(calls) })
    assert.equal(0, batch.waiting + batch.flying)
  end))
end)

describe("a batch in a block that says <close>", function()
  it("is closed at its end", helper.virtual(function()
    local kept
    do
      local batch <close> = weir.batch(function(keys) return keys end)
      assert.equal(1, batch(1))
      kept = batch
    end
    helper.error("closed", kept, 1)
  end))
end)

describe("batch:drain", function()
  it("asks for what has gathered, waits for all, refuses what is new", helper.virtual(function()
    local calls, fn = recording(2)
    local batch = weir.batch(fn, { delay = 100, quiet = false, max = 2 })
    local tasks = start_all(batch, 3)
    local start = weir.now()
    local drained = weir.spawn(batch.drain, batch)
    weir.spawn(function() helper.error("closed", batch, 3) end) -- which waits to be asked for
    weir.checkpoint()
    helper.error("closed", batch, 9)
    drained:await()
    helper.elapsed(2, start)
    for i = 1, 3 do assert.same({ n = 2, true, i }, table.pack(tasks[i]:await())) end
    assert.same({ "1 2", "3" }, { table.unpack(calls) })
    batch:drain()
  end))

  it("takes a timeout", helper.virtual(function()
    local _, fn = recording(5)
    local batch = weir.batch(fn)
    local tasks = start_all(batch, 1)
    helper.error("timeout", batch.drain, batch, 1)
    helper.error("misuse", batch.drain, batch, -1)
    assert.is_true((tasks[1]:await()))
  end))

  it("from within a call is a deadlock", helper.virtual(function()
    local batch
    batch = weir.batch(function(keys)
      helper.error("deadlock", batch.drain, batch)
      return keys
    end)
    assert.equal(1, batch(1))
  end))
end)

describe("max_waiting", function()
  it("refuses more keys with overload, and when to try again", helper.virtual(function()
    local _, fn = recording()
    local batch = weir.batch(fn, { max_waiting = 2, delay = 4, quiet = false, name = "users" })
    local tasks = start_all(batch, 2)
    weir.sleep(1)
    local err = helper.error("overload", batch, 3)
    assert.equal("users", err.name)
    assert.is_true(math.abs(err.retry_after - 3) < 0.01)
    weir.spawn(batch, 1) -- joins
    helper.error("overload", batch.load_many, batch, { 1, 2, 3 })
    for i = 1, 2 do assert.is_true((tasks[i]:await())) end
    assert.equal(3, batch(3))
    assert.equal(2, batch:stats().rejects.overload)
  end))
end)

describe("misuse", function()
  it("of options names the option", helper.virtual(function()
    local function fn(keys) return keys end
    for _, options in ipairs { { max = 0 }, { max = 1.5 }, { max = "2" }, { delay = -1 }, { delay = "x" },
      { quiet = 1 }, { limit = 0 }, { limit = -1 }, { max_waiting = 0 }, { key = 5 }, { name = 5 }, { no_such = 1 } } do
      local err = helper.error("misuse", weir.batch, fn, options)
      assert.is_truthy(tostring(err):find(next(options), 1, true))
    end
    helper.error("misuse", weir.batch, 5)
    helper.error("misuse", weir.batch, fn, 5)
    helper.error("misuse", weir.batch, fn, { quiet = false, delay = 0 })
    helper.error("misuse", weir.batch, fn, { quiet = false, delay = math.huge })
  end))

  it("of keys changes nothing", helper.virtual(function()
    local batch = weir.batch(function(keys) return keys end)
    helper.error("misuse", batch)
    helper.error("misuse", batch, nil)
    helper.error("misuse", batch, 0 / 0)
    batch = weir.batch(print, { key = function(key) if key == 1 then error("own", 0) end end })
    helper.error("misuse", batch, 2)
    local ok, err = pcall(batch, 1)
    assert.is_false(ok)
    assert.equal("own", err)
    batch = weir.batch(print, { key = function() weir.sleep(1) end })
    helper.error("misuse", batch, 1)
    assert.equal(0, batch:stats().requests)
  end))

  it("of a batch whose runtime has ended is told", function()
    local batch
    helper.run(function()
      batch = weir.batch(function(keys) return keys end)
      batch(1)
    end)
    helper.run(function() helper.error("misuse", batch, 1) end)
    assert.equal("weir.batch (ended)", tostring(batch))
  end)
end)

describe("whatever comes", function()
  local function program()
    local n = 0
    local batch = weir.batch(function(keys)
      n = n + 1
      weir.sleep(1)
      if n == 2 then error("bad") end
      local values, errors = {}, {}
      for i, key in ipairs(keys) do
        if key == 3 then errors[i] = "three" else values[i] = key end
      end
      return values, errors
    end, { max = 2, limit = 1 })
    weir.settle {
      function() return batch(1) end,
      function() return batch(1) end,
      function() return weir.timeout(0.5, batch, 2) end,
      function() return batch:load_many { 3, 4, 5 } end,
      function() weir.sleep(0.5) return batch(4) end,
    }
    batch:drain()
    assert(batch.waiting == 0 and batch.flying == 0)
  end

  it("nothing is left behind: a cancel anywhere, any order, no memory", function()
    assert.is_true(helper.cancel_everywhere(program) > 5)
    assert.is_true(helper.fail_allocations(program) > 10)
    helper.shuffle(100, program)
  end)

  it("a small program gives each its own under every schedule", function()
    local schedules = helper.explore(function()
      local asked = 0
      local batch = weir.batch(function(keys)
        asked = asked + #keys
        weir.checkpoint()
        return keys
      end)
      local t = weir.spawn(batch, 1)
      local values = weir.all { function() return batch(2) end, function() t:cancel() return batch(1) end }
      t:pawait()
      assert(values[1] == 2 and values[2] == 1 and asked >= 2 and asked <= 3)
    end)
    assert.is_true(schedules > 5, schedules)
  end)

  it("a coroutine that somebody closes leaves its group, and nothing of it", helper.virtual(function()
    local calls, fn = recording(2)
    local batch = weir.batch(fn)
    local function close(landed)
      local stopped <const> = calls.stopped
      pcall(weir.scope, function()
        local co
        local t = weir.spawn(function()
          co = coroutine.running()
          return batch(1)
        end)
        weir.sleep(1)
        coroutine.close(co)
        if not landed then t:cancel() end
        weir.sleep(5)
      end)
      assert.equal(stopped + (landed and 0 or 1), calls.stopped)
      assert.equal(0, batch.flying)
    end
    close(false)
    close(true)
    local bytes = core.counters().bytes
    close(false)
    close(true)
    assert.equal(bytes, core.counters().bytes)
  end))

  it("the end of the program ends its calls", function()
    local r = helper.simulate(function()
      local batch = weir.batch(function() weir.sleep(1e6) end)
      weir.daemon(batch, 1)
      weir.sleep(1)
    end)
    assert.is_true(r.ok)
  end)

  it("a batch is collected with its function", helper.virtual(function()
    local seen = setmetatable({}, { __mode = "v" })
    do
      local batch
      batch = weir.batch(function(keys) return batch and keys end)
      seen.batch = batch
      batch(1)
    end
    weir.checkpoint()
    collectgarbage()
    collectgarbage()
    assert.is_nil(seen.batch)
  end))
end)
