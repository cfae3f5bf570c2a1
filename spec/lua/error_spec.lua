-- error_spec.lua - error objects, kinds and tracebacks; user's error values pass unchanged.

local helper = require "support.helper"
local weir = require "weir"

-- Ways from where a value is raised to where it is caught.
local routes = {
  await = function(raise) return pcall(function() weir.spawn(raise):await() end) end,
  pawait = function(raise) return weir.spawn(raise):pawait() end,
  scope = function(raise) return pcall(weir.scope, raise) end,
  child = function(raise) return pcall(weir.scope, function(s) s:spawn(raise) end) end,
  nested = function(raise)
    return pcall(weir.scope, function(s)
      s:spawn(function() weir.scope(function(inner) inner:spawn(raise) end) end)
    end)
  end,
  run = function(raise) return pcall(weir.run, raise) end,
  timeout = function(raise) return pcall(weir.timeout, 10, raise) end,
  shield = function(raise) return pcall(weir.shield, raise) end,
  with = function(raise)
    local sem = weir.semaphore(1)
    return pcall(sem.with, sem, raise)
  end,
  with_n = function(raise)
    local sem = weir.semaphore(2)
    return pcall(sem.with_n, sem, 2, raise)
  end,
  limit = function(raise) return weir.limit(1)(raise):pawait() end,
  limit_map = function(raise)
    local limit = weir.limit(1)
    return pcall(limit.map, limit, { 1 }, function() raise() end)
  end,
  all = function(raise) return pcall(weir.all, { raise }) end,
  race = function(raise) return pcall(weir.race, { raise }) end,
  settle = function(raise)
    local r = weir.settle { raise }
    return r[1].ok, r[1].error
  end,
  iter = function(raise)
    for _, ok, err in weir.iter { raise } do return ok, err end
  end,
  map = function(raise) return pcall(weir.map, { 1 }, function() raise() end) end,
  each = function(raise) return pcall(weir.each, { 1 }, function() raise() end) end,
  source = function(raise) return pcall(weir.map, function() raise() end, function() end) end,
  start = function(raise) return pcall(weir.await, function() raise() end) end,
}

describe("an error value of the user", function()
  for name, route in pairs(routes) do
    it("passes unchanged through " .. name, helper.virtual(function()
      -- Each in a scope of its own that claims what an await leaves unclaimed.
      local function caught(value)
        local out
        weir.spawn(function()
          out = table.pack(route(function() error(value, 0) end))
        end):pawait()
        assert.is_truthy(out, "the route did not come back")
        assert.is_false(out[1])
        return out[2]
      end
      for _, value in ipairs { "text", 12, false, true, { "table" }, print, coroutine.create(print) } do
        assert.equal(value, caught(value))
      end
      assert.is_nil(caught(nil))
    end))
  end

  it("keeps its metatable and is not looked into", helper.virtual(function()
    local mine = setmetatable({}, {
      __index = function() error("touched") end,
      __tostring = function() error("printed") end,
    })
    local ok, err = pcall(weir.all, { function() error(mine) end })
    assert.is_false(ok)
    assert.is_true(rawequal(mine, err))
  end))
end)

describe("an error of weir", function()
  local function some()
    return helper.error("timeout", weir.timeout, 1, weir.sleep, 5)
  end

  it("has kind, message, op and traceback", helper.virtual(function()
    local err = some()
    assert.equal("timeout", err.kind)
    assert.is_string(err.message)
    assert.is_string(err.op)
    assert.is_string(err.traceback)
  end))

  it("prints with its message", helper.virtual(function()
    local err = some()
    assert.is_truthy(tostring(err):find(err.message, 1, true))
  end))

  it("passes outer scopes as the same object", helper.virtual(function()
    local original
    local ok, err = pcall(weir.scope, function(s)
      s:spawn(function()
        local _
        _, original = pcall(weir.timeout, 1, weir.sleep, 5)
        error(original, 0)
      end)
    end)
    assert.is_false(ok)
    assert.equal(original, err)
  end))

  it("keeps the failures that came beside it", helper.virtual(function()
    local second = { "second" }
    local err = helper.error("timeout", weir.scope, { timeout = 1 }, function(s)
      s:spawn(function()
        local _ <close> = helper.closing(function() error(second) end)
        weir.sleep(100)
      end)
      weir.sleep(100)
    end)
    assert.is_table(err.others)
    local found = false
    for _, entry in ipairs(err.others) do
      found = found or entry == second or (type(entry) == "table" and entry.error == second)
    end
    assert.is_true(found)
  end))
end)

