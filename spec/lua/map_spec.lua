-- map_spec.lua - weir.map and weir.each: a function over a source, so many at once.

local helper = require "support.helper"
local weir = require "weir"

-- An iterator function over 1..n that counts what was pulled of it.
local function counter(n, log)
  log.pulled = 0
  return function()
    if log.pulled == n then
      log.ended = (log.ended or 0) + 1
      return nil
    end
    log.pulled = log.pulled + 1
    return log.pulled
  end
end

describe("weir.map", function()
  it("gives the first values in input order", helper.virtual(function()
    local r = weir.map({ 3, 1, 2 }, function(x) weir.sleep(x) return x * 10, "dropped" end)
    assert.same({ 30, 10, 20, n = 3 }, r)
  end))

  it("passes item and index", helper.virtual(function()
    assert.same({ "a1", "b2", n = 2 }, weir.map({ "a", "b" }, function(item, i) return item .. i end))
  end))

  it("keeps nils among the results", helper.virtual(function()
    local r = weir.map({ 1, 2, 3 }, function(x) if x == 2 then return nil end return x end)
    assert.equal(3, r.n)
    assert.is_nil(r[2])
    assert.equal(3, r[3])
  end))

  it("of nothing is an empty result", helper.virtual(function()
    assert.same({ n = 0 }, weir.map({}, function() end))
    assert.same({ n = 0 }, weir.map(function() return nil end, function() end))
  end))

  describe("limit", function()
    local function most_at_once(count, opts)
      local running, most = 0, 0
      local source = {}
      for i = 1, count do source[i] = i end
      weir.map(source, function()
        running = running + 1
        most = math.max(most, running)
        weir.sleep(1)
        running = running - 1
      end, opts)
      return most
    end

    it("is the number that run at once", helper.virtual(function()
      assert.equal(3, most_at_once(10, { limit = 3 }))
    end))

    it("of 1 runs them one after another", helper.virtual(function()
      assert.equal(1, most_at_once(5, { limit = 1 }))
    end))

    it("is 64 unless said", helper.virtual(function()
      assert.equal(64, most_at_once(200))
    end))

    it("of math.huge is none", helper.virtual(function()
      assert.equal(200, most_at_once(200, { limit = math.huge }))
    end))

    it("starts the next item as soon as one is done", helper.virtual(function()
      local start = weir.now()
      weir.map({ 4, 1, 1, 1, 1 }, weir.sleep, { limit = 2 })
      helper.elapsed(4, start)
    end))
  end)

  describe("source", function()
    it("may be an array with holes if it says its n", helper.virtual(function()
      local items = {}
      local r = weir.map({ 1, nil, 3, nil, n = 4 }, function(item, i)
        items[i] = item == nil and "nil" or item
        return i
      end)
      assert.same({ 1, "nil", 3, "nil" }, items)
      assert.same({ 1, 2, 3, 4, n = 4 }, r)
    end))

    it("may be an iterator function", helper.virtual(function()
      local log = {}
      assert.same({ 2, 4, 6, n = 3 }, weir.map(counter(3, log), function(x) return x * 2 end))
    end))

    it("may be an iterator of the string library", helper.virtual(function()
      assert.same({ "A", "B", "C", n = 3 }, weir.map(("a b c"):gmatch("%a"), string.upper))
    end))

    it("is not called again after it gave nil", helper.virtual(function()
      local log = {}
      weir.map(counter(5, log), function() weir.sleep(1) end, { limit = 3 })
      assert.equal(1, log.ended)
    end))

    it("may wait, and is never called while it does", helper.virtual(function()
      local inside, n = 0, 0
      local r = weir.map(function()
        inside = inside + 1
        assert.equal(1, inside)
        weir.sleep(1)
        inside = inside - 1
        n = n + 1
        return n <= 5 and n or nil
      end, function(x) weir.sleep(3) return x end, { limit = 4 })
      assert.same({ 1, 2, 3, 4, 5, n = 5 }, r)
    end))

    it("is pulled one ahead of need at most", helper.virtual(function()
      local log, done, worst = {}, 0, 0
      weir.map(counter(50, log), function()
        worst = math.max(worst, log.pulled - done)
        weir.sleep(1)
        worst = math.max(worst, log.pulled - done)
        done = done + 1
      end, { limit = 4 })
      assert.is_true(worst <= 5, ("%d pulled and not done, with 4 running"):format(worst))
      assert.equal(50, done)
    end))

    it("may be endless if the work fails some time", helper.virtual(function()
      local log, mine = {}, {}
      local ok, err = pcall(weir.map, counter(math.huge, log), function(x)
        weir.sleep(1)
        if x == 10 then error(mine) end
      end, { limit = 2 })
      assert.is_false(ok)
      assert.equal(mine, err)
      assert.is_true(log.pulled <= 13)
    end))

    it("that raises fails the map, and is never called again", helper.virtual(function()
      local mine, calls = {}, 0
      local cancelled = false
      local ok, err = pcall(weir.map, function()
        calls = calls + 1
        if calls == 3 then error(mine) end
        return calls
      end, function()
        local _ <close> = helper.closing(function() cancelled = true end)
        weir.sleep(100)
      end, { limit = 10 })
      assert.is_false(ok)
      assert.equal(mine, err)
      assert.equal(3, calls)
      assert.is_true(cancelled)
    end))

    it("that raises fails the map with on_error collect too", helper.virtual(function()
      local mine = {}
      local calls = 0
      local ok, err = pcall(weir.map, function()
        calls = calls + 1
        if calls == 2 then error(mine) end
        return calls
      end, function() end, { on_error = "collect" })
      assert.is_false(ok)
      assert.equal(mine, err)
      assert.equal(2, calls)
    end))
  end)

  describe("on a failure", function()
    it("cancels and joins the others, pulls no more, and raises it", helper.virtual(function()
      local mine, started, cleaned = {}, 0, 0
      local source = {}
      for i = 1, 20 do source[i] = i end
      local start = weir.now()
      local ok, err = pcall(weir.map, source, function(x)
        started = started + 1
        local _ <close> = helper.closing(function() cleaned = cleaned + 1 end)
        weir.sleep(x == 3 and 1 or 50)
        error(mine)
      end, { limit = 4 })
      assert.is_false(ok)
      assert.equal(mine, err)
      assert.equal(4, started)
      assert.equal(4, cleaned)
      helper.elapsed(1, start)
    end))

    it("leaves the caller's scope unharmed when it is caught", helper.virtual(function()
      pcall(weir.map, { 1 }, function() error("x") end)
      weir.sleep(1)
    end))

    it("with collect goes on and returns errors by index", helper.virtual(function()
      local mine = {}
      local results, errors = weir.map({ 1, 2, 3, 4 }, function(x)
        weir.sleep(1)
        if x == 2 then error(mine) end
        return x
      end, { on_error = "collect", limit = 2 })
      assert.equal(4, results.n)
      assert.equal(1, results[1])
      assert.is_nil(results[2])
      assert.equal(3, results[3])
      assert.equal(4, results[4])
      assert.equal(mine, errors[2])
      assert.is_nil(errors[1])
      assert.is_nil(errors[3])
    end))

    it("with collect and no failure returns nil for errors", helper.virtual(function()
      local results, errors = weir.map({ 1, 2 }, function(x) return x end, { on_error = "collect" })
      assert.same({ 1, 2, n = 2 }, results)
      assert.is_nil(errors)
    end))

    it("with collect still ends when the task is cancelled", helper.virtual(function()
      local t = weir.spawn(weir.map, { 1, 2, 3 }, function() weir.sleep(100) end, { on_error = "collect" })
      weir.sleep(1)
      t:cancel("stop")
      local ok, err = t:pawait()
      assert.is_false(ok)
      assert.equal("stop", err.reason)
    end))
  end)

  it("with ordered=false gives completion order", helper.virtual(function()
    local r = weir.map({ 3, 1, 2 }, function(x) weir.sleep(x) return x end, { ordered = false })
    assert.same({ 1, 2, 3, n = 3 }, r)
  end))

  it("tells its progress of every start and every end", helper.virtual(function()
    local log = {}
    local progress = {
      start = function() log[#log + 1] = "start" end,
      finish = function(_, ok) log[#log + 1] = ok and "good" or "bad" end,
    }
    weir.map({ 1, 2, 3 }, function(x)
      weir.sleep(1)
      if x == 2 then error("x") end
    end, { limit = 1, on_error = "collect", progress = progress })
    assert.equal("start good start bad start good", table.concat(log, " "))
  end))

  it("fails if its progress raises, and leaves nothing running", helper.virtual(function()
    local mine = {}
    local ok, err = pcall(weir.map, { 1, 2, 3 }, function(x) weir.sleep(x) end, {
      progress = { start = function() end, finish = function() error(mine) end },
    })
    assert.is_false(ok)
    assert.equal(mine, err)
  end))

  it("keeps to the deadline around it", helper.virtual(function()
    local start = weir.now()
    local err = helper.error("timeout", weir.timeout, 5, weir.map, counter(math.huge, {}), function() weir.sleep(1) end)
    assert.equal("weir.timeout: timed out after 5.0 s (in weir.map)", err.message)
    helper.elapsed(5, start)
  end))

  it("does not change its source", helper.virtual(function()
    local source = { 1, 2, 3 }
    weir.map(source, function() end)
    assert.same({ 1, 2, 3 }, source)
  end))

  it("gives everything back wherever a cancel comes", function()
    helper.cancel_everywhere(function()
      weir.map({ 1, 2, 3, 4, 5 }, function(x) weir.sleep(x / 2) return x end, { limit = 2 })
      local n = 0
      weir.map(function()
        weir.sleep(0.5)
        n = n + 1
        return n <= 3 and n or nil
      end, function(x) weir.sleep(x) end, { limit = 2, on_error = "collect" })
    end)
  end)

  it("gives everything back whichever allocation fails", function()
    helper.fail_allocations(function()
      weir.map({ 1, 2, 3, 4 }, function(x) weir.sleep(x) end, { limit = 2 })
    end)
  end)

  it("handles many items in bounded memory", helper.virtual(function()
    local log, sum = {}, 0
    weir.each(counter(20000, log), function(x) sum = sum + x end, { limit = 16 })
    assert.equal(20000 * 20001 // 2, sum)
  end))

  it("comes to the same under every schedule", function()
    helper.explore(function()
      local r = weir.map({ 1, 2, 3 }, function(x) weir.checkpoint() return x end, { limit = 2 })
      assert.same({ 1, 2, 3, n = 3 }, r)
    end, 100000)
  end)
end)

describe("weir.each", function()
  it("calls the function for every item with its index", helper.virtual(function()
    local got = {}
    weir.each({ "a", "b", "c" }, function(item, i) weir.sleep(1) got[i] = item end, { limit = 2 })
    assert.same({ "a", "b", "c" }, got)
  end))

  it("raises the first failure", helper.virtual(function()
    local mine = {}
    local ok, err = pcall(weir.each, { 1, 2 }, function() error(mine) end)
    assert.is_false(ok)
    assert.equal(mine, err)
  end))

  it("holds its limit", helper.virtual(function()
    local start = weir.now()
    weir.each({ 1, 1, 1, 1 }, weir.sleep, { limit = 2 })
    helper.elapsed(2, start)
  end))
end)
