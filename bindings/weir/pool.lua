-- weir.pool - resources that are slow to make, lent and taken back: the Lua half.
--
-- weir.core makes the pool and does what needs C; here is what a pool says of its own size, in
-- terms of weir.queueing, and the types. docs/pool.md describes all of it.

local core <const> = require "weir.core"

local pool <const> = core.methods.pool

---@class weir.PoolOpts
---@field create async fun(): any makes a resource: any value but nil and false. May wait
---@field destroy? async fun(value: any) ends one
---@field check? async fun(value: any): any is it still good? An error, nil and false say no
---@field max? integer resources at most, in whatever state; 10
---@field min? integer resources made ahead and made anew; 0
---@field name? string what errors, reports and stats call it
---@field order? "lifo"|"fifo" lend the one used last, or the one idle longest; "lifo"
---@field acquire_timeout? number seconds that a caller waits at most; 30
---@field create_timeout? number 10
---@field check_timeout? number 5
---@field destroy_timeout? number 5
---@field idle_timeout? number seconds after which what is idle beyond `min` is destroyed; 60
---@field max_lifetime? number seconds after which a resource is destroyed; 3600
---@field jitter? number share of lifetime and keep_alive taken off by chance; 0.025
---@field max_uses? integer loans of one resource; no bound
---@field check_idle? number check before a loan what was idle longer; 0.5; 0 is always
---@field keep_alive? number check what has been idle so long; never
---@field dial_stagger? number seconds between two creates while one is on its way; 0.03
---@field max_dials? integer creates at once; 8
---@field open_after? integer failed creates in a row that open the pool; 3; 0 is never
---@field backoff? number seconds before the next create after a failed one, doubled each time; 0.1
---@field max_backoff? number 10
---@field max_waiting? integer callers that may wait; no bound
---@field shed? number refuse callers from this share of `max` on loan on; never
---@field leak_after? number report a lease held longer; never
---@field on_leak? async fun(leak: weir.PoolLeak) gets the report instead of standard error

---@class weir.PoolLeak
---@field holder string the task that holds the lease
---@field acquired_at string "file:line"
---@field since number on the clock of weir.now()
---@field held number seconds
---@field value any
---@field name? string of the pool

---@class weir.Pool
---@field max integer
---@field min integer
---@field idle integer
---@field active integer on loan
---@field connecting integer
---@field waiting integer callers
---@field total integer
---@field name? string
---@field acquire async fun(self: weir.Pool, options?: { timeout?: number }): weir.Lease
---@field try_acquire fun(self: weir.Pool): weir.Lease|false, string? "busy", "closed", "open" or "overload"
---@field with async fun(self: weir.Pool, fn: (async fun(value: any, ...): ...), ...): ... what fn returns
---@field resize fun(self: weir.Pool, bounds: { min?: integer, max?: integer })
---@field evict fun(self: weir.Pool) destroys what there is
---@field close fun(self: weir.Pool, reason?: any) does not wait; `local p <close>` does
---@field drain async fun(self: weir.Pool, timeout?: number)
---@field is_idle fun(self: weir.Pool): boolean nothing on loan, nobody waits

---@class weir.Lease
---@field value any what is lent; while it is held
---@field held boolean
---@field release fun(self: weir.Lease)
---@field discard fun(self: weir.Lease) it is broken: destroy it
---@field transfer fun(self: weir.Lease, task: weir.Task)

local ENOUGH <const> = 0.05 -- of those who come may have to wait

-- How many resources the load so far would need so that 19 of 20 callers find one free. nil where
-- nothing was measured, or nothing that any size would serve.
local function suggest(stats)
  local came = stats.grants
  for _, n in pairs(stats.rejects) do came = came + n end
  if stats.age <= 0 or stats.hold.count == 0 or stats.hold.mean <= 0 then return nil end
  local ok, servers = pcall(core.queueing.servers, {
    rate = came / stats.age, service = stats.hold.mean, target_probability = ENOUGH,
  })
  return ok and servers or nil
end

local raw_stats <const> = pool.stats

---@class weir.PoolStats
---@field name? string
---@field max integer
---@field min integer
---@field idle integer
---@field active integer on loan
---@field held integer the same
---@field connecting integer
---@field checking integer
---@field closing integer
---@field total integer
---@field waiting integer callers
---@field open boolean refuses callers until a create succeeds
---@field grants integer
---@field queued integer grants and refusals that waited
---@field rejects table<string, integer> by kind
---@field created integer
---@field create_failures integer
---@field create_timeouts integer
---@field checks integer
---@field check_failures integer
---@field destroyed integer
---@field elided integer creates not begun because the need was gone
---@field leaks integer
---@field evicted table<string, integer> by cause
---@field wait table
---@field hold table
---@field create table
---@field age number seconds counted
---@field suggested? integer size at which 19 of 20 callers would find one free

--- What is seen of the pool now, a snapshot.
---@return weir.PoolStats
function pool:stats()
  core.check_self(self, "weir.pool", "pool:stats")
  local stats <const> = raw_stats(self)
  stats.suggested = suggest(stats)
  return stats
end

return core.pool