describe("weir.kind", function()
  it("is the kind of an error of weir", helper.virtual(function()
    assert.equal("timeout", weir.kind(select(2, pcall(weir.timeout, 1, weir.sleep, 5))))
    assert.equal("misuse", weir.kind(select(2, pcall(weir.sleep, "x"))))
  end))

  it("is error for any other value", function()
    for _, value in ipairs { "text", 12, false, {}, print, { message = "x" } } do
      assert.equal("error", weir.kind(value))
    end
    assert.equal("error", weir.kind(nil))
  end)

  it("tells the kinds of the first milestone apart", helper.virtual(function()
    local sem = weir.semaphore { permits = 1, max_waiting = 0 }
    local seen = {}
    local function note(fn, ...)
      local _, err = pcall(fn, ...)
      seen[weir.kind(err)] = true
    end
    note(weir.timeout, 1, weir.sleep, 2)
    note(sem.acquire, sem, 2)
    local t = weir.spawn(function() sem:with(weir.sleep, 1) end)
    weir.checkpoint()
    note(sem.acquire, sem)
    t:cancel()
    note(t.await, t)
    sem:close()
    note(sem.acquire, sem)
    note(weir.sleep, -1)
    local own = weir.semaphore(1)
    local permit <close> = own:acquire()
    note(own.acquire, own)
    assert.is_truthy(permit)
    for _, kind in ipairs { "timeout", "impossible", "overload", "cancelled", "closed", "misuse", "deadlock" } do
      assert.is_true(seen[kind], kind)
    end
  end))
end)

describe("a traceback", function()
  it("shows where the task failed, where it was spawned and who awaited it", helper.virtual(function()
    local failed, spawned, awaited
    local function deep()
      failed = helper.line(1)
      error("here")
    end
    local function middle() deep() return 1 end

    local t
    local outer = weir.spawn(function()
      spawned = helper.line(1)
      t = weir.spawn(function() middle() end)
      awaited = helper.line(1)
      pcall(function() t:await() end)
      error("unreached: the scope has failed", 0)
    end)
    outer:pawait()
    assert.is_string(t.traceback)
    for what, line in pairs { failed = failed, spawned = spawned, awaited = awaited } do
      assert.is_truthy(t.traceback:find(("error_spec.lua:%d"):format(line), 1, true),
        ("%s (line %d) is not in:\n%s"):format(what, line, t.traceback))
    end
    assert.is_truthy(t.traceback:find("deep", 1, true))
    assert.is_truthy(t.traceback:find("middle", 1, true))
  end))

  it("is kept for error values that are not strings", helper.virtual(function()
    local line
    local t = weir.spawn(function()
      line = helper.line(1)
      error({})
    end)
    t:pawait()
    assert.is_truthy(t.traceback:find(("error_spec.lua:%d"):format(line), 1, true))
  end))

  it("is kept for errors of Lua itself", helper.virtual(function()
    local line
    local t = weir.spawn(function()
      local nothing = (nil)
      line = helper.line(1)
      return nothing.field
    end)
    t:pawait()
    assert.is_truthy(t.traceback:find(("error_spec.lua:%d"):format(line), 1, true))
  end))

  it("survives waits before the failure", helper.virtual(function()
    local line
    local function fails_late()
      weir.sleep(1)
      line = helper.line(1)
      error("late")
    end
    local t = weir.spawn(function() fails_late() end)
    t:pawait()
    assert.is_truthy(t.traceback:find(("error_spec.lua:%d"):format(line), 1, true))
    assert.is_truthy(t.traceback:find("fails_late", 1, true))
  end))

  it("of an error of weir shows the wait it hit", helper.virtual(function()
    local line
    local function waits()
      line = helper.line(1)
      weir.sleep(10)
    end
    local err = helper.error("timeout", weir.timeout, 1, function() waits() end)
    local text = err.traceback .. "\n" .. tostring(type(err.cause) == "table" and err.cause.traceback)
    assert.is_truthy(text:find(("error_spec.lua:%d"):format(line), 1, true),
      ("line %d is not in:\n%s"):format(line, text))
  end))

  it("is nil for a task that ended well", helper.virtual(function()
    local t = weir.spawn(function() end)
    t:await()
    assert.is_nil(t.traceback)
  end))
end)
