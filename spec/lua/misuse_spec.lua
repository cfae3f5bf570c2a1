-- misuse_spec.lua - wrong calls raise `misuse` naming the function, the argument and what was expected.

local helper = require "support.helper"
local weir = require "weir"

local NAN <const> = 0 / 0
local function f() end

-- name of the function as it must appear | call | what must appear besides
local wrong = {
  { "sleep", function() weir.sleep() end, "number" },
  { "sleep", function() weir.sleep("x") end, "number", "string" },
  { "sleep", function() weir.sleep({}) end, "number", "table" },
  { "sleep", function() weir.sleep(-1) end },
  { "sleep", function() weir.sleep(NAN) end },
  { "spawn", function() weir.spawn() end, "function" },
  { "spawn", function() weir.spawn(1) end, "function", "number" },
  { "spawn", function() weir.spawn("x", f) end, "function", "string" },
  { "detach", function() weir.detach(1) end, "function", "number" },
  { "daemon", function() weir.daemon({}) end, "function" },
  { "run", function() weir.run(1) end, "function", "number" },
  { "scope", function() weir.scope() end, "function" },
  { "scope", function() weir.scope(1) end, "function", "number" },
  { "scope", function() weir.scope({}) end, "function" },
  { "scope", function() weir.scope({}, 1) end, "function", "number" },
  { "scope", function() weir.scope({ timeout = "x" }, f) end, "timeout", "number" },
  { "scope", function() weir.scope({ timeout = -1 }, f) end, "timeout" },
  { "scope", function() weir.scope({ timeout = NAN }, f) end, "timeout" },
  { "scope", function() weir.scope({ deadline = "x" }, f) end, "deadline", "number" },
  { "scope", function() weir.scope({ name = {} }, f) end, "name", "string" },
  { "scope", function() weir.scope({ bogus = 1 }, f) end, "bogus" },
  { "timeout", function() weir.timeout() end, "number" },
  { "timeout", function() weir.timeout("x", f) end, "number", "string" },
  { "timeout", function() weir.timeout(-1, f) end },
  { "timeout", function() weir.timeout(NAN, f) end },
  { "timeout", function() weir.timeout(1) end, "function" },
  { "timeout", function() weir.timeout(1, 2) end, "function", "number" },
  { "shield", function() weir.shield() end, "function" },
  { "shield", function() weir.shield(1) end, "function" },
  { "shield", function() weir.shield("x", f) end },
  { "shield", function() weir.shield(-1, f) end },
  { "shield", function() weir.shield(NAN, f) end },
  { "await", function() weir.await() end, "function" },
  { "await", function() weir.await(1) end, "function", "number" },
  { "wrap", function() weir.wrap() end, "function" },
  { "wrap", function() weir.wrap({}) end, "function" },
  { "on_unhandled", function() weir.on_unhandled(1) end, "function", "number" },

  { "semaphore", function() weir.semaphore() end },
  { "semaphore", function() weir.semaphore(0) end, "integer" },
  { "semaphore", function() weir.semaphore(-1) end, "integer" },
  { "semaphore", function() weir.semaphore(1.5) end, "integer" },
  { "semaphore", function() weir.semaphore(NAN) end, "integer" },
  { "semaphore", function() weir.semaphore("x") end, "integer", "string" },
  { "semaphore", function() weir.semaphore(2 ^ 32 - 1) end, "at most 4294967294", "4294967295" },
  { "semaphore", function() weir.semaphore({}) end, "permits" },
  { "semaphore", function() weir.semaphore({ permits = 0 }) end, "permits", "integer" },
  { "semaphore", function() weir.semaphore({ permits = 1, max_waiting = -1 }) end, "max_waiting", "integer >= 0" },
  { "semaphore", function() weir.semaphore({ permits = 1, max_waiting = "x" }) end, "max_waiting" },
  { "semaphore", function() weir.semaphore({ permits = 1, name = 1 }) end, "name", "string" },
  { "semaphore", function() weir.semaphore({ permits = 1, order = "x" }) end, "order" },
  { "semaphore", function() weir.semaphore({ permits = 1, bogus = 1 }) end, "bogus" },
  { "acquire", function() weir.semaphore(1):acquire("x") end, "integer", "string" },
  { "acquire", function() weir.semaphore(1):acquire(0) end, "integer" },
  { "acquire", function() weir.semaphore(1):acquire(-1) end, "integer" },
  { "acquire", function() weir.semaphore(1):acquire(1.5) end, "integer" },
  { "acquire", function() weir.semaphore(1):acquire({ bogus = 1 }) end, "bogus" },
  { "acquire", function() weir.semaphore(1):acquire(1, { bogus = 1 }) end, "bogus" },
  { "acquire", function() weir.semaphore(1):acquire(1, { timeout = "x" }) end, "timeout", "number" },
  { "acquire", function() weir.semaphore(1):acquire(1, { timeout = -1 }) end, "timeout" },
  { "acquire", function() weir.semaphore(1):acquire({ timeout = NAN }) end, "timeout" },
  { "acquire", function() weir.semaphore(1):acquire(1, 2) end, "table" },
  { "acquire", function() weir.semaphore(1).acquire() end, "semaphore" },
  { "acquire", function() weir.semaphore(1).acquire({}) end, "semaphore" },
  { "try_acquire", function() weir.semaphore(1):try_acquire("x") end, "integer", "string" },
  { "try_acquire", function() weir.semaphore(1):try_acquire(0) end, "integer" },
  { "with", function() weir.semaphore(1):with() end, "function" },
  { "with", function() weir.semaphore(1):with(1) end, "function", "number" },
  { "with", function() weir.semaphore(1).with({}, f) end, "semaphore" },
  { "with_n", function() weir.semaphore(1):with_n(0, f) end, "integer" },
  { "with_n", function() weir.semaphore(1):with_n("x", f) end, "integer", "string" },
  { "with_n", function() weir.semaphore(1):with_n(1) end, "function" },
  { "transfer", function() local p <close> = weir.semaphore(1):acquire() p:transfer(1) end, "task" },

  { "limit", function() weir.limit() end, "integer" },
  { "limit", function() weir.limit(0) end, "integer" },
  { "limit", function() weir.limit(-1) end, "integer" },
  { "limit", function() weir.limit(1.5) end, "integer" },
  { "limit", function() weir.limit("x") end, "integer", "string" },
  { "limit", function() weir.limit(1)() end, "function" },
  { "limit", function() weir.limit(1)(1) end, "function", "number" },
  { "map", function() weir.limit(1):map(1, f) end },
  { "map", function() weir.limit(1):map({}, 1) end, "function", "number" },

  { "await", function() weir.spawn(f):await("x") end, "number", "string" },
  { "await", function() weir.spawn(f):await(-1) end },
  { "await", function() weir.spawn(f):await(NAN) end },
  { "await", function() weir.spawn(f).await({}) end, "task" },
  { "pawait", function() weir.spawn(f):pawait("x") end, "number", "string" },
  { "cancel", function() weir.spawn(f).cancel({}) end, "task" },
  { "spawn", function() weir.scope(function(s) s:spawn() end) end, "function" },
  { "spawn", function() weir.scope(function(s) s:spawn(1) end) end, "function", "number" },
  { "spawn", function() weir.scope(function(s) s.spawn({}, f) end) end, "scope" },

  { "all", function() weir.all() end, "array" },
  { "all", function() weir.all(1) end, "array", "number" },
  { "all", function() weir.all { 1 } end, "function", "task" },
  { "all", function() weir.all { f, "x" } end, "function", "2" },
  { "settle", function() weir.settle(1) end, "array", "number" },
  { "settle", function() weir.settle { 1 } end, "function" },
  { "race", function() weir.race() end, "array" },
  { "race", function() weir.race { 1 } end, "function" },
  { "race", function() weir.race {} end },
  { "any", function() weir.any(1) end, "array", "number" },
  { "any", function() weir.any { 1 } end, "function" },
  { "any", function() weir.any {} end },
  { "quorum", function() weir.quorum() end, "integer" },
  { "quorum", function() weir.quorum(0, { f }) end, "integer" },
  { "quorum", function() weir.quorum("x", { f }) end, "integer", "string" },
  { "quorum", function() weir.quorum(1) end, "array" },
  { "quorum", function() weir.quorum(1, { 1 }) end, "function" },
  { "iter", function() weir.iter(1) end, "array", "number" },
  { "iter", function() weir.iter { 1 } end, "function" },
  { "map", function() weir.map() end },
  { "map", function() weir.map(1, f) end, "number" },
  { "map", function() weir.map({}) end, "function" },
  { "map", function() weir.map({}, 1) end, "function", "number" },
  { "map", function() weir.map({}, f, 1) end, "table" },
  { "map", function() weir.map({}, f, { limit = 0 }) end, "limit", "integer" },
  { "map", function() weir.map({}, f, { limit = 1.5 }) end, "limit", "integer" },
  { "map", function() weir.map({}, f, { limit = "x" }) end, "limit", "string" },
  { "map", function() weir.map({}, f, { on_error = "x" }) end, "on_error", "collect" },
  { "map", function() weir.map({}, f, { bogus = true }) end, "bogus", "(known: limit, on_error, ordered, progress)" },
  { "each", function() weir.each(1, f) end, "number" },
  { "each", function() weir.each({}, 1) end, "function", "number" },
  { "each", function() weir.each({}, f, { bogus = true }) end, "bogus" },
}

