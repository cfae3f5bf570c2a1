-- detach_spec.lua - tasks that belong to nobody: detached, joined at the end; daemons, cancelled then.

local helper = require "support.helper"
local weir = require "weir"

describe("weir.detach", function()
  it("returns the task", helper.virtual(function()
    local t = weir.detach(function(a) return a end, "x")
    assert.equal("x", t:await())
  end))

  it("is not joined by the scope it was called in", helper.virtual(function()
    local start, t = weir.now(), nil
    weir.scope(function() t = weir.detach(weir.sleep, 5) end)
    helper.elapsed(0, start)
    t:await()
  end))

  it("outlives the task that called it", helper.virtual(function()
    local done = false
    local t
    local caller = weir.spawn(function()
      t = weir.detach(function() weir.sleep(5) done = true end)
      weir.sleep(100)
    end)
    weir.sleep(1)
    caller:cancel()
    caller:pawait()
    t:await()
    assert.is_true(done)
  end))

  it("is joined at the end of the program", function()
    local done = false
    local r = helper.simulate(function()
      weir.detach(function() weir.sleep(5) done = true end)
    end)
    assert.is_true(r.ok)
    assert.is_true(done)
  end)

  it("fails nobody", helper.virtual(function()
    weir.on_unhandled(function() end)
    local other = weir.detach(function() weir.sleep(2) return "other" end)
    weir.detach(error, "x")
    weir.sleep(1)
    assert.equal("other", other:await())
  end))
end)

describe("a failed detached task", function()
  it("is reported once on stderr, with message, stack and where it was spawned; the process goes on", function()
    local out = helper.program [[
      local weir = require "weir"
      weir.run(function()
        local function culprit() error("it broke") end
        weir.detach(function() culprit() end)
        weir.sleep(0)
        weir.sleep(0.001)
        print "went on"
      end)
      print "ended"
    ]]
    local _, times = out:gsub("it broke", "")
    assert.equal(1, times, out)
    assert.is_truthy(out:find("culprit", 1, true), out)
    local _, at_spawn = out:gsub(":4%f[%D]", "")
    assert.is_true(at_spawn >= 1, out)
    assert.is_truthy(out:find("went on\n", 1, true), out)
    assert.is_truthy(out:find("ended\n", 1, true), out)
  end)

  it("is reported with the failures that came beside the first", function()
    local out = helper.program [[
      local weir = require "weir"
      weir.run(function()
        weir.detach(function()
          weir.spawn(function()
            local _ <close> = setmetatable({}, { __close = function() error("the second broke") end })
            weir.sleep(100)
          end)
          weir.spawn(function() weir.sleep(0) error("the first broke") end)
          weir.sleep(100)
        end)
        weir.sleep(0.001)
      end)
    ]]
    assert.is_truthy(out:find("the first broke", 1, true), out)
    assert.is_truthy(out:find("the second broke", 1, true), out)
  end)

  it("is given to on_unhandled instead", helper.virtual(function()
    local mine, got, times = {}, nil, 0
    weir.on_unhandled(function(err)
      got, times = err, times + 1
    end)
    weir.detach(error, mine)
    weir.sleep(1)
    assert.equal(mine, got)
    assert.equal(1, times)
  end))

  it("is not reported when someone awaited it", helper.virtual(function()
    local times = 0
    weir.on_unhandled(function() times = times + 1 end)
    local t = weir.detach(function() weir.sleep(1) error("claimed") end)
    assert.is_false((t:pawait()))
    weir.sleep(1)
    assert.equal(0, times)
  end))

  it("is not reported when it was cancelled", helper.virtual(function()
    local times = 0
    weir.on_unhandled(function() times = times + 1 end)
    local t = weir.detach(weir.sleep, 100)
    weir.sleep(1)
    t:cancel()
    weir.sleep(1)
    assert.equal(0, times)
  end))

  it("is given to the hook of its own runtime alone", function()
    local inner, outer = 0, 0
    helper.run(function()
      weir.on_unhandled(function() outer = outer + 1 end)
      helper.run(function()
        weir.on_unhandled(function() inner = inner + 1 end)
        weir.detach(error, "in the inner one")
      end)
      weir.detach(error, "in the outer one")
      weir.sleep(1)
    end)
    assert.equal(1, inner)
    assert.equal(1, outer)
  end)

  it("in a run on virtual time leaves the exit code of the program alone", function()
    local host = os.getenv("WEIR")
    if not host then return pending("needs the binary in WEIR") end
    local out, code = helper.program([[
      local weir = require "weir"
      weir.test.run(function()
        weir.on_unhandled(function() end)
        weir.detach(error, "expected")
      end)
      print "ended"
    ]], host)
    assert.equal("ended\n", out)
    assert.equal(0, code)
  end)

  it("does not go unseen when on_unhandled raises itself", function()
    local out = helper.program [[
      local weir = require "weir"
      weir.run(function()
        weir.on_unhandled(function() error("the hook broke") end)
        weir.detach(error, "the task broke")
        weir.sleep(0.001)
        print "went on"
      end)
    ]]
    assert.is_truthy(out:find("the task broke", 1, true), out)
    assert.is_truthy(out:find("went on", 1, true), out)
  end)
end)

describe("weir.daemon", function()
  it("returns the task", helper.virtual(function()
    assert.equal("waiting", (function()
      local t = weir.daemon(weir.sleep, 1e6)
      weir.checkpoint()
      return t.status
    end)())
  end))

  it("is cancelled at the end of the program, cleanup included", function()
    local cleaned = false
    local r = helper.simulate(function()
      weir.daemon(function()
        local _ <close> = helper.closing(function() weir.shield(weir.sleep, 1) cleaned = true end)
        while true do weir.sleep(60) end
      end)
      weir.sleep(5)
    end)
    assert.is_true(r.ok)
    assert.is_true(cleaned)
    assert.is_true(math.abs(r.time - 6) < 1e-6)
  end)

  it("does not keep the program alive", function()
    local r = helper.simulate(function()
      weir.daemon(weir.sleep, 1e9)
      weir.checkpoint()
    end)
    assert.is_true(r.ok)
    assert.equal(0, r.time)
  end)

  it("that fails stops nobody", helper.virtual(function()
    local seen
    weir.on_unhandled(function(err) seen = err end)
    weir.daemon(error, "daemon", 0)
    weir.sleep(1)
    assert.equal("daemon", seen)
  end))

  it("still runs while detached tasks are joined", function()
    local ticks = 0
    local r = helper.simulate(function()
      weir.daemon(function() while true do weir.sleep(1) ticks = ticks + 1 end end)
      weir.detach(weir.sleep, 3.5)
    end)
    assert.is_true(r.ok)
    assert.equal(3, ticks)
  end)
end)
