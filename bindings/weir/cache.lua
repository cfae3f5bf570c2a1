-- weir.cache - what is slow to load, kept: the Lua half.
--
-- weir.core makes the cache and does all that is done a million times; here are the calls for
-- several keys, which wait for many flights and are closed whatever comes, and the types.
-- docs/cache.md describes all of it.

local core <const> = require "weir.core"

local methods <const> = core.methods.cache

---@alias weir.CacheKey string|number|boolean

---@class (exact) weir.CacheOpts
---@field ttl? number seconds from the end of its load that a value is fresh; 60; 0 keeps nothing
---@field stale? number seconds after ttl that it is still answered, and loaded anew behind; 0
---@field stale_if_error? number seconds after ttl that it is answered if the load fails; 0
---@field negative_ttl? number seconds that errors and nil are kept; 0
---@field jitter? number ttl is shortened by up to this share, by chance; 0
---@field early? number load anew before ttl is over, by chance (XFetch); 0 is never, 1 usual
---@field max? integer|number entries; 10,000; math.huge for no bound
---@field max_bytes? integer|number bytes of keys, values and records; no bound
---@field max_waiting? integer|number callers that may wait for loads; no bound
---@field size? fun(value: any, key: weir.CacheKey): number bytes of a value; strings are measured without
---@field load? async fun(key: weir.CacheKey, ...): any, weir.CacheKeep? used where a call brings none
---@field name? string what errors, reports and stats call it

---@class (exact) weir.CacheKeep
---@field ttl? number seconds, in place of the cache's own; 0: do not keep it
---@field tags? string|string[] delete_tag(tag) deletes it
---@field size? number bytes
---@field stale? boolean false: never answered past its ttl, whatever the cache's stale and stale_if_error say

---@class weir.Cache
---@field count integer entries
---@field bytes integer
---@field loading integer loads under way
---@field waiting integer callers
---@field name? string
---@field get async fun(self: weir.Cache, key: weir.CacheKey, ...): any
---@field get_with async fun(self: weir.Cache, options: { timeout?: number }, key: weir.CacheKey, ...): any
---@field refresh async fun(self: weir.Cache, key: weir.CacheKey, ...): any
---@field peek fun(self: weir.Cache, key: weir.CacheKey): any, boolean the value if it is fresh; is it there?
---@field set fun(self: weir.Cache, key: weir.CacheKey, value: any, keep?: weir.CacheKeep): boolean, string?
---@field delete fun(self: weir.Cache, key: weir.CacheKey): boolean
---@field delete_tag fun(self: weir.Cache, tag: string): integer
---@field clear fun(self: weir.Cache)
---@field close fun(self: weir.Cache, reason?: any)
---@field stats fun(self: weir.Cache): weir.CacheStats

---@class weir.CacheStats
---@field name? string
---@field count integer entries now
---@field bytes integer
---@field loading integer loads under way
---@field waiting integer callers
---@field hits integer
---@field stale integer answered though past ttl
---@field negative integer answered with an error or nil that is kept
---@field misses integer had to wait
---@field joined integer of these, for a load that was under way
---@field loads integer begun
---@field refreshes integer of these, behind an answer
---@field early integer of these, before ttl was over
---@field failures integer
---@field refresh_failures integer of these, behind an answer
---@field abandoned integer loads that everybody left
---@field discarded integer loads that a set, delete or clear overtook
---@field evicted integer
---@field expired integer
---@field deleted integer
---@field rejects { timeout: integer, cancelled: integer, closed: integer, overload: integer }
---@field load table seconds of a load: count mean max p50 p95 p99
---@field last_error any of a load

--- The values of several keys. What is there is taken, what others load is waited for, and what is
--- missing is loaded by one call: `loader(missing, ...)` gets an array of keys and returns an array
--- of values (with `n` where some may be nil), or values and errors by index, and what is said of
--- them all, as the loader of one key.
---@async
---@param keys weir.CacheKey[]
---@param loader async fun(missing: weir.CacheKey[], ...): table, table?, weir.CacheKeep?
---@return table values by index, with n
function methods:get_many(keys, loader, ...)
  core.check_self(self, "weir.cache", "cache:get_many")
  local flights <close> = core.cache_many(self, keys, false, loader, ...)
  local values <const> = flights:wait()
  return values
end

local known <const> = { timeout = true, on_error = true }

--- The same with a timeout, or with errors by index as a second result instead of raising the first.
---@async
---@param options { timeout?: number, on_error?: "cancel"|"collect" }
---@param keys weir.CacheKey[]
---@param loader async fun(missing: weir.CacheKey[], ...): table, table?, weir.CacheKeep?
---@return table values
---@return table|nil errors
function methods:get_many_with(options, keys, loader, ...)
  local op <const> = "cache:get_many_with"
  core.check_self(self, "weir.cache", op)
  core.check_options(options, op, known)
  local timeout <const>, on_error <const> = options.timeout, options.on_error or "cancel"
  core.check_seconds(timeout, op, "timeout", math.huge)
  if on_error ~= "cancel" and on_error ~= "collect" then
    core.expected(op, "on_error", '"cancel" or "collect"', on_error)
  end
  local flights <close> = core.cache_many(self, keys, on_error == "collect", loader, ...)
  return flights:wait(timeout)
end

return core.cache --[[@as fun(options?: weir.CacheOpts): weir.Cache]]
