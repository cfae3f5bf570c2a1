-- soak_spec.lua - random programs under random schedules: the bounds hold and nothing is left.

local helper = require "support.helper"
local weir = require "weir"

local ROUNDS <const> = tonumber(os.getenv("WEIR_SOAK") or "") or 100

-- One random program over one semaphore and one limit; asserts its bounds as it goes.
local function program(seed)
  local random = helper.random(seed)
  local capacity, slots = random(1, 4), random(1, 4)
  local sem = weir.semaphore(capacity)
  local limit = weir.limit(slots)
  local held, jobs = 0, 0

  local function enter(weight)
    held = held + weight
    assert(held <= capacity, "more held than there are permits")
    local _ <close> = helper.closing(function() held = held - weight end)
    if random(1, 3) > 1 then weir.sleep(random(0, 20) / 10) end
    if random(1, 12) == 1 then error("random failure", 0) end
  end

  local function job()
    jobs = jobs + 1
    assert(jobs <= slots, "more jobs than there are slots")
    local _ <close> = helper.closing(function() jobs = jobs - 1 end)
    weir.sleep(random(0, 10) / 10)
  end

  local function limited() limit(job):pawait() end

  local step
  local steps = {
    function() weir.sleep(random(0, 20) / 10) end,
    function() weir.checkpoint() end,
    function()
      local weight = random(1, capacity)
      sem:with_n(weight, enter, weight)
    end,
    function()
      local weight = random(1, capacity)
      local permit <close> = sem:acquire(weight, { timeout = random(0, 15) / 10 })
      assert(permit)
      enter(weight)
    end,
    function()
      local permit = sem:try_acquire()
      if permit then
        local _ <close> = permit
        enter(1)
      end
    end,
    function() -- holding one and wanting more: a deadlock now and then
      sem:with(function()
        held = held + 1
        local _ <close> = helper.closing(function() held = held - 1 end)
        step(1)
      end)
    end,
    function() -- the same with slots
      limit(function()
        jobs = jobs + 1
        assert(jobs <= slots, "more jobs than there are slots")
        local _ <close> = helper.closing(function() jobs = jobs - 1 end)
        step(1)
      end):pawait()
    end,
    function() weir.timeout(random(0, 20) / 10, step, 1) end,
    function() weir.shield(random(0, 20) / 10, weir.sleep, random(0, 20) / 10) end,
    function() limit(job):pawait(random(0, 30) / 10) end,
    function() weir.race { function() step(1) end, function() weir.sleep(random(0, 10) / 10) end } end,
    function() weir.settle { function() step(1) end, function() step(1) end } end,
    function() weir.all { function() step(1) end, function() weir.sleep(random(0, 10) / 10) limited() end } end,
    function() weir.any { function() step(1) end, function() error("random failure", 0) end } end,
    function()
      weir.quorum(2, { function() step(1) end, function() step(1) end, function() weir.sleep(random(0, 10) / 10) end })
    end,
    function()
      local enough = random(1, 3)
      for i in weir.iter { function() step(1) end, function() step(1) end, function() weir.checkpoint() end } do
        if i == enough then break end
        weir.sleep(random(0, 5) / 10)
      end
    end,
    function()
      local n = 0
      weir.map(function()
        n = n + 1
        if random(1, 4) == 1 then weir.sleep(0.1) end
        return n <= 4 and n or nil
      end, function() step(1) end, { limit = random(1, 3), on_error = random(1, 2) == 1 and "collect" or nil })
    end,
    function() limit:map({ 1, 2, 3 }, job) end,
    function()
      weir.scope({ timeout = random(0, 20) / 10 }, function(s)
        s:spawn(pcall, step, 1)
        if random(1, 2) == 1 then s:spawn(step, 1) end
        if random(1, 3) == 1 then s:cancel("random") end
        s:join()
      end)
    end,
    function()
      weir.await(function(resume)
        local t = weir.spawn(function()
          weir.sleep(random(0, 10) / 10)
          resume()
        end)
        return { close = function() t:cancel() end }
      end)
    end,
    function()
      local _ <close> = helper.closing(function() weir.shield(random(0, 10) / 10, step, 1) end)
      weir.sleep(random(0, 10) / 10)
    end,
    function()
      local t = weir.spawn(pcall, step, 2)
      weir.sleep(random(0, 10) / 10)
      t:cancel("random")
    end,
  }

  function step(depth)
    for _ = 1, depth do
      local ok, err = pcall(steps[random(1, #steps)])
      if not ok and weir.kind(err) == "error" and err ~= "random failure" then error(err, 0) end
      if not ok and weir.kind(err) == "misuse" then error(err, 0) end
    end
  end

  -- The scope itself fails when all is parked with a callback in the cycle, and in no other way.
  local tasks = {}
  local ok, err = pcall(weir.scope, function(s)
    for i = 1, random(2, 8) do tasks[i] = s:spawn(pcall, step, random(1, 8)) end
    for _ = 1, random(0, 4) do
      weir.sleep(random(0, 20) / 10)
      tasks[random(1, #tasks)]:cancel("random")
    end
    for _, outcome in ipairs(s:settle()) do
      if not outcome.ok and weir.kind(outcome.error) ~= "cancelled" then error(outcome.error, 0) end
    end
  end)
  if not ok and weir.kind(err) ~= "deadlock" then error(err, 0) end
  assert(held == 0, "permits still counted as held")
  assert(sem.available == capacity, "permits lost")
  assert(sem.waiting == 0, "waiters left")
  assert(limit.active == 0 and limit.pending == 0, "slots lost")
end

describe("random programs", function()
  it("keep the bounds and leave nothing behind", function()
    for round = 1, ROUNDS do
      local seed = helper.seed + round
      local ok, err = pcall(helper.run, function() program(seed) end, { plan = "seed", seed = seed })
      if not ok then error(("WEIR_SEED=%d: %s"):format(seed - 1, tostring(err)), 0) end
    end
    helper.figure("programs", ROUNDS)
  end)
end)
