-- scope_spec.lua - scopes: who is joined, who is cancelled, what is raised.

local helper = require "support.helper"
local weir = require "weir"

describe("weir.scope", function()
  it("returns all values of its body", helper.virtual(function()
    assert.same({ 1, nil, 3, n = 3 }, table.pack(weir.scope(function() return 1, nil, 3 end)))
  end))

  it("waits for its children before it returns", helper.virtual(function()
    local start, ended = weir.now(), 0
    weir.scope(function(s)
      s:spawn(function() weir.sleep(2) ended = ended + 1 end)
      weir.spawn(function() weir.sleep(1) ended = ended + 1 end)
    end)
    assert.equal(2, ended)
    helper.elapsed(2, start)
  end))

  it("waits for children that its children gave it", helper.virtual(function()
    local ended = false
    weir.scope(function(s)
      s:spawn(function()
        weir.sleep(1)
        s:spawn(function() weir.sleep(1) ended = true end)
      end)
    end)
    assert.is_true(ended)
  end))

  describe("with a failing child", function()
    it("cancels the siblings, joins them, then raises", helper.virtual(function()
      local failure, trace = {}, {}
      local start = weir.now()
      local ok, err = pcall(weir.scope, function(s)
        s:spawn(function()
          local _ <close> = helper.closing(function()
            weir.shield(weir.sleep, 1)
            trace[#trace + 1] = "sibling cleaned up"
          end)
          weir.sleep(100)
        end)
        s:spawn(function() weir.sleep(1) error(failure) end)
        weir.sleep(100)
      end)
      trace[#trace + 1] = "raised"
      assert.is_false(ok)
      assert.equal(failure, err)
      assert.same({ "sibling cleaned up", "raised" }, trace)
      helper.elapsed(2, start)
    end))

    it("cancels its own body", helper.virtual(function()
      local kind
      pcall(weir.scope, function(s)
        s:spawn(error, "x")
        local _, err = pcall(weir.sleep, 10)
        kind = weir.kind(err)
      end)
      assert.equal("cancelled", kind)
    end))

    it("raises the failure even if the body returned before it", helper.virtual(function()
      local failure = {}
      local ok, err = pcall(weir.scope, function(s)
        s:spawn(function() weir.sleep(1) error(failure) end)
        return "values"
      end)
      assert.is_false(ok)
      assert.equal(failure, err)
    end))

    it("raises the failure once if the body awaited it", helper.virtual(function()
      local failure, scope = {}, nil
      local ok, err = pcall(weir.scope, function(s)
        scope = s
        s:spawn(error, failure):await()
      end)
      assert.is_false(ok)
      assert.equal(failure, err)
      assert.equal(failure, scope.errors[1].error)
    end))

    it("raises the first failure and keeps the others beside it", helper.virtual(function()
      local first, second, scope = { 1 }, { 2 }, nil
      local ok, err = pcall(weir.scope, function(s)
        scope = s
        s:spawn(function()
          local _ <close> = helper.closing(function() error(second) end)
          weir.sleep(100)
        end)
        s:spawn(function() weir.sleep(1) error(first) end)
      end)
      assert.is_false(ok)
      assert.equal(first, err)
      assert.equal(2, #scope.errors)
      assert.equal(first, scope.errors[1].error)
      assert.equal(second, scope.errors[2].error)
    end))

    it("keeps the traceback and the name of each failure", helper.virtual(function()
      local scope, task
      local function culprit() error("deep") end
      pcall(weir.scope, function(s)
        scope = s
        task = s:spawn(function() culprit() end)
      end)
      local entry = scope.errors[1]
      assert.is_truthy(entry.error:find("deep", 1, true))
      assert.is_truthy(entry.traceback:find("culprit", 1, true))
      assert.equal(task.name, entry.name)
    end))
  end)

  describe("with a failing body", function()
    it("cancels and joins the children, then raises", helper.virtual(function()
      local failure, child = {}, nil
      local start = weir.now()
      local ok, err = pcall(weir.scope, function(s)
        child = s:spawn(weir.sleep, 100)
        weir.sleep(1)
        error(failure)
      end)
      assert.is_false(ok)
      assert.equal(failure, err)
      assert.equal("cancelled", child.status)
      helper.elapsed(1, start)
    end))

    it("passes any value unchanged", helper.virtual(function()
      for _, value in ipairs { "text", 12, true, false, {}, print } do
        local ok, err = pcall(weir.scope, function() error(value, 0) end)
        assert.is_false(ok)
        assert.equal(value, err)
      end
      local got = table.pack(pcall(weir.scope, function() error(nil) end))
      assert.is_false(got[1])
      assert.is_nil(got[2])
    end))
  end)

  describe("cancel from within", function()
    it("returns the values of the body if it returned", helper.virtual(function()
      local child
      local a, b = weir.scope(function(s)
        child = s:spawn(weir.sleep, 100)
        weir.checkpoint()
        s:cancel("enough")
        return 1, 2
      end)
      assert.equal(1, a)
      assert.equal(2, b)
      assert.equal("cancelled", child.status)
    end))

    it("raises cancelled with the reason if the body did not return", helper.virtual(function()
      local err = helper.error("cancelled", weir.scope, function(s)
        s:cancel("enough")
        weir.sleep(1)
      end)
      assert.equal("enough", err.reason)
    end))

    it("by a child counts as from within", helper.virtual(function()
      local found
      weir.scope(function(s)
        for i = 1, 3 do
          s:spawn(function()
            weir.sleep(i)
            found = i
            s:cancel("found")
          end)
        end
      end)
      assert.equal(1, found)
    end))
  end)

  it("lets a cancel from outside pass, whatever the body did with it", helper.virtual(function()
    local reached = false
    local t = weir.spawn(function()
      weir.scope(function() pcall(weir.sleep, 100) return "swallowed" end)
      reached = true
    end)
    weir.sleep(1)
    t:cancel("outside")
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal("outside", err.reason)
    assert.is_false(reached)
  end))

  describe("spawn", function()
    it("on an ended scope raises closed", helper.virtual(function()
      local scope
      weir.scope(function(s) scope = s end)
      helper.error("closed", scope.spawn, scope, function() end)
    end))

    it("on a cancelled scope raises cancelled", helper.virtual(function()
      weir.scope(function(s)
        s:cancel("over")
        local err = helper.error("cancelled", s.spawn, s, function() end)
        assert.equal("over", err.reason)
      end)
    end))

    it("in a cancelled scope raises cancelled as well", helper.virtual(function()
      weir.scope(function(s)
        s:cancel("over")
        helper.error("cancelled", weir.spawn, function() end)
      end)
    end))
  end)

  describe("join", function()
    it("waits for the children now there", helper.virtual(function()
      weir.scope(function(s)
        local start = weir.now()
        s:spawn(weir.sleep, 1)
        s:spawn(weir.sleep, 2)
        s:join()
        helper.elapsed(2, start)
      end)
    end))

    it("leaves the scope open", helper.virtual(function()
      local order = {}
      weir.scope(function(s)
        s:spawn(function() weir.sleep(1) order[#order + 1] = "first" end)
        s:join()
        s:spawn(function() weir.sleep(1) order[#order + 1] = "second" end)
        s:join()
        order[#order + 1] = "body"
      end)
      assert.same({ "first", "second", "body" }, order)
    end))

    it("does not wait without children", helper.virtual(function()
      weir.scope(function(s) s:join() end)
    end))

    it("does not claim failures", helper.virtual(function()
      local failure = {}
      local ok, err = pcall(weir.scope, function(s)
        s:spawn(function() weir.sleep(1) error(failure) end)
        pcall(s.join, s)
      end)
      assert.is_false(ok)
      assert.equal(failure, err)
    end))
  end)

  describe("settle", function()
    it("gives the outcomes in spawn order", helper.virtual(function()
      weir.scope(function(s)
        local failure = {}
        s:spawn(function() weir.sleep(3) return "slow" end)
        s:spawn(function() weir.sleep(1) error(failure) end)
        s:spawn(function() end)
        local out = s:settle()
        assert.equal(3, out.n)
        assert.same({ ok = true, value = "slow" }, out[1])
        assert.is_false(out[2].ok)
        assert.equal(failure, out[2].error)
        assert.is_true(out[3].ok)
        assert.is_nil(out[3].value)
      end)
    end))

    it("claims the failures it waits for", helper.virtual(function()
      local value = weir.scope(function(s)
        s:spawn(function() weir.sleep(1) error("claimed") end)
        s:spawn(function() weir.sleep(2) error("claimed too") end)
        s:settle()
        weir.sleep(1)
        return "fine"
      end)
      assert.equal("fine", value)
    end))

    it("shows a cancelled child as cancelled", helper.virtual(function()
      weir.scope(function(s)
        local t = s:spawn(weir.sleep, 100)
        weir.checkpoint()
        t:cancel("not you")
        local out = s:settle()
        assert.equal("cancelled", weir.kind(out[1].error))
        assert.equal("not you", out[1].error.reason)
      end)
    end))

    it("without children gives an empty table", helper.virtual(function()
      weir.scope(function(s) assert.same({ n = 0 }, s:settle()) end)
    end))
  end)

  describe("timeout", function()
    it("ends waits inside with cancelled, reason deadline", helper.virtual(function()
      local kind, reason
      pcall(weir.scope, { timeout = 1 }, function()
        local _, err = pcall(weir.sleep, 10)
        kind, reason = weir.kind(err), err.reason
      end)
      assert.equal("cancelled", kind)
      assert.equal("deadline", reason)
    end))

    it("raises timeout where the scope ends", helper.virtual(function()
      local start = weir.now()
      helper.error("timeout", weir.scope, { timeout = 1 }, function() weir.sleep(10) end)
      helper.elapsed(1, start)
    end))

    it("raises timeout also if the body swallowed it", helper.virtual(function()
      helper.error("timeout", weir.scope, { timeout = 1 }, function()
        pcall(weir.sleep, 10)
        return "nothing happened"
      end)
    end))

    it("names the scope and the wait it hit", helper.virtual(function()
      local err = helper.error("timeout", weir.scope, { timeout = 1, name = "lookup" }, function()
        weir.sleep(10)
      end)
      assert.is_truthy(tostring(err):find("lookup", 1, true))
      assert.is_truthy(tostring(err):find("sleep", 1, true))
      assert.equal("lookup", err.name)
    end))

    it("holds for the children too", helper.virtual(function()
      local reason
      local child
      helper.error("timeout", weir.scope, { timeout = 1 }, function(s)
        child = s:spawn(function()
          local _, err = pcall(weir.sleep, 10)
          reason = err.reason
          error(err, 0)
        end)
      end)
      assert.equal("cancelled", child.status)
      assert.equal("deadline", reason)
    end))

    it("does nothing to a scope that ends in time", helper.virtual(function()
      local value = weir.scope({ timeout = 5 }, function() weir.sleep(1) return "in time" end)
      assert.equal("in time", value)
      weir.sleep(10)
    end))

    it("that is infinite is none", helper.virtual(function()
      assert.equal(1, weir.scope({ timeout = math.huge }, function() weir.sleep(1e7) return 1 end))
    end))
  end)

  describe("deadline", function()
    it("is a point on weir.now", helper.virtual(function()
      local start = weir.now()
      helper.error("timeout", weir.scope, { deadline = start + 3 }, function() weir.sleep(10) end)
      helper.elapsed(3, start)
    end))

    it("nests by the minimum: the nearer outer one holds inside", helper.virtual(function()
      local start = weir.now()
      local inner
      local err = helper.error("timeout", weir.scope, { timeout = 1, name = "outer" }, function()
        inner = table.pack(pcall(weir.scope, { timeout = 50, name = "inner" }, function() weir.sleep(10) end))
        error(inner[2], 0)
      end)
      assert.equal("outer", err.name)
      assert.is_false(inner[1])
      assert.equal("cancelled", weir.kind(inner[2]))
      helper.elapsed(1, start)
    end))

    it("nests by the minimum: the nearer inner one ends the inner scope alone", helper.virtual(function()
      local value = weir.scope({ timeout = 50, name = "outer" }, function()
        local err = helper.error("timeout", weir.scope, { timeout = 1, name = "inner" }, function()
          weir.sleep(10)
        end)
        assert.equal("inner", err.name)
        weir.sleep(1)
        return "outer goes on"
      end)
      assert.equal("outer goes on", value)
    end))
  end)

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      pcall(weir.scope, { timeout = 3 }, function(s)
        s:spawn(function() weir.sleep(1) weir.scope(function(i) i:spawn(weir.sleep, 1) end) end)
        s:spawn(pcall, function() weir.sleep(2) error("x") end)
        s:join()
        s:spawn(weir.sleep, 10)
      end)
      weir.scope(function(s)
        s:spawn(function() weir.sleep(1) error("y") end)
        s:settle()
      end)
    end)
  end)

  it("gives everything back whichever allocation fails", function()
    helper.fail_allocations(function()
      weir.scope({ timeout = 10 }, function(s)
        for i = 1, 4 do s:spawn(weir.sleep, i) end
        s:join()
      end)
    end)
  end)
end)
