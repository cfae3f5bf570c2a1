-- types/weir/fanout.lua - the annotations of bindings/weir/fanout.lua, taken out by tools/types.lua; do not edit.
---@meta _

---@class weir
local weir = {}

--- Run all and return their first values. The first failure cancels the others and is raised.
---@async
---@param list (fun(): any)[]|weir.Task[]
---@return { n: integer, [integer]: any } results
function weir.all(list) end

--- Run all to their ends, whatever those are; never raises for them.
---@async
---@param list (fun(): any)[]|weir.Task[]
---@return { n: integer, [integer]: { ok: boolean, value: any, error: any } } outcomes
function weir.settle(list) end

--- The outcome of the first that ends: its values, or its error raised. The others are cancelled.
---@async
---@param list (fun(): ...)[]|weir.Task[]
---@return any ...
function weir.race(list) end

--- The values of the first that succeeds; the others are cancelled. If all fail, raises
--- `impossible` with the first failure as its cause and the later ones as `others`.
---@async
---@param list (fun(): ...)[]|weir.Task[]
---@return any ...
function weir.any(list) end

--- The first values of the first `n` that succeed, in the order of the list; the others are
--- cancelled. Raises `impossible` as soon as too many failed, as `any` does, or if there never
--- were enough.
---@async
---@param n integer
---@param list (fun(): any)[]|weir.Task[]
---@return { n: integer, [integer]: any } results
function weir.quorum(n, list) end

--- Iterate over outcomes as they come: `for index, ok, value_or_error in weir.iter{...} do`.
--- Leaving the loop cancels and joins the rest, by the loop's closing value. (Lua 5.4.4 does not
--- close it if the loop is left by `break` while a function made inside captures a variable of
--- the loop: the rest goes on, and the function around fails at its end with "attempt to call a
--- nil value (metamethod 'close')". Leave such a loop by `return`, or keep what is captured in a
--- `do ... end` inside it.)
---@param list (fun(): any)[]|weir.Task[]
---@return async fun(): integer?, boolean, any
function weir.iter(list) end
