-- weir.batch - single requests gathered into one call: the Lua half.
--
-- weir.core gathers, flushes and answers; here are the options, the call for several keys, and the
-- types. docs/batch.md describes all of it.

local core <const> = require "weir.core"

local methods <const> = core.methods.batch

local OP <const> = "weir.batch"

---@class (exact) weir.BatchOpts
---@field max? integer|number keys of one call at most; 100, math.huge for no bound
---@field delay? number seconds that the first key of a call waits at most for others; 0.01
---@field quiet? boolean call as soon as nobody is ready to add more; true
---@field limit? integer|number calls under way at once; 64; math.huge for no bound
---@field max_waiting? integer|number keys not yet asked for that may wait; no bound
---@field key? fun(key: any): any what tells a key from others, if not the key itself; must not wait
---@field name? string what errors, reports and stats call it

---@class weir.Batch
---@field waiting integer keys not yet asked for
---@field flying integer calls under way
---@field name? string
---@field flush fun(self: weir.Batch) call now with what there is
---@field close fun(self: weir.Batch, reason?: any)
---@field drain async fun(self: weir.Batch, timeout?: number)
---@field stats fun(self: weir.Batch): weir.BatchStats
---@overload async fun(key: any): any

---@class weir.BatchStats
---@field waiting integer keys not yet asked for
---@field queued integer full groups that wait for one under way to end
---@field flying integer
---@field requests integer keys, ever; equal ones of a group are one
---@field joined integer callers who found their key in the group
---@field dropped integer keys that everybody left before their call
---@field groups integer calls
---@field by_size integer groups that were full
---@field by_delay integer
---@field by_quiet integer
---@field by_flush integer
---@field failures integer keys that failed
---@field rejects { timeout: integer, cancelled: integer, closed: integer, overload: integer }
---@field wait table seconds until the call: count mean max p50 p95 p99
---@field flight table seconds of a call
---@field size table keys of a call: count mean max
---@field name? string

local known <const> = {
  max = true, delay = true, quiet = true, limit = true, max_waiting = true, key = true, name = true,
}

--- The values of several keys, in the order of `keys`; the first error is raised, or all are given by
--- index as a second result if `on_error` is "collect".
---@async
---@param keys any[] with n, or without holes
---@param options? { timeout?: number, on_error?: "cancel"|"collect" }
---@return table values by index, with n
---@return table|nil errors
function methods:load_many(keys, options)
  local op <const> = "batch:load_many"
  local collect, timeout = false, nil
  if options ~= nil then
    core.check_options(options, op, { timeout = true, on_error = true })
    timeout = options.timeout
    core.check_seconds(timeout, op, "timeout", math.huge)
    collect = options.on_error == "collect"
    if not collect and options.on_error ~= nil and options.on_error ~= "cancel" then
      core.expected(op, "on_error", '"cancel" or "collect"', options.on_error)
    end
  end
  local flights <close> = core.batch_many(self, keys, collect)
  return flights:wait(timeout)
end

--- Gather keys that are asked for one by one, and answer them by one call of `fn(keys)`, which returns
--- an array of values in their order (with `n` where some may be nil), or values and errors by index.
---@param fn async fun(keys: any[]): table, table?
---@param options? weir.BatchOpts
---@return weir.Batch
local function batch(fn, options)
  core.check_function(fn, OP, "fn")
  options = options or {}
  core.check_options(options, OP, known)
  local quiet <const>, name <const>, key <const> = options.quiet, options.name, options.key
  if quiet ~= nil and type(quiet) ~= "boolean" then
    core.expected(OP, "quiet", "a boolean", quiet)
  elseif name ~= nil and type(name) ~= "string" then
    core.expected(OP, "name", "a string", name)
  elseif key ~= nil then
    core.check_function(key, OP, "key")
  end
  local delay <const> = core.check_seconds(options.delay, OP, "delay", 0.01)
  if quiet == false and (delay == 0 or delay == math.huge) then
    core.misuse(OP, "with quiet=false a delay is needed, more than 0 and finite")
  end
  return core.batch(fn, core.check_count(options.max, OP, "max", 100, true), delay, quiet ~= false,
    core.check_count(options.limit, OP, "limit", 64, true),
    core.check_count(options.max_waiting, OP, "max_waiting", math.huge, true), name, key)
end

return batch
