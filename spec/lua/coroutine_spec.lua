-- coroutine_spec.lua - tasks and Lua's own coroutines side by side; very many tasks.

local helper = require "support.helper"
local weir = require "weir"

describe("very many tasks", function()
  it("100,000 sleeping at once end in the order of their times", helper.virtual(function()
    local n <const> = 100000
    local random = helper.random(1)
    local last, ended, start = 0, 0, weir.now()
    weir.scope(function()
      for _ = 1, n do
        local seconds = random(1, 1000000) / 1000
        weir.spawn(function()
          weir.sleep(seconds)
          assert(seconds >= last)
          last = seconds
          ended = ended + 1
        end)
      end
      weir.checkpoint()
    end)
    assert.equal(n, ended)
    helper.elapsed(last, start)
  end))

  it("100,000 waiting for one semaphore are served in order", helper.virtual(function()
    local n <const> = 100000
    local sem = weir.semaphore(1)
    local held = sem:acquire()
    local served = 0
    weir.scope(function()
      for i = 1, n do
        weir.spawn(function()
          sem:with(function()
            assert(served == i - 1)
            served = i
          end)
        end)
      end
      weir.sleep(1)
      assert.equal(n, sem.waiting)
      held:release()
    end)
    assert.equal(n, served)
  end))
end)

describe("deep nesting", function()
  -- `wrap(fn)` around itself, so many times.
  local function nest(wrap, depth)
    if depth == 0 then
      weir.sleep(1)
      return "bottom"
    end
    return wrap(function() return nest(wrap, depth - 1) end)
  end

  it("of holds, awaits and all has no limit of its own", helper.virtual(function()
    local sem = weir.semaphore(1000)
    assert.equal("bottom", nest(function(fn) return (sem:with(fn)) end, 1000))
    assert.equal("bottom", nest(function(fn) return (weir.spawn(fn):await()) end, 1000))
    assert.equal("bottom", nest(function(fn) return weir.all({ fn })[1] end, 300))
    assert.equal(1000, sem.available)
  end))

  it("of scopes ends in an error of Lua at worst, with everything given back", function()
    for _, wrap in ipairs {
      function(fn) return (weir.scope(fn)) end,
      function(fn) return (weir.timeout(10, fn)) end,
      function(fn) return (weir.shield(fn)) end,
    } do
      helper.run(function()
        local sem = weir.semaphore(1000)
        assert.equal("bottom", nest(wrap, 150))
        local ok, err = pcall(nest, function(fn) return (sem:with(wrap, fn)) end, 1000)
        assert.is_true(ok and err == "bottom" or tostring(err):find("stack overflow", 1, true) ~= nil, tostring(err))
        assert.equal(1000, sem.available)
        weir.sleep(1)
      end)
    end
  end)
end)

describe("a debug hook", function()
  it("of a task is there again after a misplaced yield", helper.virtual(function()
    weir.spawn(function()
      local calls = 0
      local function hook() calls = calls + 1 end
      debug.sethook(hook, "l")
      helper.error("misuse", function() coroutine.yield() end)
      local before = calls
      local f, mask = debug.gethook()
      assert.equal(hook, f)
      assert.equal("l", mask)
      assert.is_true(calls > before)
      debug.sethook()
      helper.error("misuse", function() coroutine.yield() end)
      assert.is_nil((debug.gethook()))
    end):await()
  end))

  it("of a task that has ended is not that of the next one", helper.virtual(function()
    weir.spawn(function() debug.sethook(function() end, "l") end):await()
    weir.spawn(function() assert.is_nil((debug.gethook())) end):await()
  end))
end)

describe("a coroutine of the user's own", function()
  it("works in a task as it always does", helper.virtual(function()
    local gen = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
    local sum = 0
    for i in gen do
      weir.sleep(1)
      sum = sum + i
    end
    assert.equal(6, sum)
  end))

  it("may spawn and cancel, which do not wait", helper.virtual(function()
    local t
    coroutine.wrap(function()
      t = weir.spawn(weir.sleep, 100)
      t:cancel()
    end)()
    t:pawait()
    assert.equal("cancelled", t.status)
  end))

  it("may be a source of map", helper.virtual(function()
    local r = weir.map(coroutine.wrap(function()
      for i = 1, 3 do coroutine.yield(i) end
    end), function(x) weir.sleep(1) return x * x end)
    assert.same({ 1, 4, 9, n = 3 }, r)
  end))

  it("cannot resume the coroutine of a parked task", helper.virtual(function()
    local co
    local t = weir.spawn(function()
      co = coroutine.running()
      weir.sleep(5)
      return "undisturbed"
    end)
    weir.sleep(1)
    local start = weir.now()
    pcall(coroutine.resume, co, "intruder")
    assert.equal("undisturbed", t:await())
    helper.elapsed(4, start)
  end))

  it("cannot close the coroutine of a parked task without the task being seen to fail", helper.virtual(function()
    local co
    local t = weir.spawn(function()
      co = coroutine.running()
      weir.sleep(5)
    end)
    weir.sleep(1)
    pcall(coroutine.close, co)
    weir.spawn(function() t:pawait() end)
    weir.sleep(10)
    assert.is_true(t.status == "failed" or t.status == "done", t.status)
  end))

  it("that runs a task's function sees a task only where one is", helper.virtual(function()
    local co = coroutine.create(function()
      local _, err = pcall(weir.sleep, 1)
      return weir.kind(err)
    end)
    local ok, kind = coroutine.resume(co)
    assert.is_true(ok)
    assert.equal("misuse", kind)
    weir.sleep(1)
  end))
end)
