-- dbpool.scenario - one run of the story: API requests at random times, and at `start` all reports at once.
--
-- Requests arrive whether earlier ones were answered or not, as those of strangers do (Poisson, from
-- a seed, the same in each scenario). Who may have a connection is what the scenarios differ in:
--   shared    everybody waits at one pool, first come first served
--   bulkhead  the same pool, but reports pass a semaphore first
--   separate  the reports have a pool of their own, of the semaphore's size

local weir = require "weir"

local new_record = require "dbpool.record".new

local scenario = {}

local SLICES <const> = 64 -- of the plot, at most

-- Numbers in (0, 1] from a seed: the runs must meet the same traffic.
local function new_random(seed)
  local state = seed
  return function()
    state = state + 0x9E3779B97F4A7C15
    local x = (state ~ (state >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ~ (x >> 27)) * 0x94D049BB133111EB
    return (((x ~ (x >> 31)) >> 11) + 1) / (1 << 53)
  end
end

-- What reports pass, and where they get a connection.
local ways = {}

function ways.shared(pool)
  return function(fn) return pool:with(fn) end
end

function ways.bulkhead(pool, given)
  local semaphore = weir.semaphore { permits = given.bulkhead, name = "reports" }
  return function(fn)
    return semaphore:with(function() return pool:with(fn) end)
  end
end

function ways.separate(_, _, own)
  return function(fn) return own:with(fn) end
end

-- One API request that arrived at `at`.
local function request(pool, given, base, seen, n)
  local at <const> = weir.now()
  local fine, err = pcall(function()
    local lease <close> = pool:acquire { timeout = given.patience }
    base:short(lease.value, n)
  end)
  local kind = not fine and weir.kind(err)
  if kind == "cancelled" then
    error(err, 0)
  end
  local refused <const> = kind == "timeout" or kind == "overload" or kind == "open"
  local what <const> = fine and "served" or refused and "refused" or "failed"
  if what == "failed" then
    seen.problem = seen.problem or tostring(err)
  end
  seen.record:add(at, what, weir.now() - at)
end

local function traffic(scope, pool, given, base, seen)
  local random <const> = new_random(given.seed)
  local at, n = weir.now(), 0
  local stop <const> = at + given.seconds
  while true do
    at = at - math.log(random()) / given.rate
    if at > stop then
      return
    end
    weir.sleep(math.max(0, at - weir.now()))
    n = n + 1
    scope:spawn(request, pool, given, base, seen, n)
  end
end

local function report(way, base, seen, began)
  way(function(db)
    base:long(db)
  end)
  seen.reports_done = seen.reports_done + 1
  seen.reports_end = weir.now() - began
end

---@async
---@param name "shared"|"bulkhead"|"separate"
---@param given table as dbpool.options makes it
---@param base table as dbpool.database makes it
---@return table seen
function scenario.run(name, given, base)
  local pool <close> = base:pool("api", given.pool)
  local own <close> = name == "separate" and base:pool("reports", given.bulkhead) or nil
  local warm <close> = pool:acquire() -- the first dial is not part of the story
  warm:release()
  local seen = { name = name, reports_done = 0, record = new_record(given.seconds / SLICES) }
  local way <const>, began <const> = ways[name](pool, given, own), weir.now()
  weir.scope(function(scope)
    scope:spawn(traffic, scope, pool, given, base, seen)
    weir.sleep(given.start)
    for _ = 1, given.reports do
      scope:spawn(report, way, base, seen, began)
    end
  end)
  seen.seconds = weir.now() - began
  seen.pool = pool:stats()
  return seen
end

return scenario
