-- deadlock_random_spec.lua - random programs of nested holds: deadlock is raised where there is one, and only there.
--
-- A program is a tree. It runs twice: as it is, and with a far timeout on every wait for a
-- permit or a task, which is a waker, so that nothing is ever a deadlock. There is one if and
-- only if that far timeout was needed. It has to be found in the cycle, at once: that nothing
-- at all moves any more, which the root would be told, must never be what brings it to light.

local core = require "weir.core"
local helper = require "support.helper"
local weir = require "weir"

local PROGRAMS <const> = tonumber(os.getenv("WEIR_SOAK") or "") or 200
local FAR <const> = 1e6

local kinds <const> = { "sleep", "sleep", "sleep", "hold", "hold_n", "other", "scope", "all", "await", "fork", "job" }

local function generate(random, depth)
  local body = {}
  for i = 1, random(1, 3) do
    local node = { kind = kinds[random(1, #kinds)], n = random(0, 3), first = {}, second = {} }
    if depth > 0 then
      node.first, node.second = generate(random, depth - 1), generate(random, depth - 1)
    end
    body[i] = node
  end
  return body
end

-- Run the program; gives the record of the run and whether a deadlock was raised in it.
local function run(program, timeout)
  local found = false
  local r = core.simulator { plan = "fifo" }:run(function()
    local sem, other = weir.semaphore(program.capacity), weir.semaphore(1)
    local limit = weir.limit(program.capacity)
    local within

    local function hold(of, weight, body)
      local permit <close> = of:acquire(weight, { timeout = timeout })
      assert(permit)
      within(body)
    end

    local actions = {
      sleep = function(node) weir.sleep(node.n) end,
      hold = function(node) hold(sem, 1, node.first) end,
      hold_n = function(node) hold(sem, math.min(program.capacity, 1 + node.n), node.first) end,
      other = function(node) hold(other, 1, node.first) end,
      scope = function(node)
        weir.scope(function(s)
          s:spawn(within, node.first)
          within(node.second)
        end)
      end,
      all = function(node) weir.all { function() within(node.first) end, function() within(node.second) end } end,
      await = function(node)
        local t = weir.spawn(within, node.first)
        within(node.second)
        t:await(timeout)
      end,
      fork = function(node)
        weir.spawn(within, node.first)
        within(node.second)
      end,
      job = function(node) limit(within, node.first):await(timeout) end,
    }

    function within(body)
      for _, node in ipairs(body) do actions[node.kind](node) end
    end

    local tasks = {}
    for i, body in ipairs(program) do
      tasks[i] = function() within(body) end
    end
    for _, outcome in ipairs(weir.settle(tasks)) do
      found = found or not outcome.ok and weir.kind(outcome.error) == "deadlock"
    end
  end)
  return r, found
end

describe("random programs of nested holds", function()
  it("get deadlock where there is one, in its cycle, and only there", function()
    local with_one, without = 0, 0
    for i = 1, PROGRAMS do
      local seed = helper.seed + i
      local random = helper.random(seed)
      local program = { capacity = random(1, 3) }
      for k = 1, random(2, 4) do program[k] = generate(random, 2) end

      local r, found = run(program)
      local what = ("WEIR_SEED=%d: "):format(seed - 1)
      assert.is_true(r.ok, what .. tostring(r.error))
      assert.is_nil(r.left, what .. tostring(r.left))
      local far = run(program, FAR)
      assert.equal(far.time >= FAR, found, what .. "there is a deadlock, and it was raised")
      with_one, without = with_one + (found and 1 or 0), without + (found and 0 or 1)
    end
    helper.figure("programs", PROGRAMS)
    helper.figure("deadlocks", with_one)
    assert.is_true(PROGRAMS < 100 or with_one > 0 and without > 0)
  end)
end)
