-- types/weir/map.lua - the annotations of bindings/weir/map.lua, taken out by tools/types.lua; do not edit.
---@meta _

---@class weir
local weir = {}

---@class (exact) weir.MapOpts
---@field limit? integer|number jobs at once, 64 unless given; math.huge for no limit (not for limit:map)
---@field ordered? boolean false: results in the order in which the jobs ended
---@field on_error? "cancel"|"collect" collect: all jobs run, and the errors are returned
---@field progress? true|weir.Progress show how far it is

--- Call `fn(item, index)` for each item of `source`, so many at once. `source` is an array, a
--- function that gives the next item or nil, or something to receive from. Returns the first
--- values in the order of the source; with on_error = "collect" also the errors by index, with
--- `n` their number, or nil if there were none.
---@async
---@param source any[]|fun(): any
---@param fn async fun(item: any, index: integer): any
---@param options? weir.MapOpts
---@return { n: integer, [integer]: any } results
---@return { n: integer, [integer]: any }? errors
function weir.map(source, fn, options) end

--- As map, without results: for a source without end. Returns the errors alone.
---@async
---@param source any[]|fun(): any
---@param fn async fun(item: any, index: integer)
---@param options? weir.MapOpts
---@return { n: integer, [integer]: any }? errors
function weir.each(source, fn, options) end

---@class weir.Limit
local Limit = {}

--- As weir.map, each job in a slot of the limit, which others may use at the same time.
---@async
---@param source any[]|fun(): any
---@param fn async fun(item: any, index: integer): any
---@param options? weir.MapOpts
---@return { n: integer, [integer]: any } results
---@return { n: integer, [integer]: any }? errors
function Limit:map(source, fn, options) end

--- As weir.each, each job in a slot of the limit.
---@async
---@param source any[]|fun(): any
---@param fn async fun(item: any, index: integer)
---@param options? weir.MapOpts
---@return { n: integer, [integer]: any }? errors
function Limit:each(source, fn, options) end
