-- test_fault_spec.lua - weir.test: functions that fail, dawdle and hang; choice and chance; the recorder.

local helper = require "support.helper"
local test = require "weir.test"
local weir = require "weir"

-- "x" for each call that failed.
local function pattern(fn, n)
  local out = {}
  for i = 1, n do out[i] = pcall(fn) and "." or "x" end
  return table.concat(out)
end

local function fine(...) return ... end

describe("weir.test.flaky", function()
  it("fails the first calls, or each so-manieth", function()
    assert.equal("xx....", pattern(test.flaky(fine, { times = 2 }), 6))
    assert.equal("..x..x", pattern(test.flaky(fine, { every = 3 }), 6))
  end)

  it("passes arguments and results, and counts", function()
    local fn, seen = test.flaky(fine, { times = 1 })
    assert.is_false(pcall(fn, 1))
    assert.same({ 1, nil, 3, n = 3 }, table.pack(fn(1, nil, 3)))
    assert.same({ calls = 2, failures = 1 }, seen)
  end)

  it("raises a network error, or what it was given, unchanged", function()
    local err = helper.error("network", (test.flaky(fine, { times = 1 })))
    assert.equal("weir.test.flaky: call 1 fails, as the test asked", tostring(err))
    local mine = {}
    local ok, got = pcall((test.flaky(fine, { times = 1, error = mine })))
    assert.is_false(ok)
    assert.equal(mine, got)
    ok, got = pcall((test.flaky(fine, { times = 1, error = false })))
    assert.is_false(ok)
    assert.is_false(got)
  end)

  it("may lose the answer of a call that was made", function()
    local made = 0
    local fn = test.flaky(function() made = made + 1 end, { times = 1, late = true })
    assert.is_false(pcall(fn))
    assert.equal(1, made)
  end)

  it("fails by the chance of the run's seed", function()
    local function drawn(seed)
      return test.run(function() return pattern(test.flaky(fine, { chance = 0.3 }), 200) end, { seed = seed })
    end
    local text = drawn(7)
    assert.equal(text, drawn(7))
    assert.are_not.equal(text, drawn(8))
    local _, failures = text:gsub("x", "")
    assert.is_true(failures > 30 and failures < 90, failures)
    assert.equal("......", test.run(function() return pattern(test.flaky(fine, { chance = 0 }), 6) end))
    assert.equal("xxxxxx", test.run(function() return pattern(test.flaky(fine, { chance = 1 }), 6) end))
  end)

  it("fails in every combination under explore", function()
    local found = {}
    local n = test.explore(math.huge, function()
      found[pattern(test.flaky(fine, { choose = true }), 3)] = true
    end)
    assert.equal(8, n)
    for _, text in ipairs { "...", "..x", ".x.", ".xx", "x..", "x.x", "xx.", "xxx" } do assert.is_true(found[text]) end
    assert.equal("...", test.run(function() return pattern(test.flaky(fine, { choose = true }), 3) end))
  end)

  it("is misuse with wrong arguments", function()
    helper.error("misuse", test.flaky)
    helper.error("misuse", test.flaky, fine)
    helper.error("misuse", test.flaky, fine, {})
    helper.error("misuse", test.flaky, 1, { times = 1 })
    for _, wrong in ipairs { { times = 0 }, { every = 1.5 }, { chance = 2 }, { chance = 0 / 0 }, { choose = 1 },
      { times = 1, every = 1 }, { bogus = 1 } } do
      helper.error("misuse", test.flaky, fine, wrong)
    end
  end)
end)

describe("weir.test.slow", function()
  it("waits before the call", helper.virtual(function()
    local start = weir.now()
    assert.equal(4, test.slow(function(n) helper.elapsed(2.5, start) return n + 1 end, 2.5)(3))
    assert.equal(4, test.slow(fine, function(n) return n * 10 end)(4))
    helper.elapsed(42.5, start)
  end))

  it("can be cancelled, and then does not call", helper.virtual(function()
    local called = false
    helper.error("timeout", weir.timeout, 1, test.slow(function() called = true end, 2))
    assert.is_false(called)
  end))

  it("is misuse with wrong arguments", function()
    helper.error("misuse", test.slow)
    helper.error("misuse", test.slow, fine)
    helper.error("misuse", test.slow, fine, -1)
    helper.error("misuse", test.slow, 1, 1)
  end)
end)

