-- limit_submit_spec.lua - limits with options: weight, priority, names, a bounded queue, idle.

local helper = require "support.helper"
local weir = require "weir"

describe("weir.limit{...}", function()
  it("takes its options from a table", helper.virtual(function()
    local limit = weir.limit { n = 2, name = "api", order = "priority", max_waiting = 5, bypass = 1, aging = 2 }
    assert.equal(2, limit.limit)
    assert.equal("api", limit.name)
    assert.is_truthy(tostring(limit):find("api", 1, true))
    assert.equal("api", limit:stats().name)
  end))

  it("refuses wrong ones", helper.virtual(function()
    for _, options in ipairs {
      {}, { n = 0 }, { n = 1, permits = 1 }, { n = 1, name = 1 }, { n = 1, order = "lifo" },
      { n = 1, max_waiting = -1 }, { n = 1, aging = 1 }, { n = 1, bypass = 1.5 },
    } do
      local err = helper.error("misuse", weir.limit, options)
      assert.is_truthy(tostring(err):find("weir.limit", 1, true))
    end
  end))

  it("refuses a job over max_waiting, with retry_after, and keeps those it has", helper.virtual(function()
    local limit = weir.limit { n = 1, max_waiting = 1, name = "api" }
    limit(weir.sleep, 2):await()
    local a, b = limit(weir.sleep, 2), limit(weir.sleep, 2)
    local err = helper.error("overload", limit, weir.sleep, 1)
    assert.equal("api", err.name)
    assert.equal(4, err.retry_after)
    helper.error("overload", limit.submit, limit, {}, weir.sleep, 1)
    assert.equal(1, limit.pending)
    a:await()
    b:await()
    assert.equal(2, limit:stats().rejects.overload)
  end))

  it("with max_waiting 0 takes what has a slot", helper.virtual(function()
    local limit = weir.limit { n = 2, max_waiting = 0 }
    local a, b = limit(weir.sleep, 1), limit(weir.sleep, 1)
    helper.error("overload", limit, weir.sleep, 1)
    a:await()
    b:await()
    limit(weir.sleep, 1):await()
  end))
end)

