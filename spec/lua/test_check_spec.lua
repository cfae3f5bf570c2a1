-- test_check_spec.lua - weir.test: what a run did wrong although its function returned.

local helper = require "support.helper"
local test = require "weir.test"
local weir = require "weir"

-- The text that a run of `fn` must raise.
local function failure(fn, opts)
  local ok, err = pcall(test.run, fn, opts)
  assert.is_false(ok)
  assert.equal("string", type(err))
  return err
end

local function has(text, pattern)
  if not text:find(pattern) then error(("%q has no %q"):format(text, pattern), 2) end
end

describe("a run of weir.test", function()
  it("fails where a task ended with a permit in its hands, and says who and of what", function()
    local line = helper.line(3)
    local text = failure(function()
      local db = weir.semaphore { permits = 1, name = "db" }
      local task = weir.spawn(db.acquire, db)
      task.name = "worker"
      task:await()
    end)
    has(text, "leak: task 'worker' %(spawned at [^\n]*test_check_spec%.lua:" .. line ..
      "%) ended and still held a permit of 'db'")
  end)

  it("fails where a lease leaked", function()
    has(failure(function()
      local pool <close> = weir.pool { name = "pg", create = function() return 1 end }
      weir.spawn(function() pool:acquire() end):await()
    end), "leak: task 2 %(spawned at .*%) ended and still held a lease of 'pg'")
  end)

  it("fails where a detached task failed, with its stack", function()
    local text = failure(function()
      weir.detach(function() weir.sleep(1) error("boom", 0) end)
    end)
    has(text, "unhandled error in task 2: boom\nstack traceback:")
    has(text, "task 2 spawned at .*test_check_spec%.lua")
  end)

  it("leaves what on_unhandled took", function()
    local got
    test.run(function()
      weir.on_unhandled(function(err) got = err return true end)
      weir.detach(error, "mine", 0)
    end)
    assert.equal("mine", got)
  end)

  it("fails where a detached task waits for nothing", function()
    has(failure(function()
      weir.detach(function() weir.await(function() end) end)
    end), "deadlock: nothing can wake any detached task; waiting: ?\n  task 2 .* waits in weir%.await")
  end)

  it("is over after its timeout, and names who waits in what", function()
    local cleaned = 0
    local text = failure(function()
      local gate = weir.semaphore { permits = 1, name = "gate" }
      local _ <close> = gate:acquire()
      weir.spawn(function()
        local _ <close> = helper.closing(function() cleaned = cleaned + 1 end)
        while true do weir.sleep(7) end
      end).name = "poller"
      gate:acquire { timeout = 1000 }
    end, { timeout = 60 })
    has(text, "not over after 60 s of virtual time; waiting:")
    has(text, "the main task waits in semaphore:acquire 'gate' at .*test_check_spec%.lua")
    has(text, "task 'poller' %(spawned at .*%) waits in weir%.sleep at .*test_check_spec%.lua")
    assert.equal(1, cleaned)
  end)

  it("may take all of its timeout, and has one of a million seconds", function()
    test.run(function() weir.sleep(60) end, { timeout = 60 })
    has(failure(function() weir.sleep(60.5) end, { timeout = 60 }), "not over after 60 s")
    has(failure(function() while true do weir.sleep(1e5) end end), "not over after 1e%+06 s")
    test.run(function() weir.sleep(1e8) end, { timeout = math.huge })
  end)

  it("does not wait for daemons", function()
    test.run(function()
      weir.daemon(function() while true do weir.sleep(1) end end)
      weir.sleep(5)
    end, { timeout = 10 })
  end)

  it("ends what shields itself from the end of the time", function()
    has(failure(function()
      weir.shield(math.huge, weir.sleep, 1e7)
      weir.sleep(100)
    end, { timeout = 60 }), "not over after 60 s")
  end)

  it("gives the reports to a list instead", function()
    local reports = {}
    assert.equal(5, test.run(function()
      weir.spawn(function() weir.semaphore(1):acquire() end)
      weir.detach(error, "boom", 0)
      return 5
    end, { reports = reports }))
    assert.equal(2, #reports)
    for _, report in ipairs(reports) do
      has(report.what .. ": " .. report.text, report.what == "leak" and "leak: task %d.* a permit, which was released"
        or "unhandled error in task %d: boom")
    end
  end)

  it("raises what the function raised, and says the rest on standard error", function()
    local output, code = helper.program [[
      local test, weir = require "weir.test", require "weir"
      print(pcall(test.run, function()
        weir.detach(error, "beside", 0)
        weir.sleep(1)
        error("mine", 0)
      end))
    ]]
    assert.equal(0, code)
    has(output, "weir: unhandled error in task 2: beside")
    has(output, "false\tmine\n")
  end)

  it("is explored with the same checks", function()
    local ok, err = pcall(test.explore, 5, function() weir.detach(error, "boom", 0) end)
    assert.is_false(ok)
    has(err, "weir%.test%.explore: schedule 1, seed = 1: unhandled error in task 2: boom")
    ok, err = pcall(test.explore, math.huge, function() weir.sleep(61) end, { timeout = 60 })
    assert.is_false(ok)
    has(err, "schedule 1, choices = {}: not over after 60 s")
  end)

  it("is misuse with wrong options", function()
    for _, wrong in ipairs { { timeout = -1 }, { timeout = "x" }, { reports = 1 }, { choices = 1 }, { explore = 1 } } do
      helper.error("misuse", test.run, function() end, wrong)
    end
    helper.error("misuse", test.run, function() end, 5)
    helper.error("misuse", test.explore, 0, function() end)
    helper.error("misuse", test.explore, 1.5, function() end)
    helper.error("misuse", test.explore, 1)
  end)

  it("leaves nothing of the watch behind", function()
    helper.error("misuse", require("weir.core").watch, {}, 1)
  end)
end)
