-- await_spec.lua - weir.await and weir.wrap: callbacks become waits.

local helper = require "support.helper"
local weir = require "weir"

-- A callback source under the spec's control: calls back `delay` seconds later from another task.
local function later(delay, resume, ...)
  local args = table.pack(...)
  weir.daemon(function()
    weir.sleep(delay)
    resume(table.unpack(args, 1, args.n))
  end)
end

local function closable(log)
  return { close = function() log[#log + 1] = "closed" end }
end

describe("weir.await", function()
  it("runs start at once", helper.virtual(function()
    local switched, ran = false, false
    weir.spawn(function() switched = true end)
    weir.await(function(resume)
      ran = not switched
      resume()
    end)
    assert.is_true(ran)
  end))

  it("returns the values of a resume that comes after parking", helper.virtual(function()
    local start = weir.now()
    local got = table.pack(weir.await(function(resume) later(2, resume, 1, nil, 3, nil) end))
    assert.same({ 1, nil, 3, nil, n = 4 }, got)
    helper.elapsed(2, start)
  end))

  it("returns the values of a resume that comes before parking", helper.virtual(function()
    local got = table.pack(weir.await(function(resume) resume(nil, "now", nil) end))
    assert.same({ nil, "now", nil, n = 3 }, got)
  end))

  it("ignores a second resume", helper.virtual(function()
    local keep
    assert.equal(1, (weir.await(function(resume)
      keep = resume
      resume(1)
      resume(2)
    end)))
    keep(3)
    weir.sleep(1)
  end))

  it("ignores a second resume between the first and its turn", helper.virtual(function()
    local value = weir.await(function(resume)
      weir.spawn(function() resume("first") resume("second") end)
    end)
    assert.equal("first", value)
  end))

  it("is not mixed up with a later wait of the same task by a late resume", helper.virtual(function()
    local start, keep = weir.now(), nil
    helper.error("timeout", weir.timeout, 1, weir.await, function(resume) keep = resume end)
    weir.spawn(function() keep("stale") end)
    weir.sleep(5)
    helper.elapsed(6, start)
    weir.spawn(function() keep("stale") end)
    assert.equal("right", (weir.await(function(resume) later(1, resume, "right") end)))
  end))

  it("ignores a resume after its task has ended", helper.virtual(function()
    local keep
    weir.spawn(function() weir.await(function(resume) keep = resume resume() end) end):await()
    keep()
    weir.sleep(1)
  end))

  it("closes what start returned if it is cancelled", helper.virtual(function()
    local log = {}
    local t = weir.spawn(function() weir.await(function() return closable(log) end) end)
    weir.sleep(1)
    assert.same({}, log)
    t:cancel()
    t:pawait()
    assert.same({ "closed" }, log)
  end))

  it("closes what start returned at a deadline", helper.virtual(function()
    local log = {}
    helper.error("timeout", weir.timeout, 1, weir.await, function() return closable(log) end)
    assert.same({ "closed" }, log)
  end))

  it("closes through __close where there is no close method", helper.virtual(function()
    local log = {}
    helper.error("timeout", weir.timeout, 1, weir.await, function()
      return helper.closing(function() log[#log + 1] = "closed" end)
    end)
    assert.same({ "closed" }, log)
  end))

  it("does not close what start returned if it was resumed", helper.virtual(function()
    local log = {}
    weir.await(function(resume) later(1, resume) return closable(log) end)
    weir.await(function(resume) resume() return closable(log) end)
    assert.same({}, log)
  end))

  it("closes once, though a resume comes after", helper.virtual(function()
    local log, keep = {}, nil
    helper.error("timeout", weir.timeout, 1, weir.await, function(resume)
      keep = resume
      return closable(log)
    end)
    keep()
    weir.sleep(1)
    assert.same({ "closed" }, log)
  end))

  it("closes what start returned if the task was cancelled during start", helper.virtual(function()
    local log, t = {}, nil
    t = weir.spawn(function()
      weir.await(function()
        t:cancel("meanwhile")
        return closable(log)
      end)
    end)
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal("meanwhile", err.reason)
    assert.same({ "closed" }, log)
  end))

  it("may be closed by something that waits", helper.virtual(function()
    local start, closed = weir.now(), false
    local t = weir.spawn(function()
      weir.await(function()
        return { close = function() weir.shield(weir.sleep, 2) closed = true end }
      end)
    end)
    weir.sleep(1)
    t:cancel()
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal("cancelled", weir.kind(err))
    assert.is_true(closed)
    helper.elapsed(3, start)
  end))

  it("makes an error of the close a failure", helper.virtual(function()
    local mine = {}
    local t = weir.spawn(function()
      weir.await(function()
        return { close = function() error(mine) end }
      end)
    end)
    weir.sleep(1)
    weir.spawn(function() t:cancel() end)
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.equal("failed", t.status)
  end))

  it("ignores a resume from inside the close", helper.virtual(function()
    helper.error("timeout", weir.timeout, 1, weir.await, function(resume)
      return { close = function() resume("too late") end }
    end)
  end))

  it("takes a start that waits itself", helper.virtual(function()
    local start = weir.now()
    assert.equal("x", (weir.await(function(resume)
      weir.sleep(1)
      later(1, resume, "x")
    end)))
    helper.elapsed(2, start)
  end))

  it("takes a start that returns nothing", helper.virtual(function()
    helper.error("timeout", weir.timeout, 1, weir.await, function() end)
  end))

  it("passes an error of start unchanged", helper.virtual(function()
    local mine = {}
    local ok, err = pcall(weir.await, function() error(mine) end)
    assert.is_false(ok)
    assert.equal(mine, err)
    weir.sleep(1)
  end))

  it("keeps its task alive and uncollected while parked", helper.virtual(function()
    local keep
    local done = false
    weir.spawn(function()
      weir.await(function(resume) keep = resume end)
      done = true
    end)
    weir.checkpoint()
    collectgarbage()
    collectgarbage()
    keep()
    weir.checkpoint()
    assert.is_true(done)
  end))

  it("that nobody can resume any more is a deadlock, not a hang", function()
    local r = helper.simulate(function() weir.await(function() end) end)
    assert.is_false(r.ok)
    assert.equal("deadlock", weir.kind(r.error))

    local out = helper.program [[
      local weir = require "weir"
      local ok, err = pcall(weir.run, function() weir.await(function() end) end)
      print(ok, weir.kind(err))
    ]]
    assert.equal("false\tdeadlock\n", out)
  end)

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      for _ = 1, 3 do
        weir.await(function(resume)
          local t = weir.spawn(function() weir.sleep(1) resume() end)
          return { close = function() t:cancel() end }
        end)
      end
    end)
  end)
end)

describe("weir.wrap", function()
  it("calls the function with a callback as its last argument", helper.virtual(function()
    local got
    local f = weir.wrap(function(...)
      got = table.pack(...)
      got[got.n]()
    end)
    f("a", nil)
    assert.equal(3, got.n)
    assert.equal("a", got[1])
    assert.is_nil(got[2])
    assert.is_function(got[3])
  end))

  it("returns what the callback got", helper.virtual(function()
    local f = weir.wrap(function(a, callback) later(1, callback, nil, a, nil) end)
    assert.same({ nil, "x", nil, n = 3 }, table.pack(f("x")))
  end))

  it("closes what the function returned if the wait is given up", helper.virtual(function()
    local log = {}
    local f = weir.wrap(function() return closable(log) end)
    helper.error("timeout", weir.timeout, 1, f)
    assert.same({ "closed" }, log)
  end))

  it("can be called from many tasks at once", helper.virtual(function()
    local f = weir.wrap(function(n, callback) later(n, callback, n) end)
    local r = weir.all {
      function() return f(3) end,
      function() return f(1) end,
      function() return f(2) end,
    }
    assert.same({ 3, 1, 2, n = 3 }, r)
  end))
end)