describe("limit:submit", function()
  it("is a job like any other", helper.virtual(function()
    local limit = weir.limit(1)
    local t = limit:submit({}, function(...) weir.sleep(1) return ... end, 1, nil, 3)
    assert.equal(1, limit.active + limit.pending)
    assert.same({ 1, nil, 3, n = 3 }, table.pack(t:await()))
    assert.equal(0, limit.active)
  end))

  it("names the task", helper.virtual(function()
    local limit = weir.limit(1)
    local named = limit:submit({ name = "report" }, weir.sleep, 1)
    local queued = limit:submit({ name = "queued" }, weir.sleep, 1)
    assert.equal("report", named.name)
    assert.equal("queued", queued.name)
  end))

  it("starts the larger priority first", helper.virtual(function()
    local limit = weir.limit { n = 1, order = "priority" }
    local order = {}
    local function job(i) order[#order + 1] = i end
    weir.scope(function()
      limit(weir.sleep, 1)
      for i, priority in ipairs { 0, 2, 1, 2 } do limit:submit({ priority = priority }, job, i) end
      limit(job, 5)
    end)
    assert.same({ 2, 4, 3, 1, 5 }, order)
  end))

  it("changes the priority of a queued job", helper.virtual(function()
    local limit = weir.limit { n = 1, order = "priority" }
    local order = {}
    local function job(i) order[#order + 1] = i end
    weir.scope(function()
      limit(weir.sleep, 1)
      local a, b = limit(job, "a"), limit(job, "b")
      assert.is_true(limit:set_priority(b, 1))
      assert.is_true(limit:set_priority(a, 0))
      assert.is_false(limit:set_priority(weir.spawn(weir.checkpoint), 1))
    end)
    assert.same({ "b", "a" }, order)
  end))

  it("takes as many slots as the job weighs, and counts it as one", helper.virtual(function()
    local limit = weir.limit(3)
    local start = weir.now()
    weir.scope(function()
      limit:submit({ weight = 2 }, weir.sleep, 1)
      limit:submit({ weight = 2 }, weir.sleep, 1)
      limit(weir.sleep, 1)
      assert.equal(1, limit.active)
      assert.equal(2, limit.pending)
      assert.equal(3, limit:stats().queued_weight)
    end)
    helper.elapsed(2, start)
    assert.equal(0, limit.active)
  end))

  it("lets light jobs pass a heavy one, at most bypass times", helper.virtual(function()
    local limit = weir.limit { n = 2, bypass = 1 }
    local order = {}
    local function job(i) order[#order + 1] = i weir.sleep(1) end
    weir.scope(function()
      limit(weir.sleep, 5)
      limit:submit({ weight = 2 }, job, "heavy")
      limit(job, "first")
      limit(job, "second")
    end)
    assert.same({ "first", "heavy", "second" }, order)
    assert.equal(1, limit:stats().bypassed)
  end))

  it("raises impossible for more than the limit, also when a resize makes it so", helper.virtual(function()
    local limit = weir.limit { n = 2, name = "narrow" }
    assert.equal("narrow", helper.error("impossible", limit.submit, limit, { weight = 3 }, weir.sleep, 1).name)
    assert.equal(0, limit.active + limit.pending)
    local running = limit:submit({ weight = 2 }, weir.sleep, 1)
    local ok, err
    local queued = limit:submit({ weight = 2 }, weir.sleep, 1)
    local t = weir.spawn(function() ok, err = queued:pawait() end)
    weir.checkpoint()
    limit:resize(1)
    t:await()
    assert.is_false(ok)
    assert.equal("impossible", weir.kind(err))
    assert.equal("narrow", err.name)
    running:await()
    assert.equal(0, limit.active + limit.pending)
  end))

  it("names a limit that is gone before the job hears of its refusal", helper.virtual(function()
    local ok, err
    weir.scope(function()
      local limit = weir.limit { n = 2, name = "brief" }
      local queued
      limit:submit({ weight = 2 }, function()
        weir.checkpoint()
        limit:resize(1)
        limit = nil
      end)
      queued = limit:submit({ weight = 2 }, error)
      weir.spawn(function() ok, err = queued:pawait() end)
      weir.checkpoint()
      weir.checkpoint()
      collectgarbage()
      collectgarbage()
    end)
    assert.is_false(ok)
    assert.equal("impossible", weir.kind(err))
    assert.equal("brief", err.name)
  end))

  it("refuses wrong options and functions", helper.virtual(function()
    local limit = weir.limit(1)
    for _, options in ipairs {
      { weight = 0 }, { weight = 1.5 }, { priority = 1 }, { name = 1 }, { wait = 1 }, { 1 },
    } do
      helper.error("misuse", limit.submit, limit, options, weir.sleep, 1)
    end
    helper.error("misuse", limit.submit, limit, nil, weir.sleep)
    helper.error("misuse", limit.submit, limit, {}, 1)
    helper.error("misuse", limit.submit, limit, {})
    helper.error("misuse", limit.set_priority, limit, 1, 1)
    assert.equal(0, limit.active + limit.pending)
  end))
end)

describe("limit:clear", function()
  it("takes also those that get a slot because a heavy job was cleared", helper.virtual(function()
    for _, options in ipairs { { n = 3 }, { n = 3, order = "priority" }, { n = 3, bypass = 2 } } do
      local limit = weir.limit(options)
      local ran = 0
      local held = limit:submit({ weight = 2 }, weir.sleep, 1)
      local tasks = { limit:submit({ weight = 3 }, weir.sleep, 1) }
      for i = 2, 5 do tasks[i] = limit:submit({ weight = i % 3 + 1 }, function() ran = ran + 1 end) end
      local before = limit.active
      local n = limit:clear("enough")
      assert.equal(6 - before, n)
      assert.equal(before, limit.active)
      assert.equal(0, limit.pending)
      held:await()
      for _, t in ipairs(tasks) do t:pawait() end
      assert.equal(0, limit.active)
      assert.equal(before - 1, ran)
    end
  end))

  it("leaves the workers of a map in the queue", helper.virtual(function()
    local limit = weir.limit(2)
    weir.scope(function(s)
      limit:submit({ weight = 2 }, weir.sleep, 1)
      local mapping = s:spawn(function() return limit:map({ 1, 2, 3 }, function(x) return x end) end)
      weir.checkpoint()
      local job = limit(weir.sleep, 1)
      limit:clear()
      assert.same({ 1, 2, 3, n = 3 }, mapping:await())
      assert.is_false((job:pawait()))
    end)
  end))
end)

describe("limit:idle", function()
  it("waits until nothing runs or waits", helper.virtual(function()
    local limit = weir.limit(2)
    local start = weir.now()
    for _ = 1, 5 do limit(weir.sleep, 1) end
    limit:idle()
    helper.elapsed(3, start)
    assert.equal(0, limit.active + limit.pending)
  end))

  it("returns at once when there is nothing", helper.virtual(function()
    local limit = weir.limit(2)
    local switched = false
    weir.spawn(function() switched = true end)
    limit:idle()
    assert.is_false(switched)
  end))

  it("lets new jobs in, and waits for them too", helper.virtual(function()
    local limit = weir.limit(1)
    local start = weir.now()
    limit(function()
      weir.sleep(1)
      weir.detach(function() limit(weir.sleep, 1):await() end)
      weir.checkpoint()
      weir.checkpoint()
    end)
    limit:idle()
    helper.elapsed(2, start)
  end))

  it("takes a timeout and cancels", helper.virtual(function()
    local limit = weir.limit(1)
    limit(weir.sleep, 5)
    assert.equal("limit:idle: timed out", tostring(helper.error("timeout", limit.idle, limit, 1)))
    local t = weir.spawn(limit.idle, limit)
    weir.checkpoint()
    t:cancel()
    local ok, err = t:pawait()
    assert.is_false(ok)
    assert.equal("cancelled", weir.kind(err))
    helper.error("misuse", limit.idle, limit, -1)
  end))

  it("is a deadlock inside a job of the limit", helper.virtual(function()
    local limit = weir.limit(2)
    local ok, err = limit(function() limit:idle() end):pawait()
    assert.is_false(ok)
    assert.equal("deadlock", weir.kind(err))
  end))
end)

describe("weir.limit with options", function()
  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      local limit = weir.limit { n = 2, order = "priority", bypass = 1, max_waiting = 4 }
      weir.scope(function()
        for i = 1, 5 do pcall(limit.submit, limit, { weight = 1 + i % 2, priority = i }, weir.sleep, i / 2) end
        limit:idle()
        limit:submit({ name = "last" }, weir.sleep, 1):pawait()
      end)
      assert(limit.active == 0 and limit.pending == 0)
    end)
  end)

  it("gives everything back whichever allocation fails", function()
    helper.fail_allocations(function()
      local limit = weir.limit { n = 2, order = "priority", name = "x" }
      weir.scope(function()
        for i = 1, 4 do limit:submit({ priority = i, name = "job" }, weir.sleep, 1) end
        limit:idle()
      end)
    end)
  end)

  it("holds its bound under every schedule", function()
    helper.explore(function()
      local limit = weir.limit { n = 2, order = "priority", bypass = 1 }
      local weight = 0
      local function job(w)
        weight = weight + w
        assert.is_true(weight <= 2)
        if w == 1 then weir.checkpoint() end
        weight = weight - w
      end
      local jobs = {}
      for i, w in ipairs { 1, 2, 1 } do jobs[i] = limit:submit({ weight = w, priority = i }, job, w) end
      weir.all(jobs)
      assert.equal(0, limit.active + limit.pending)
    end, 100000)
  end)
end)
