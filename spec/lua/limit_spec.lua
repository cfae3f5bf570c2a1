-- limit_spec.lua - weir.limit: as many jobs at once as it has slots, the rest queued.

local helper = require "support.helper"
local weir = require "weir"

describe("weir.limit", function()
  it("runs a job as a task and gives that task", helper.virtual(function()
    local limit = weir.limit(1)
    local t = limit(function(...) weir.sleep(1) return ... end, 1, nil, 3)
    assert.same({ 1, nil, 3, n = 3 }, table.pack(t:await()))
  end))

  it("runs as many at once as it has slots", helper.virtual(function()
    local limit = weir.limit(3)
    local running, most, start = 0, 0, weir.now()
    weir.scope(function()
      for _ = 1, 10 do
        limit(function()
          running = running + 1
          most = math.max(most, running)
          weir.sleep(1)
          running = running - 1
        end)
      end
    end)
    assert.equal(3, most)
    helper.elapsed(4, start)
  end))

  it("starts jobs in the order of the calls", helper.virtual(function()
    local limit = weir.limit(2)
    local order = {}
    weir.scope(function()
      for i = 1, 10 do limit(function() order[#order + 1] = i weir.sleep(1) end) end
    end)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, order)
  end))

  it("counts a job from the call on, in active or in pending", helper.virtual(function()
    local limit = weir.limit(2)
    for i = 1, 5 do
      limit(weir.sleep, 1)
      assert.equal(i, limit.active + limit.pending)
    end
    weir.checkpoint()
    assert.equal(2, limit.active)
    assert.equal(3, limit.pending)
    weir.sleep(10)
    assert.equal(0, limit.active)
    assert.equal(0, limit.pending)
  end))

  it("frees the slot when the job fails", helper.virtual(function()
    local limit = weir.limit(1)
    local mine = {}
    local failing = limit(error, mine)
    local ok, err = failing:pawait()
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.equal(0, limit.active)
    assert.equal("next", limit(function() return "next" end):await())
  end))

  it("frees the slot when the function returns, not when its children end", helper.virtual(function()
    local limit = weir.limit(1)
    local start = weir.now()
    limit(function() weir.spawn(weir.sleep, 10) end)
    limit(function() end):await()
    helper.elapsed(0, start)
  end))

  it("frees the slot of a cancelled job after its cleanup", helper.virtual(function()
    local limit = weir.limit(1)
    local cleaned = false
    local t = limit(function()
      local _ <close> = helper.closing(function() weir.shield(weir.sleep, 1) cleaned = true end)
      weir.sleep(100)
    end)
    weir.sleep(1)
    t:cancel()
    limit(function() assert.is_true(cleaned) end):await()
    assert.equal(0, limit.active)
  end))

  it("drops a queued job that is cancelled", helper.virtual(function()
    local limit = weir.limit(1)
    local ran = false
    limit(weir.sleep, 5)
    local t = limit(function() ran = true end)
    local after = limit(function() return "after" end)
    weir.checkpoint()
    assert.equal(2, limit.pending)
    t:cancel("not needed")
    assert.equal(1, limit.pending)
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal("not needed", err.reason)
    assert.equal("after", after:await())
    assert.is_false(ran)
  end))

  it("shows a queued job as pending", helper.virtual(function()
    local limit = weir.limit(1)
    limit(weir.sleep, 1)
    local t = limit(weir.sleep, 1)
    weir.checkpoint()
    assert.equal("pending", t.status)
  end))

  it("gives its jobs to the scope of the caller", helper.virtual(function()
    local limit = weir.limit(1)
    local start = weir.now()
    weir.scope(function() limit(weir.sleep, 3) end)
    helper.elapsed(3, start)

    local failure = {}
    local ok, err = pcall(weir.scope, function()
      limit(error, failure)
      weir.sleep(10)
    end)
    assert.is_false(ok)
    assert.equal(failure, err)
  end))

  it("drops the queued jobs of a scope that is cancelled, and only those", helper.virtual(function()
    local limit = weir.limit(1)
    local other_ran, mine_ran = false, false
    limit(weir.sleep, 5)
    local t = weir.spawn(function()
      limit(function() mine_ran = true end)
      weir.sleep(100)
    end)
    weir.checkpoint()
    local other = limit(function() other_ran = true end)
    t:cancel()
    t:pawait()
    other:await()
    assert.is_true(other_ran)
    assert.is_false(mine_ran)
  end))

  it("holds the deadline of the caller over a queued job", helper.virtual(function()
    local limit = weir.limit(1)
    limit(weir.sleep, 50)
    local start, ran = weir.now(), false
    helper.error("timeout", weir.timeout, 1, function()
      limit(function() ran = true end):await()
    end)
    helper.elapsed(1, start)
    assert.is_false(ran)
    assert.equal(0, limit.pending)
  end))

  describe("clear", function()
    it("makes queued jobs raise cancelled with the reason", helper.virtual(function()
      local limit = weir.limit(1)
      local running = limit(function() weir.sleep(5) return "ran on" end)
      local queued = { limit(weir.sleep, 1), limit(weir.sleep, 1) }
      weir.checkpoint()
      limit:clear("shutting down")
      assert.equal(0, limit.pending)
      for _, t in ipairs(queued) do
        local ok, err = t:pawait()
        assert.is_false(ok)
        assert.equal("cancelled", weir.kind(err))
        assert.equal("shutting down", err.reason)
      end
      assert.equal("ran on", running:await())
    end))

    it("leaves the limit usable", helper.virtual(function()
      local limit = weir.limit(1)
      limit:clear()
      assert.equal(1, limit(function() return 1 end):await())
    end))
  end)

  describe("resize", function()
    local can = type(weir.limit(1).resize) == "function"
    local resized = can and it or pending

    resized("up starts queued jobs at once", helper.virtual(function()
      local limit = weir.limit(1)
      local start = weir.now()
      weir.scope(function()
        for _ = 1, 4 do limit(weir.sleep, 1) end
        weir.checkpoint()
        limit:resize(4)
        weir.checkpoint()
        assert.equal(4, limit.active)
      end)
      helper.elapsed(1, start)
    end))

    resized("down makes queued jobs impossible that weigh too much now", helper.virtual(function()
      local limit = weir.limit(3)
      limit(weir.sleep, 5)
      local t = limit:submit({ weight = 3 }, function() end)
      weir.checkpoint()
      local start = weir.now()
      weir.spawn(function() limit:resize(2) end)
      local ok, err = t:pawait()
      assert.is_false(ok)
      assert.equal("impossible", weir.kind(err))
      helper.elapsed(0, start)
    end))

    resized("down lets the running ones end", helper.virtual(function()
      local limit = weir.limit(4)
      local running, most = 0, 0
      weir.scope(function()
        for _ = 1, 4 do limit(weir.sleep, 1) end
        weir.checkpoint()
        limit:resize(1)
        assert.equal(4, limit.active)
        for _ = 1, 3 do
          limit(function()
            running = running + 1
            most = math.max(most, running)
            weir.sleep(1)
            running = running - 1
          end)
        end
      end)
      assert.equal(1, most)
    end))
  end)

  describe("map", function()
    it("gives the results in input order", helper.virtual(function()
      local limit = weir.limit(2)
      local r = limit:map({ 3, 1, 2 }, function(x, i) weir.sleep(x) return x * 10 + i end)
      assert.same({ 31, 12, 23, n = 3 }, r)
    end))

    it("shares the slots with everyone else", helper.virtual(function()
      local limit = weir.limit(2)
      local running, most = 0, 0
      local function job()
        running = running + 1
        most = math.max(most, running)
        weir.sleep(1)
        running = running - 1
      end
      weir.scope(function(s)
        s:spawn(function() limit:map({ 1, 2, 3 }, job) end)
        s:spawn(function() limit:map({ 1, 2, 3 }, job) end)
        limit(job)
      end)
      assert.equal(2, most)
      assert.equal(0, limit.active)
    end))

    it("of nothing is an empty result", helper.virtual(function()
      assert.same({ n = 0 }, weir.limit(2):map({}, function() end))
    end))

    it("raises the first failure and leaves no job behind", helper.virtual(function()
      local limit = weir.limit(2)
      local mine = {}
      local ok, err = pcall(limit.map, limit, { 1, 2, 3, 4 }, function(x)
        weir.sleep(x)
        if x == 2 then error(mine) end
      end)
      assert.is_false(ok)
      assert.equal(mine, err)
      assert.equal(0, limit.active)
      assert.equal(0, limit.pending)
    end))
  end)

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      local limit = weir.limit(2)
      weir.scope(function()
        for i = 1, 5 do limit(weir.sleep, i / 2) end
        limit:map({ 1, 2, 3 }, function(x) weir.sleep(x) end)
        limit(weir.sleep, 1):pawait()
      end)
      assert(limit.active == 0 and limit.pending == 0)
    end)
  end)

  it("gives everything back whichever allocation fails", function()
    helper.fail_allocations(function()
      local limit = weir.limit(2)
      weir.scope(function()
        for _ = 1, 4 do limit(weir.sleep, 1) end
      end)
    end)
  end)

  it("holds its bound under every schedule", function()
    helper.explore(function()
      local limit = weir.limit(1)
      local running = 0
      local function job()
        running = running + 1
        assert.equal(1, running)
        weir.checkpoint()
        running = running - 1
      end
      weir.all { limit(job), limit(job), limit(job) }
      assert.equal(0, limit.active + limit.pending)
    end, 100000)
  end)
end)
