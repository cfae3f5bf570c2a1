-- types/weir/batch.lua - the annotations of bindings/weir/batch.lua, taken out by tools/types.lua; do not edit.
---@meta _

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

---@class weir.Batch
local Batch = {}

--- The values of several keys, in the order of `keys`; the first error is raised, or all are given by
--- index as a second result if `on_error` is "collect".
---@async
---@param keys any[] with n, or without holes
---@param options? { timeout?: number, on_error?: "cancel"|"collect" }
---@return table values by index, with n
---@return table|nil errors
function Batch:load_many(keys, options) end

---@class weir
local weir = {}

--- Gather keys that are asked for one by one, and answer them by one call of `fn(keys)`, which returns
--- an array of values in their order (with `n` where some may be nil), or values and errors by index.
---@param fn async fun(keys: any[]): table, table?
---@param options? weir.BatchOpts
---@return weir.Batch
function weir.batch(fn, options) end
