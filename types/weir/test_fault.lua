-- types/weir/test_fault.lua - the annotations of bindings/weir/test/fault.lua, taken out by tools/types.lua; do not edit.
---@meta _

---@class (exact) weir.FlakyOpts
---@field times? integer the first so many calls fail
---@field every? integer each so-manieth call fails
---@field chance? number each call fails with this probability, from the seed
---@field choose? boolean each call fails or not: `explore` tries both; without it none fails
---@field error? any what is raised; a weir error of kind "network" unless given
---@field late? boolean fail after the call, whose answer is lost: the work was done

---@class weir.FlakySeen
---@field calls integer
---@field failures integer

---@class weir.test
local test = {}

--- A function that calls `fn` and sometimes fails instead.
---@generic F: function
---@param fn F
---@param opts weir.FlakyOpts
---@return F
---@return weir.FlakySeen seen
function test.flaky(fn, opts) end

--- A function that waits before it calls `fn`.
---@generic F: function
---@param fn F
---@param delay number|fun(...): number seconds, or what gives them, called with the arguments
---@return F
function test.slow(fn, delay) end

---@class weir.HangingSeen
---@field calls integer
---@field waiting integer who hang in it now
---@field given_up integer whose wait was cancelled, or ran out of time

--- A function that never returns. It can be cancelled; if nothing could do so any more, the run fails with
--- a `deadlock` that names it.
---@return async fun(...) hang
---@return weir.HangingSeen seen
function test.hanging() end

---@class weir.SilentSeen
---@field calls integer
---@field closed integer of these, given up by who waited

--- A function in the callback style (the callback is the last argument) that never calls it. It returns
--- something closable, as `weir.await` and `weir.wrap` take it.
---@return fun(...): { close: fun() } call
---@return weir.SilentSeen seen
function test.silent() end