describe("weir.test.hanging", function()
  it("never returns, and can be given up", helper.virtual(function()
    local hang, seen = test.hanging()
    local start = weir.now()
    local task = weir.spawn(hang)
    weir.checkpoint()
    assert.same({ calls = 1, waiting = 1, given_up = 0 }, seen)
    helper.error("timeout", weir.timeout, 3600, hang, "with", "arguments")
    helper.elapsed(3600, start)
    task:cancel()
    helper.error("cancelled", task.await, task)
    assert.same({ calls = 2, waiting = 0, given_up = 2 }, seen)
  end))

  it("is a deadlock where nothing bounds it", function()
    helper.error("deadlock", test.run, (test.hanging()))
  end)
end)

describe("weir.test.silent", function()
  it("never calls back, and is closed by who gives up", helper.virtual(function()
    local call, seen = test.silent()
    helper.error("timeout", weir.timeout, 5, weir.wrap(call), "host", 80)
    assert.same({ calls = 1, closed = 1 }, seen)
    call(function() end).close()
    helper.error("misuse", call, "no callback")
    helper.error("misuse", call)
    assert.same({ calls = 2, closed = 2 }, seen)
  end))
end)

describe("weir.test.choose and random", function()
  it("are the first and a number below one in order of arrival, the same every time", function()
    local function drawn(opts)
      return table.pack(test.run(function()
        return test.choose(3), test.choose(1), test.random(), test.random()
      end, opts))
    end
    local first = drawn()
    assert.same(first, drawn())
    assert.equal(1, first[1])
    assert.equal(1, first[2])
    assert.is_true(first[3] >= 0 and first[3] < 1 and first[3] ~= first[4])
    assert.same(drawn { seed = 5 }, drawn { seed = 5 })
  end)

  it("tries every choice", function()
    local found = {}
    assert.equal(6, test.explore(math.huge, function() found[#found + 1] = test.choose(2) * 10 + test.choose(3) end))
    table.sort(found)
    assert.same({ 11, 12, 13, 21, 22, 23 }, found)
  end)

  it("is misuse with wrong arguments", function()
    helper.error("misuse", test.choose)
    helper.error("misuse", test.choose, 0)
  end)
end)

describe("weir.test.recorder", function()
  it("notes names, values and times", helper.virtual(function()
    local log = test.recorder()
    local start = weir.now()
    log("connected", 7, nil, true)
    weir.sleep(2)
    log("gone")
    log("connected", 8)
    assert.same({ "connected 7 nil true", "gone", "connected 8" }, log:texts())
    assert.equal(2, log:count("connected"))
    assert.equal(1, log:count("connected 8"))
    assert.equal(0, log:count("lost"))
    assert.near(start + 2, log:times("connected")[2], 1e-6)
    assert.equal(7, log[1][1])
    assert.equal(3, log[1].n)
    assert.equal(("%g s  gone"):format(start + 2), tostring(log):match("[^\n]* s  gone"))
    log:clear()
    assert.equal(0, #log)
  end))

  it("notes the calls of a function, and how many were under way", helper.virtual(function()
    local log = test.recorder()
    local work = log:wrap("work", function(n)
      weir.sleep(n)
      if n == 2 then error("two", 0) end
      return n, nil
    end)
    assert.same({ 1, nil, n = 2 }, table.pack(work(1)))
    local outcomes = weir.settle { function() work(2) end, function() work(3) end, function() work(4) end }
    assert.equal("two", outcomes[1].error)
    assert.same({ "work begin", "work end", "work begin", "work begin", "work begin", "work failed two", "work end",
      "work end" }, log:texts())
    assert.equal(3, log:peak("work"))
    assert.equal(0, log:peak("play"))
  end))

  it("says with the whole log what is out of order", helper.virtual(function()
    local log = test.recorder()
    for _, name in ipairs { "a", "b", "c", "b" } do log(name) end
    log:order("a", "c", "b")
    log:order("b", "b")
    log:order()
    local ok, err = pcall(log.order, log, "c", "a")
    assert.is_false(ok)
    assert.is_truthy(err:find("'a' did not happen after 'c'; the log:\n[^\n]*a\n[^\n]*b\n[^\n]*c\n[^\n]*b$"), err)
    ok, err = pcall(log.order, log, "x")
    assert.is_false(ok)
    assert.is_truthy(err:find("'x' did not happen; the log:", 1, true), err)
  end))

  it("is misuse with wrong arguments", function()
    local log = test.recorder()
    helper.error("misuse", log)
    helper.error("misuse", log.wrap, log, "x")
    helper.error("misuse", log.wrap, log, 1, fine)
    assert.equal(0, #log)
  end)
end)
