-- pool_misuse_spec.lua - what weir.pool refuses, in words that name the argument and what was expected.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

local function nothing() end

-- {options, words of the message ...}
local wrong = {
  { {}, "'create' must be a function" },
  { { create = 1 }, "'create' must be a function, got number 1" },
  { { create = nothing, destroy = 1 }, "'destroy' must be a function" },
  { { create = nothing, check = {} }, "'check' must be a function" },
  { { create = nothing, bogus = 1 }, "unknown option 'bogus'" },
  { { create = nothing, max = 0 }, "'max' must be a positive integer" },
  { { create = nothing, max = -1 }, "'max' must be a positive integer" },
  { { create = nothing, max = 1.5 }, "'max' must be a positive integer" },
  { { create = nothing, max = "3" }, "'max' must be a positive integer, got string" },
  { { create = nothing, min = -1 }, "'min' must be an integer >= 0" },
  { { create = nothing, min = 11 }, "'min' must be at most 'max' (10), got 11" },
  { { create = nothing, min = 3, max = 2 }, "'min' must be at most 'max' (2), got 3" },
  { { create = nothing, max_waiting = -1 }, "'max_waiting' must be an integer >= 0" },
  { { create = nothing, max_waiting = 0 }, "'max_waiting' of 0 needs a 'min'" },
  { { create = nothing, max_uses = 0 }, "'max_uses' must be a positive integer" },
  { { create = nothing, max_dials = 0 }, "'max_dials' must be a positive integer" },
  { { create = nothing, open_after = 0.5 }, "'open_after' must be an integer >= 0" },
  { { create = nothing, acquire_timeout = -1 }, "'acquire_timeout' must be a number of seconds >= 0" },
  { { create = nothing, create_timeout = 0 }, "'create_timeout' must be a number of seconds > 0" },
  { { create = nothing, check = nothing, check_timeout = 0 / 0 }, "'check_timeout' must be" },
  { { create = nothing, destroy = nothing, destroy_timeout = "5" }, "'destroy_timeout' must be" },
  { { create = nothing, idle_timeout = 0 }, "'idle_timeout' must be a number of seconds > 0" },
  { { create = nothing, max_lifetime = 0 }, "'max_lifetime' must be a number of seconds > 0" },
  { { create = nothing, jitter = 1.5 }, "'jitter' must be a number from 0 to 1, got number 1.5" },
  { { create = nothing, shed = -0.1 }, "'shed' must be a number from 0 to 1" },
  { { create = nothing, dial_stagger = -1 }, "'dial_stagger' must be a number of seconds >= 0" },
  { { create = nothing, backoff = 0 }, "'backoff' must be a number of seconds > 0" },
  { { create = nothing, backoff = 2, max_backoff = 1 }, "'max_backoff' must be at least 'backoff'" },
  { { create = nothing, leak_after = 0 }, "'leak_after' must be a number of seconds > 0" },
  { { create = nothing, on_leak = nothing }, "'on_leak' needs 'leak_after'" },
  { { create = nothing, leak_after = 1, on_leak = 1 }, "'on_leak' must be a function" },
  { { create = nothing, order = "random" }, "'order' must be \"lifo\" or \"fifo\"" },
  { { create = nothing, name = 1 }, "'name' must be a string" },
  { { create = nothing, check_idle = 1 }, "'check_idle' needs 'check'" },
  { { create = nothing, keep_alive = 1 }, "'keep_alive' needs 'check'" },
  { { create = nothing, check_timeout = 1 }, "'check_timeout' needs 'check'" },
  { { create = nothing, destroy_timeout = 1 }, "'destroy_timeout' needs 'destroy'" },
  { 3, "'options' must be a table, got number 3" },
}

