-- pool_random_spec.lua - random programs over a pool, under random orders: what always holds of it.
--
-- A resource is lent to one at a time; no more than max exist; who waits is served or told why; with the last
-- user gone nothing is left. Counters add up: every request ends in one way, every resource has one end.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

local function check_now(s, pool, lent)
  local stats = pool:stats()
  local sum = stats.idle + stats.active + stats.connecting + stats.checking + stats.closing
  assert.equal(sum, stats.total)
  assert.is_true(stats.total <= math.max(stats.max, lent.max), "more than max")
  lent.max = math.max(stats.max, math.min(lent.max, stats.total)) -- after a shrink it only falls
  local n = 0
  for _ in pairs(lent.by) do n = n + 1 end
  assert.is_true(n <= stats.active)
  assert.is_true(s.open <= stats.total + s.dialling)
end

local function borrow(pool, lent, random, connection)
  assert.is_true(connection.open)
  assert.is_nil(lent.by[connection], "lent twice")
  local _ <close> = helper.closing(function() lent.by[connection] = nil end)
  lent.by[connection] = true
  weir.sleep(random(0, 30) / 100)
  assert.is_true(connection.open)
  if random(1, 10) == 1 then error("oops", 0) end
  return pool.active
end

local user_acts = {
  function(pool, lent, random) pool:with(function(c) return borrow(pool, lent, random, c) end) end,
  function(pool, lent, random)
    local lease <close> = pool:acquire { timeout = random(0, 50) / 100 }
    borrow(pool, lent, random, lease.value)
  end,
  function(pool, lent, random)
    local lease = pool:acquire()
    local ok, err = pcall(borrow, pool, lent, random, lease.value)
    if not ok or random(1, 4) == 1 then lease:discard() else lease:release() end
    if not ok then error(err, 0) end
  end,
  function(pool, lent, random)
    local lease = pool:try_acquire()
    if lease then
      local heir = weir.spawn(pcall, function()
        local _ <close> = lease
        weir.checkpoint()
        borrow(pool, lent, random, lease.value)
      end)
      lease:transfer(heir)
      heir:await()
    end
  end,
}

local owner_acts = {
  function(pool, _, random) local min = random(0, 2) pool:resize { min = min, max = random(math.max(min, 1), 4) } end,
  function(pool) pool:evict() end,
  function(_, s, random) s.refuses = random(1, 3) == 1 and "refused" or nil end,
  function(_, s) s.sick = setmetatable({}, { __index = function(_, c) return c.id % 3 == 0 end }) end,
  function(_, s) s.sick = {} end,
}

local expected = { timeout = true, open = true, overload = true, closed = true, cancelled = true }

local function program(random)
  local s = server { create = random(0, 10) / 100, check = random(0, 5) / 100, destroy = random(0, 10) / 100 }
  local pool = s:pool {
    max = random(1, 4), min = random(0, 1), check = random(1, 2) == 1 or nil, acquire_timeout = 2,
    order = random(1, 2) == 1 and "lifo" or "fifo", max_uses = random(1, 20), max_lifetime = random(1, 40) / 10,
    idle_timeout = random(1, 20) / 10, max_waiting = random(2, 20), open_after = random(0, 3), backoff = 0.05,
    max_backoff = 0.4, create_timeout = random(5, 50) / 100, dial_stagger = random(0, 3) / 100,
    leak_after = random(1, 3) / 10, on_leak = function() end, shed = random(1, 3) == 1 and 0.9 or nil,
  }
  local lent = { by = {}, max = pool.max }
  local asked = 0
  weir.on_unhandled(function() return true end)
  weir.scope(function(scope)
    for _ = 1, random(2, 6) do
      scope:spawn(function()
        for _ = 1, random(1, 6) do
          asked = asked + 1
          local t = weir.spawn(pcall, user_acts[random(1, #user_acts)], pool, lent, random)
          if random(1, 8) == 1 then
            weir.sleep(random(0, 20) / 100)
            t:cancel()
          end
          local ran, ok, err = t:pawait()
          if ran and not ok and err ~= "oops" and err ~= "refused" then
            assert.is_true(expected[weir.kind(err)], tostring(err))
          end
          check_now(s, pool, lent)
        end
      end)
    end
    scope:spawn(function()
      for _ = 1, random(0, 6) do
        weir.sleep(random(0, 40) / 100)
        owner_acts[random(1, #owner_acts)](pool, s, random)
        lent.max = math.max(lent.max, pool.total)
        check_now(s, pool, lent)
      end
    end)
  end)
  assert.equal(0, pool.active)
  assert.equal(0, pool.waiting)
  if random(1, 2) == 1 then pool:drain() else pool:close() weir.sleep(20) end
  local stats = pool:stats()
  assert.equal(0, stats.total)
  assert.equal(0, s.open)
  assert.equal(0, s.dialling)
  assert.equal(stats.created, stats.destroyed)
  assert.equal(s.made, stats.created)
  local ended = 0
  for _, n in pairs(stats.evicted) do ended = ended + n end
  assert.equal(stats.destroyed, ended)
  assert.is_true(stats.grants >= stats.hold.count, "those taken back by a cancel are no loans")
  local answered = stats.grants
  for _, n in pairs(stats.rejects) do answered = answered + n end
  assert.is_true(answered <= asked, "more answers than requests")
end

describe("weir.pool", function()
  it("keeps its promises in random programs under random orders", function()
    for seed = helper.seed, helper.seed + 299 do
      local random = helper.random(seed)
      local ok, err = pcall(helper.run, function() program(random) end, { plan = "seed", seed = seed })
      if not ok then error(("WEIR_SEED=%d: %s"):format(seed, tostring(err)), 0) end
    end
    helper.figure("programs", 300)
  end)
end)
