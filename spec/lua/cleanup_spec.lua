-- cleanup_spec.lua - <close> handlers run on every way out, and may wait there.

local helper = require "support.helper"
local weir = require "weir"

describe("a <close> handler", function()
  it("may wait when its block ends", helper.virtual(function()
    local start = weir.now()
    do
      local _ <close> = helper.closing(function() weir.sleep(1) end)
    end
    helper.elapsed(1, start)
  end))

  it("may wait when the task returns", helper.virtual(function()
    local start = weir.now()
    local t = weir.spawn(function()
      local _ <close> = helper.closing(function() weir.sleep(1) end)
      return "value"
    end)
    assert.equal("value", t:await())
    helper.elapsed(1, start)
  end))

  it("may wait after an error that nothing in the task catches", helper.virtual(function()
    local start, mine, seen = weir.now(), {}, nil
    local t = weir.spawn(function()
      local _ <close> = helper.closing(function(err)
        seen = err
        weir.sleep(1)
        weir.spawn(weir.sleep, 1):await()
      end)
      error(mine)
    end)
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.equal(mine, seen)
    helper.elapsed(2, start)
  end))

  it("may wait after a cancel inside a shield", helper.virtual(function()
    local done = false
    local t = weir.spawn(function()
      local _ <close> = helper.closing(function()
        weir.shield(function()
          weir.sleep(1)
          done = true
        end)
      end)
      weir.sleep(100)
    end)
    weir.sleep(1)
    t:cancel()
    t:pawait()
    assert.is_true(done)
  end))

  it("may wait after a deadline inside a shield", helper.virtual(function()
    local start, done = weir.now(), false
    helper.error("timeout", weir.timeout, 1, function()
      local _ <close> = helper.closing(function() weir.shield(weir.sleep, 1) done = true end)
      weir.sleep(100)
    end)
    assert.is_true(done)
    helper.elapsed(2, start)
  end))

  it("without a shield cannot wait after a cancel, and the task is still cancelled", helper.virtual(function()
    local kind
    local start = weir.now()
    local t = weir.spawn(function()
      local _ <close> = helper.closing(function()
        local _, err = pcall(weir.sleep, 1)
        kind = weir.kind(err)
      end)
      weir.sleep(100)
    end)
    weir.sleep(1)
    t:cancel()
    t:pawait()
    assert.equal("cancelled", kind)
    assert.equal("cancelled", t.status)
    helper.elapsed(1, start)
  end))

  it("sees the cancel as its error", helper.virtual(function()
    local seen
    local t = weir.spawn(function()
      local _ <close> = helper.closing(function(err) seen = err end)
      weir.sleep(100)
    end)
    weir.sleep(1)
    t:cancel("why")
    t:pawait()
    assert.equal("cancelled", weir.kind(seen))
    assert.equal("why", seen.reason)
  end))

  it("runs in reverse order with all the others", helper.virtual(function()
    local order = {}
    local function note(name)
      return helper.closing(function()
        weir.shield(weir.sleep, 0.1)
        order[#order + 1] = name
      end)
    end
    local t = weir.spawn(function()
      local _ <close> = note "outer"
      weir.scope(function()
        local _ <close> = note "middle"
        local _ <close> = note "inner"
        weir.sleep(100)
      end)
    end)
    weir.sleep(1)
    t:cancel()
    t:pawait()
    assert.same({ "inner", "middle", "outer" }, order)
  end))

  it("that raises after an error is the failure", helper.virtual(function()
    local mine = {}
    local t = weir.spawn(function()
      local _ <close> = helper.closing(function() error(mine) end)
      error("first", 0)
    end)
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.equal("failed", t.status)
  end))

  it("that raises after a cancel makes the task fail", helper.virtual(function()
    local mine = {}
    local t = weir.spawn(function()
      local _ <close> = helper.closing(function() error(mine) end)
      weir.sleep(100)
    end)
    weir.sleep(1)
    weir.spawn(function() t:cancel() end)
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.equal("failed", t.status)
  end))

  it("that raises does not keep the others from running", helper.virtual(function()
    local ran = false
    local t = weir.spawn(function()
      local _ <close> = helper.closing(function() ran = true end)
      local _ <close> = helper.closing(function() error("x") end)
      weir.sleep(100)
    end)
    weir.sleep(1)
    weir.spawn(function() t:cancel() end)
    t:pawait()
    assert.is_true(ran)
  end))

  it("does not run for a task cancelled before it started", helper.virtual(function()
    local ran = false
    local t = weir.spawn(function()
      local _ <close> = helper.closing(function() ran = true end)
    end)
    t:cancel()
    t:pawait()
    assert.is_false(ran)
  end))

  it("holds up the end of its scope", helper.virtual(function()
    local start = weir.now()
    pcall(weir.scope, function(s)
      s:spawn(function()
        local _ <close> = helper.closing(function() weir.shield(weir.sleep, 3) end)
        weir.sleep(100)
      end)
      weir.sleep(1)
      error("out")
    end)
    helper.elapsed(4, start)
  end))

  it("may spawn in a shield what cleanup needs", helper.virtual(function()
    local n = 0
    local t = weir.spawn(function()
      local _ <close> = helper.closing(function()
        weir.shield(function()
          weir.all { function() weir.sleep(1) n = n + 1 end, function() weir.sleep(1) n = n + 1 end }
        end)
      end)
      weir.sleep(100)
    end)
    weir.sleep(1)
    t:cancel()
    t:pawait()
    assert.equal(2, n)
  end))

  it("runs at the end of the program in tasks that still wait", function()
    local out = helper.program [[
      local weir = require "weir"
      weir.run(function()
        weir.daemon(function()
          local _ <close> = setmetatable({}, { __close = function() print "closed" end })
          weir.sleep(1000)
        end)
        weir.sleep(0)
      end)
      print "ended"
    ]]
    assert.is_truthy(out:find("closed\n", 1, true), out)
  end)

  it("runs wherever a cancel comes", function()
    local open = 0
    helper.cancel_everywhere(function()
      local function guarded(body)
        return function()
          open = open + 1
          local _ <close> = helper.closing(function() open = open - 1 end)
          body()
        end
      end
      weir.all {
        guarded(function() weir.sleep(1) weir.shield(weir.sleep, 1) end),
        guarded(function() weir.timeout(5, guarded(function() weir.sleep(2) end)) end),
        guarded(function() weir.scope(function(s) s:spawn(guarded(function() weir.sleep(1) end)) end) end),
      }
    end)
    assert.equal(0, open)
  end)
end)