describe("misuse", function()
  for i, case in ipairs(wrong) do
    local name, call = case[1], case[2]
    local source = debug.getinfo(call, "S")
    it(("of %s at line %d is named (case %d)"):format(name, source.linedefined, i), function()
      local r = helper.simulate(function()
        local err = helper.error("misuse", call)
        local text = tostring(err)
        for _, word in ipairs { name, table.unpack(case, 3) } do
          if not text:find(word, 1, true) then
            error(("%q is not in the message: %s"):format(word, text), 0)
          end
        end
        weir.sleep(0) -- whatever it was, the task can go on
      end)
      if not r.ok then error(tostring(r.error), 0) end
    end)
  end

  describe("of a wait outside tasks", function()
    local waits = {
      "weir.sleep(1)", "weir.checkpoint()", "weir.await(function() end)", "weir.wrap(function() end)()",
      "weir.scope(function() end)", "weir.timeout(1, function() end)", "weir.shield(function() end)",
      "weir.all { function() end }", "weir.settle { function() end }", "weir.race { function() end }",
      "weir.any { function() end }", "weir.quorum(1, { function() end })", "weir.map({ 1 }, function() end)",
      "weir.each({ 1 }, function() end)", "weir.semaphore(1):acquire()",
      "weir.semaphore(1):with(function() end)", "weir.limit(1)(function() end):await()",
      "for _ in weir.iter { function() end } do end",
    }
    it("says so", function()
      local lines = {}
      for i, wait in ipairs(waits) do
        lines[i] = ("print(%d, kind(function() %s end))"):format(i, wait)
      end
      local out = helper.program([[
        local weir = require "weir"
        local function kind(fn)
          local ok, err = pcall(fn)
          return ok and "nothing raised" or weir.kind(err)
        end
      ]] .. table.concat(lines, "\n"))
      local got = {}
      for i, kind in out:gmatch("(%d+)\t([^\n]*)") do got[tonumber(i)] = kind end
      for i, wait in ipairs(waits) do assert.equal("misuse", got[i], wait .. "\n" .. out) end
    end)
  end)

  describe("of a wait where Lua cannot yield", function()
    -- The wait must raise misuse there, say why, and leave the task able to wait elsewhere.
    local function refused(call, ...)
      local words = { ... }
      return helper.virtual(function()
        local ok, err = pcall(call)
        assert.is_false(ok)
        local text = tostring(err)
        if weir.kind(err) ~= "misuse" then
          -- Lua itself may have put a string of its own around it (require does).
          assert.is_truthy(text:find("weir.sleep", 1, true), text)
        end
        for _, word in ipairs(words) do assert.is_truthy(text:find(word, 1, true), text) end
        local start = weir.now()
        weir.sleep(1)
        helper.elapsed(1, start)
      end)
    end

    it("in the user's own coroutine names it", refused(function()
      coroutine.wrap(function() weir.sleep(1) end)()
    end, "sleep", "coroutine"))

    it("in the user's own coroutine does not return early", helper.virtual(function()
      local co = coroutine.create(function() weir.sleep(1) return "slept" end)
      local ok, err = coroutine.resume(co)
      assert.is_false(ok)
      assert.equal("misuse", weir.kind(err))
    end))

    it("in table.sort is refused", refused(function()
      table.sort({ 3, 1, 2 }, function(a, b) weir.sleep(1) return a < b end)
    end, "sleep"))

    it("in a gsub callback is refused", refused(function()
      return (("abc"):gsub(".", function() weir.sleep(1) end))
    end, "sleep"))

    it("in __tostring is refused", refused(function()
      return tostring(setmetatable({}, { __tostring = function() weir.sleep(1) return "" end }))
    end, "sleep"))

    it("in a module being required is refused", refused(function()
      package.preload["weir.spec.waits"] = function() weir.sleep(1) return {} end
      local _ <close> = helper.closing(function()
        package.preload["weir.spec.waits"] = nil
        package.loaded["weir.spec.waits"] = nil
      end)
      require "weir.spec.waits"
    end, "sleep"))

    it("holds for semaphores, which then queue nobody", helper.virtual(function()
      local sem = weir.semaphore(1)
      local held = sem:acquire()
      local t = weir.spawn(function()
        helper.error("misuse", table.sort, { 2, 1 }, function() sem:acquire() end)
        helper.error("misuse", coroutine.wrap(function() sem:with(function() end) end))
      end)
      t:await()
      assert.equal(0, sem.waiting)
      held:release()
    end))

    it("is no matter in pcall, metamethods, iterators and close handlers", helper.virtual(function()
      local start = weir.now()
      local object = setmetatable({}, {
        __index = function() weir.sleep(1) return 1 end,
        __add = function() weir.sleep(1) return 1 end,
        __call = function() weir.sleep(1) return 1 end,
        __lt = function() weir.sleep(1) return true end,
      })
      assert.equal(4, object.x + (object + 1) + object() + (object < object and 1 or 0))
      pcall(weir.sleep, 1)
      xpcall(weir.sleep, debug.traceback, 1)
      for _ in function(_, i) weir.sleep(1) return not i and 1 or nil end do end
      do local _ <close> = helper.closing(function() weir.sleep(1) end) end
      helper.elapsed(9, start)
    end))
  end)

  it("of a raw coroutine.yield in a task fails that task", helper.virtual(function()
    local t = weir.spawn(function() coroutine.yield("what now?") end)
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal("misuse", weir.kind(err))
    assert.is_truthy(tostring(err):find("yield", 1, true))
  end))

  it("of objects of a runtime that has ended is refused, or answered as it was", helper.virtual(function()
    local kept = {}
    helper.run(function()
      kept.task = weir.spawn(function() weir.sleep(1) return "outcome" end)
      kept.daemon = weir.daemon(weir.sleep, 100)
      kept.semaphore = weir.semaphore(2)
      kept.permit = kept.semaphore:acquire()
      kept.limit = weir.limit(1)
      kept.job = kept.limit(weir.sleep, 1)
      weir.scope(function(s) kept.scope = s end)
      weir.await(function(resume) kept.resume = resume resume() end)
      kept.step = weir.iter { function() end, function() weir.sleep(1) end }
      kept.permit:release()
    end)
    collectgarbage()
    collectgarbage()

    local function harmless(fn, ...)
      local ok, err = pcall(fn, ...)
      local kind = weir.kind(err)
      if not ok and kind ~= "misuse" and kind ~= "closed" and kind ~= "cancelled" then error(err, 0) end
    end
    for name, methods in pairs {
      task = { "await", "pawait", "cancel" }, daemon = { "await", "pawait", "cancel" },
      job = { "await", "pawait", "cancel" }, permit = { "release" }, limit = { "clear" },
      semaphore = { "acquire", "try_acquire", "close", "drain", "stats" }, scope = { "join", "settle", "cancel" },
    } do
      for _, method in ipairs(methods) do
        harmless(function() kept[name][method](kept[name]) end)
      end
      harmless(tostring, kept[name])
      for _, field in ipairs { "status", "name", "traceback", "errors", "available", "active" } do
        harmless(function() return kept[name][field] end)
      end
    end
    harmless(kept.semaphore.with, kept.semaphore, function() end)
    harmless(kept.scope.spawn, kept.scope, function() end)
    harmless(kept.permit.transfer, kept.permit, kept.task)
    harmless(kept.limit, function() end)
    harmless(kept.limit.map, kept.limit, { 1 }, function() end)
    harmless(kept.resume, "late")
    harmless(kept.step)
    assert.equal("outcome", kept.task:await())
    weir.sleep(1)
  end))

  it("of objects of another runtime is refused", helper.virtual(function()
    local sem = weir.semaphore(1)
    local outer = weir.spawn(weir.sleep, 1)
    local limit = weir.limit(1)
    local r = helper.simulate(function()
      helper.error("misuse", sem.acquire, sem)
      helper.error("misuse", sem.try_acquire, sem)
      helper.error("misuse", outer.await, outer)
      helper.error("misuse", limit, function() end)
    end)
    if not r.ok then error(r.error, 0) end
    assert.equal(1, sem.available)
  end))
end)