describe("weir.pool", function()
  for _, case in ipairs(wrong) do
    it("refuses options: " .. case[2], function()
      local err = helper.error("misuse", weir.pool, case[1])
      assert.equal("weir.pool", err.op)
      assert.is_truthy(tostring(err):find(case[2], 1, true), tostring(err))
    end)
  end

  it("takes a callable table, large and infinite times, and one of the two backoffs", helper.virtual(function()
    local create = setmetatable({}, { __call = function() return 1 end })
    local pool = weir.pool {
      create = create, create_timeout = math.huge, idle_timeout = 1e300, max_lifetime = math.huge,
      acquire_timeout = math.huge, backoff = 100, max_uses = 4000000000,
    }
    assert.equal(1, pool:with(function(v) return v end))
    weir.pool { create = create, max_backoff = 0.01 }
  end))

  it("refuses wrong calls", helper.virtual(function()
    local pool = server():pool()
    local calls = {
      { pool.acquire, {}, "'self' must be weir.pool" },
      { pool.acquire, pool, -1, "'timeout' must be" },
      { pool.acquire, pool, { timeout = "x" }, "'timeout' must be" },
      { pool.acquire, pool, { bogus = 1 }, "unknown option 'bogus'" },
      { pool.try_acquire, 1, "'self' must be weir.pool" },
      { pool.with, pool, "'fn' must be a function" },
      { pool.with, pool, 1, "'fn' must be a function" },
      { pool.with, nil, nothing, "'self' must be weir.pool" },
      { pool.resize, pool, "'options' must be a table" },
      { pool.resize, pool, 3, "'options' must be a table" },
      { pool.resize, pool, {}, "'min' or 'max' must be given" },
      { pool.resize, pool, { max = 0 }, "'max' must be a positive integer" },
      { pool.resize, pool, { min = 11 }, "'min' must be at most 'max' (10), got 11" },
      { pool.resize, pool, { min = 1.5 }, "'min' must be" },
      { pool.resize, pool, { size = 1 }, "unknown option 'size'" },
      { pool.evict, pool.max, "'self' must be weir.pool" },
      { pool.close, {}, "'self' must be weir.pool" },
      { pool.drain, pool, "x", "'timeout' must be" },
      { pool.stats, io.stdout, "'self' must be weir.pool" },
    }
    for _, call in ipairs(calls) do
      local words = table.remove(call)
      local err = helper.error("misuse", table.unpack(call, 1, 4))
      assert.is_truthy(tostring(err):find(words, 1, true), tostring(err))
    end
    assert.equal(10, pool.max)
    assert.equal(0, pool.min)
  end))

  it("waits in tasks alone, where Lua can yield", helper.virtual(function()
    local s = server { create = 1 }
    local pool = s:pool()
    local ok, err = coroutine.resume(coroutine.create(pool.acquire), pool)
    assert.is_false(ok)
    assert.equal("misuse", weir.kind(err))
    ok, err = pcall(table.sort, { 2, 1 }, function() pool:acquire() end)
    assert.is_false(ok)
    assert.is_truthy(tostring(err):find("cannot wait here", 1, true))
    assert.equal(0, s.dialled)
  end))

  it("belongs to one runtime", function()
    local pool, lease
    helper.run(function()
      pool = server():pool()
      lease = pool:acquire()
      lease:release()
    end)
    helper.run(function()
      for _, name in ipairs { "acquire", "try_acquire", "stats", "evict", "close", "drain" } do
        local err = helper.error("misuse", pool[name], pool)
        assert.is_truthy(tostring(err):find("another runtime", 1, true))
      end
      helper.error("misuse", lease.release, lease)
      assert.is_false(lease.held)
      assert.equal("weir.pool (ended)", tostring(pool))
    end)
  end)

  it("says outside of tasks what it needs", function()
    local output = helper.program [[
      local weir = require "weir"
      local pool = weir.pool { create = function() return 1 end }
      print(pcall(pool.acquire, pool))
      print(pcall(pool.with, pool, print))
      print(pcall(pool.try_acquire, pool))
      print(pcall(pool.drain, pool))
      pool:resize { max = 2 }
      pool:evict()
      print(pool:stats().max, pool)
      pool:close("done")
    ]]
    local _, n = output:gsub("must be called inside a task", "")
    assert.equal(4, n)
    assert.is_truthy(output:find("2\tweir.pool (0 of 2 leased, 0 idle, 0 connecting, 0 waiting)", 1, true), output)
  end)
end)
