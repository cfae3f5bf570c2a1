-- weir.test.fault - functions that go wrong as the world does: failing, slow, silent.
--
-- Each takes the place of a function that the code under test calls. What is left to chance comes from the
-- run's seed, and what is left to choice is a choice like those of order: `explore` draws it, or tries all.
-- Beside the function comes a table that counts, for assertions.

local core <const> = require "weir.core"

local fault <const> = {}

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

local known <const> = { times = true, every = true, chance = true, choose = true, error = true, late = true }

-- The function (number of the call) -> does it fail?
local function decide(opts, op)
  local given, decision = 0, nil
  if opts.times ~= nil then
    local n <const> = core.check_count(opts.times, op, "times")
    given, decision = given + 1, function(call) return call <= n end
  end
  if opts.every ~= nil then
    local n <const> = core.check_count(opts.every, op, "every")
    given, decision = given + 1, function(call) return call % n == 0 end
  end
  if opts.chance ~= nil then
    local p <const> = opts.chance
    if type(p) ~= "number" or not (p >= 0 and p <= 1) then core.expected(op, "chance", "a number from 0 to 1", p) end
    given, decision = given + 1, function() return core.random() < p end
  end
  if opts.choose ~= nil then
    if opts.choose ~= true then core.expected(op, "choose", "true", opts.choose) end
    given, decision = given + 1, function() return core.choose(2) == 2 end
  end
  if given ~= 1 then core.misuse(op, "one of the options times, every, chance and choose is needed, got %d", given) end
  return decision
end

--- A function that calls `fn` and sometimes fails instead.
---@generic F: function
---@param fn F
---@param opts weir.FlakyOpts
---@return F
---@return weir.FlakySeen seen
function fault.flaky(fn, opts)
  local op <const> = "weir.test.flaky"
  core.check_function(fn, op, "fn")
  core.check_options(opts, op, known)
  local fails <const> = decide(opts, op)
  local seen <const> = { calls = 0, failures = 0 }
  return function(...)
    seen.calls = seen.calls + 1
    local call <const> = seen.calls
    if not fails(call) then return fn(...) end
    seen.failures = seen.failures + 1
    if opts.late then fn(...) end
    if opts.error ~= nil then error(opts.error, 0) end
    error(core.error("network", op, ("call %d fails, as the test asked"):format(call)), 0)
  end, seen
end

--- A function that waits before it calls `fn`.
---@generic F: function
---@param fn F
---@param delay number|fun(...): number seconds, or what gives them, called with the arguments
---@return F
function fault.slow(fn, delay)
  local op <const> = "weir.test.slow"
  core.check_function(fn, op, "fn")
  if type(delay) ~= "function" then core.check_seconds(delay, op, "delay") end
  return function(...)
    core.sleep(type(delay) == "function" and delay(...) or delay)
    return fn(...)
  end
end

---@class weir.HangingSeen
---@field calls integer
---@field waiting integer who hang in it now
---@field given_up integer whose wait was cancelled, or ran out of time

--- A function that never returns. It can be cancelled; if nothing could do so any more, the run fails with
--- a `deadlock` that names it.
---@return async fun(...) hang
---@return weir.HangingSeen seen
function fault.hanging()
  local seen <const> = { calls = 0, waiting = 0, given_up = 0 }
  local meta <const> = { __close = function()
    seen.waiting, seen.given_up = seen.waiting - 1, seen.given_up + 1
  end }
  return function()
    seen.calls, seen.waiting = seen.calls + 1, seen.waiting + 1
    local _ <close> = setmetatable({}, meta)
    core.await(function() end)
  end, seen
end

---@class weir.SilentSeen
---@field calls integer
---@field closed integer of these, given up by who waited

--- A function in the callback style (the callback is the last argument) that never calls it. It returns
--- something closable, as `weir.await` and `weir.wrap` take it.
---@return fun(...): { close: fun() } call
---@return weir.SilentSeen seen
function fault.silent()
  local seen <const> = { calls = 0, closed = 0 }
  return function(...)
    local n <const> = select("#", ...)
    core.check_function(n > 0 and select(n, ...) or nil, "weir.test.silent", "callback")
    seen.calls = seen.calls + 1
    local open = true
    return { close = function()
      if open then open, seen.closed = false, seen.closed + 1 end
    end }
  end, seen
end

return fault
