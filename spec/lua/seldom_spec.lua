-- seldom_spec.lua - what seldom happens to a task: a yield of its own that it hides, a coroutine that somebody closes
-- under it, more waiting for it than a report can name; options that come by a metatable, the fields that nobody reads.

local helper = require "support.helper"
local weir = require "weir"

local function park() weir.sleep(1000) end

describe("a task that yields by itself", function()
  it("fails, though it caught the error", helper.virtual(function()
    local task = weir.spawn(function()
      pcall(coroutine.yield)
      return "as if nothing had been"
    end)
    local ok, err = task:pawait()
    assert.is_false(ok)
    assert.equal("misuse", weir.kind(err))
    assert.equal("coroutine.yield", err.op)
    assert.equal("failed", task.status)
  end))
end)

describe("a task whose coroutine is closed by somebody", function()
  it("fails when its wait ends and its children have ended, and keeps nothing", helper.virtual(function()
    local sem, ended, co = weir.semaphore(1), {}, nil
    local task = weir.spawn(function()
      co = coroutine.running()
      weir.scope({ timeout = 500 }, function(scope)
        scope:spawn(function()
          local permit <close> = sem:acquire() -- luacheck: ignore
          local ok, err = pcall(weir.sleep, 1000)
          ended[#ended + 1] = ok or err
          weir.shield(function() weir.sleep(2) end)
        end)
        weir.sleep(100)
      end)
    end)
    local start = weir.now()
    weir.sleep(1)
    coroutine.close(co)
    local next_one = weir.spawn(sem.with, sem, function() return "mine" end)
    assert.is_false((task:pawait()))
    helper.elapsed(102, start)
    assert.equal("failed", task.status)
    assert.equal(1, #ended)
    assert.equal("cancelled", weir.kind(ended[1]))
    assert.equal("the coroutine of the task died", ended[1].reason)
    assert.equal("mine", next_one:await())
    assert.equal(1, sem.available)
    weir.sleep(1000) -- the deadline of the scope that was lost is none any more
    assert.equal(1, #ended)
  end))
end)

describe("a task that many wait for", function()
  it("is reported with ten of them by name", helper.virtual(function()
    local gate = weir.semaphore(1)
    local held = gate:acquire()
    local failing = weir.spawn(function()
      gate:acquire():release()
      error "for all"
    end)
    local waiting = {}
    for i = 1, 12 do
      waiting[i] = weir.spawn(pcall, failing.await, failing)
      waiting[i].name = "waiter " .. i
    end
    weir.sleep(1)
    held:release()
    assert.is_false((failing:pawait()))
    local text = failing.traceback
    local _, named = text:gsub("awaited by task[^\n]*", "")
    assert.equal(10, named, text)
    assert.truthy(text:find("\nawaited by more", 1, true), text)
    for i = 1, 12 do assert.is_false((waiting[i]:await())) end
  end))
end)

describe("options of acquire that come by a metatable", function()
  local function inherited(options) return setmetatable({}, { __index = options }) end

  it("count like its own", helper.virtual(function()
    local sem = weir.semaphore { permits = 1, order = "priority" }
    local held = sem:acquire(inherited {})
    local start = weir.now()
    helper.error("timeout", sem.acquire, sem, inherited { timeout = 3 })
    helper.elapsed(3, start)
    local order = {}
    local function wait(name, options)
      return weir.spawn(function()
        local permit <close> = sem:acquire(options) -- luacheck: ignore
        order[#order + 1] = name
      end)
    end
    local tasks = { wait("low", inherited { priority = 1 }), wait("high", inherited { priority = 9 }) }
    weir.checkpoint()
    held:release()
    for _, task in ipairs(tasks) do task:await() end
    assert.same({ "high", "low" }, order)
  end))

  it("are refused when they are wrong", helper.virtual(function()
    local sem = weir.semaphore(1)
    for name, value in pairs { timeout = "soon", priority = {} } do
      local err = helper.error("misuse", sem.acquire, sem, inherited { [name] = value })
      assert.truthy(err.message:find(name, 1, true), err.message)
    end
    assert.equal(1, sem.available)
  end))
end)

describe("fields", function()
  it("of a scope: its name, its errors, and whether it is cancelled", helper.virtual(function()
    local kept
    weir.scope({ name = "outer" }, function(scope)
      kept = scope
      assert.equal("outer", scope.name)
      assert.is_false(scope.cancelled)
      assert.equal("weir.scope (open)", tostring(scope))
      scope:cancel("enough")
      assert.is_true(scope.cancelled)
      assert.equal("weir.scope (cancelled)", tostring(scope))
      assert.truthy(helper.error("misuse", function() return scope.canceled end).message:find("canceled", 1, true))
    end)
    assert.equal("weir.scope (ended)", tostring(kept))
  end))

  it("of a task: a number, and a name that alone can be set, to a string", helper.virtual(function()
    local task = weir.spawn(park)
    assert.equal("integer", math.type(task.id))
    assert.equal(("weir.task %d (pending)"):format(task.id), tostring(task))
    task.name = "sleeper"
    weir.checkpoint()
    assert.equal("weir.task 'sleeper' (waiting)", tostring(task))
    helper.error("misuse", function() task.name = 7 end)
    helper.error("misuse", function() task.status = "done" end)
    assert.equal("sleeper", task.name)
    task:cancel()
    task:pawait()
    assert.equal("weir.task 'sleeper' (cancelled)", tostring(task))
  end))
end)
