-- weir.test - run a function on virtual time, under an order of your choosing, with faults of your choosing.
--
-- Each run gets a runtime of its own: time stands still while a task can go on and jumps to
-- the next timer when none can, so an hour of sleeping takes no time and ends at the same
-- instant every time. Order is first come, first served, or drawn from a seed, or each
-- possible one in turn. A run must give everything back; what it leaves behind is an error.
-- Objects of one run (tasks, semaphores ...) cannot be used in another.

local core <const> = require "weir.core"
local fault <const> = require "weir.test.fault"
local recorder <const> = require "weir.test.recorder"
local run <const> = require "weir.test.run"

---@class weir.test
local test <const> = {
  flaky = fault.flaky,
  slow = fault.slow,
  hanging = fault.hanging,
  silent = fault.silent,
  recorder = recorder.new,
}

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
function test.run(fn, opts)
  core.check_function(fn, "weir.test.run", "fn")
  opts = run.check_options(opts, "weir.test.run")
  local outcome <const> = run.once(run.simulator(opts), fn, opts)
  if outcome.is_ours then error("weir.test.run: " .. outcome.error, 2) end
  if not outcome.ok then error(outcome.error, 0) end
  return table.unpack(outcome.result, 1, outcome.result.n)
end

--- Run `fn` under `n` seeded schedules, or under every schedule there is if `n` is math.huge
--- (for small programs). Stops at the first that fails, as `run` would, and raises a text that says which
--- it was and how to have it again.
---@param n integer|number how many schedules; math.huge for all
---@param fn async fun()
---@param opts? weir.TestOpts `seed` is the first of the seeds (1 unless given)
---@return integer n how many schedules were run
function test.explore(n, fn, opts)
  n = core.check_count(n, "weir.test.explore", "n", nil, true)
  core.check_function(fn, "weir.test.explore", "fn")
  opts = run.check_options(opts, "weir.test.explore")
  local done <const>, outcome <const>, again <const> = run.many(n, fn, opts)
  if outcome then
    error(("weir.test.explore: schedule %d, %s: %s"):format(done, again, tostring(outcome.error)), 2)
  end
  return done
end

-- --- busted --------------------------------------------------------------------------------------

-- An assertion that failed, or `pending`: busted knows them by their metatable.
local function is_busteds(err)
  local meta <const> = debug.getmetatable(err)
  return type(meta) == "table" and (meta.__type == "failure" or meta.__type == "pending")
end

-- "x_spec.lua:12: " for the innermost frame of a traceback that is neither C's nor busted's.
local function position(traceback)
  for file, line in (traceback or ""):gmatch "\n\t([^\n:]+):(%d+): in" do
    if not file:find "/luassert/" and not file:find "/busted/" then return ("%s:%s: "):format(file, line) end
  end
  return ""
end

-- What busted should show: its own values stay what they are, the rest becomes text with the stack. Where
-- nothing says which line it was, the function that ran does.
local function shown(outcome, fn, which)
  local err <const>, stack <const> = outcome.error, outcome.traceback
  local place = position(stack)
  if place == "" then
    local info <const> = debug.getinfo(fn, "S")
    place = ("%s:%d: "):format(info.short_src, info.linedefined)
  end
  local is_theirs <const> = is_busteds(err)
  local text <const> = is_theirs and err.message or err
  if type(text) == "string" and text:find "^[^\n]-:%d+: " then place = "" end
  if is_theirs then
    if type(text) == "string" then err.message = place .. which .. text end
    return err
  end
  return place .. which .. tostring(err) .. (stack and "\n" .. stack or "")
end

---@class (exact) weir.WrapOpts: weir.TestOpts
---@field explore? integer|number run it under so many schedules; math.huge for all

local wraps <const> = { explore = true }
for name in pairs(run.known) do wraps[name] = true end

--- The body of an `it` that is one run on virtual time, or many: `it("...", test.wrap(function() ... end))`.
--- Assertions may stand in any of its tasks.
---@param fn async fun()
---@param opts? weir.WrapOpts
---@return fun()
function test.wrap(fn, opts)
  local op <const> = "weir.test.wrap"
  core.check_function(fn, op, "fn")
  opts = run.check_options(opts, op, wraps)
  local n <const> = opts.explore and core.check_count(opts.explore, op, "explore", nil, true)
  return function()
    if not n then
      local outcome <const> = run.once(run.simulator(opts), fn, opts)
      if not outcome.ok then error(shown(outcome, fn, ""), 0) end
      return
    end
    local done <const>, outcome <const>, again <const> = run.many(n, fn, opts)
    if outcome then error(shown(outcome, fn, ("schedule %d, %s: "):format(done, again)), 0) end
  end
end

-- --- chance and choice ---------------------------------------------------------------------------

--- One of 1 .. n, by choice: the first in order "fifo", drawn under a seed, and under `explore(math.huge, ...)`
--- every one in turn. For faults of your own.
---@param n integer
---@return integer
function test.choose(n)
  return core.choose(core.check_count(n, "weir.test.choose", "n"))
end

--- A number from 0 up to 1, by the chance of the run: the same seed, the same numbers.
---@return number
function test.random()
  return core.random()
end

return test
