-- types/weir/test.lua - the annotations of bindings/weir/test.lua, taken out by tools/types.lua; do not edit.
---@meta weir.test

---@class weir.test
local test = {}

--- Run `fn` as the main task of a fresh runtime on virtual time and return its values.
--- What it raises is raised unchanged. If it returns, a text is raised where a task leaked a permit or a
--- lease, a detached task failed or was left without anybody to wake it, or something was left behind.
---
---     local elapsed = weir.test.run(function()
---       local start = weir.now()
---       weir.sleep(3600)
---       return weir.now() - start     --> 3600, at once
---     end)
---
---@param fn async fun(): ...
---@param opts? weir.TestOpts
---@return any ... what `fn` returned
function test.run(fn, opts) end

--- Run `fn` under `n` seeded schedules, or under every schedule there is if `n` is math.huge
--- (for small programs). Stops at the first that fails, as `run` would, and raises a text that says which
--- it was and how to have it again.
---@param n integer|number how many schedules; math.huge for all
---@param fn async fun()
---@param opts? weir.TestOpts `seed` is the first of the seeds (1 unless given)
---@return integer n how many schedules were run
function test.explore(n, fn, opts) end

---@class (exact) weir.WrapOpts: weir.TestOpts
---@field explore? integer|number run it under so many schedules; math.huge for all

--- The body of an `it` that is one run on virtual time, or many: `it("...", test.wrap(function() ... end))`.
--- Assertions may stand in any of its tasks.
---@param fn async fun()
---@param opts? weir.WrapOpts
---@return fun()
function test.wrap(fn, opts) end

--- One of 1 .. n, by choice: the first in order "fifo", drawn under a seed, and under `explore(math.huge, ...)`
--- every one in turn. For faults of your own.
---@param n integer
---@return integer
function test.choose(n) end

--- A number from 0 up to 1, by the chance of the run: the same seed, the same numbers.
---@return number
function test.random() end

return test
