-- spawn_spec.lua - how tasks start.

local helper = require "support.helper"
local weir = require "weir"

describe("weir.spawn", function()
  it("does not run the task before the spawner waits", helper.virtual(function()
    local ran = false
    weir.spawn(function() ran = true end)
    assert.is_false(ran)
    weir.checkpoint()
    assert.is_true(ran)
  end))

  it("starts tasks in the order they were spawned", helper.virtual(function()
    local order = {}
    for i = 1, 20 do weir.spawn(function() order[#order + 1] = i end) end
    weir.checkpoint()
    for i = 1, 20 do assert.equal(i, order[i]) end
  end))

  it("passes its arguments on, nils included", helper.virtual(function()
    local got
    weir.spawn(function(...) got = table.pack(...) end, nil, "b", nil):await()
    assert.same({ nil, "b", nil, n = 3 }, got)
  end))

  it("passes many arguments and values on", helper.virtual(function()
    local many = {}
    for i = 1, 5000 do many[i] = i end
    local function same(...) return ... end
    for _, through in ipairs {
      function(...) return weir.spawn(same, ...):await() end,
      function(...) return select(2, weir.spawn(same, ...):pawait()) end,
      function(...) return weir.timeout(1, same, ...) end,
      function(...) return weir.shield(same, ...) end,
      function(...) return weir.semaphore(1):with(same, ...) end,
      function(...) return weir.limit(1)(same, ...):await() end,
      function(...) local args = table.pack(...) return weir.race { function() return table.unpack(args) end } end,
      function(...) local args = table.pack(...) return weir.await(function(f) f(table.unpack(args)) end) end,
    } do
      local got = table.pack(through(table.unpack(many)))
      assert.equal(5000, got.n)
      assert.equal(5000, got[5000])
    end
  end))

  it("takes a function in C that waits", helper.virtual(function()
    local start = weir.now()
    weir.spawn(weir.sleep, 2):await()
    helper.elapsed(2, start)
  end))

  it("lets a task spawn tasks without end", helper.virtual(function()
    local function nest(depth)
      if depth == 0 then return 0 end
      return 1 + weir.spawn(nest, depth - 1):await()
    end
    assert.equal(500, nest(500))
  end))

  it("lets tasks take turns at checkpoints", helper.virtual(function()
    local trace = {}
    weir.scope(function(s)
      for _, name in ipairs { "a", "b" } do
        s:spawn(function()
          for i = 1, 3 do
            trace[#trace + 1] = name .. i
            weir.checkpoint()
          end
        end)
      end
    end)
    assert.equal("a1 b1 a2 b2 a3 b3", table.concat(trace, " "))
  end))
end)

describe("weir.sleep", function()
  it("lasts what it was told, fractions included", helper.virtual(function()
    local start = weir.now()
    weir.sleep(0.25)
    helper.elapsed(0.25, start)
    weir.sleep(1e-6)
    helper.elapsed(0.250001, start)
  end))

  it("of 0 lets the others run", helper.virtual(function()
    local ran = false
    weir.spawn(function() ran = true end)
    weir.sleep(0)
    assert.is_true(ran)
  end))

  it("wakes sleepers in the order of their times", helper.virtual(function()
    local order = {}
    weir.scope(function(s)
      for _, d in ipairs { 3, 1, 2, 0.5 } do
        s:spawn(function() weir.sleep(d) order[#order + 1] = d end)
      end
    end)
    assert.same({ 0.5, 1, 2, 3 }, order)
  end))

  it("wakes those of one time in the order they fell asleep", helper.virtual(function()
    local order = {}
    weir.scope(function(s)
      for i = 1, 10 do
        s:spawn(function() weir.sleep(1) order[#order + 1] = i end)
      end
    end)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, order)
  end))
end)

describe("weir.now", function()
  it("does not move while tasks run", helper.virtual(function()
    local start = weir.now()
    for _ = 1, 10 do weir.checkpoint() end
    assert.equal(start, weir.now())
  end))
end)

describe("weir.run", function()
  it("inside a task is weir.scope", helper.virtual(function()
    local ended = false
    local a, b = weir.run(function()
      weir.spawn(function() weir.sleep(1) ended = true end)
      return 1, 2
    end)
    assert.equal(1, a)
    assert.equal(2, b)
    assert.is_true(ended)
  end))

  it("outside tasks passes arguments and values through", function()
    local out, code = helper.program [[
      local weir = require "weir"
      print(weir.run(function(...) weir.sleep(0) return select("#", ...), ... end, 1, nil, 3))
    ]]
    assert.equal("3\t1\tnil\t3\n", out)
    assert.equal(0, code)
  end)

  it("outside tasks ends after what was spawned in it", function()
    local out = helper.program [[
      local weir = require "weir"
      weir.run(function() weir.spawn(function() weir.sleep(0.001) print "child" end) end)
      print "after"
    ]]
    assert.equal("child\nafter\n", out)
  end)

  it("outside tasks raises what the function raised, unchanged", function()
    local out = helper.program [[
      local weir = require "weir"
      local mine = {}
      local ok, err = pcall(weir.run, function() weir.sleep(0) error(mine) end)
      print(ok, err == mine)
    ]]
    assert.equal("false\ttrue\n", out)
  end)

  it("outside tasks can be called again", function()
    local out = helper.program [[
      local weir = require "weir"
      for i = 1, 3 do weir.run(function() weir.sleep(0) io.write(i, " ") end) end
      pcall(weir.run, error)
      weir.run(function() weir.sleep(0) print "still" end)
    ]]
    assert.equal("1 2 3 still\n", out)
  end)
end)
