-- weir.test - run a function on virtual time, under an order of your choosing.
--
-- Each run gets a runtime of its own: time stands still while a task can go on and jumps to
-- the next timer when none can, so an hour of sleeping takes no time and ends at the same
-- instant every time. Order is first come, first served, or drawn from a seed, or each
-- possible one in turn. A run must give everything back; what it leaves behind is an error.
-- Objects of one run (tasks, semaphores ...) cannot be used in another.

local core = require "weir.core"

---@class weir.test
local test = {}

---@class (exact) weir.TestOpts
---@field plan? "fifo"|"seed"|"odometer"|"replay" where order is free; "fifo" unless a seed or choices are given
---@field seed? integer for chance and for the order; the same seed gives the same run
---@field choices? integer[] the recorded choices to answer with (plan "replay")

local known <const> = { plan = true, seed = true, choices = true }
local plans <const> = { fifo = true, seed = true, odometer = true, replay = true }

local function check_options(opts, op)
  if opts == nil then return {} end
  core.check_options(opts, op, known)
  if opts.plan ~= nil and not plans[opts.plan] then
    core.misuse(op, 'option plan must be "fifo", "seed", "odometer" or "replay", got %s',
      tostring(opts.plan))
  end
  if opts.seed ~= nil and math.type(opts.seed) ~= "integer" then
    core.misuse(op, "option seed must be an integer, got %s", type(opts.seed))
  end
  if opts.choices ~= nil and type(opts.choices) ~= "table" then
    core.misuse(op, "option choices must be an array of integers, got %s", type(opts.choices))
  end
  return opts
end

local function simulator(opts)
  local plan = opts.plan or (opts.choices and "replay") or (opts.seed and "seed") or "fifo"
  return core.simulator { plan = plan, seed = opts.seed, choices = opts.choices }
end

local function check_function(fn, op, position)
  if type(fn) ~= "function" then
    core.misuse(op, "argument %d must be a function, got %s", position, type(fn))
  end
end

local function left_behind(op, r)
  return ("%s: %s left when the run ended"):format(op, r.left)
end

--- Run `fn` as the main task of a fresh runtime on virtual time and return its values.
--- What it raises is raised unchanged; a run that leaves something behind raises a string.
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
  check_function(fn, "weir.test.run", 1)
  local sim <const> = simulator(check_options(opts, "weir.test.run"))
  local r <const> = sim:run(fn)
  if not r.ok then error(r.error, 0) end
  if r.left then error(left_behind("weir.test.run", r), 2) end
  return table.unpack(r, 1, r.n)
end

--- Run `fn` under `n` seeded schedules, or under every schedule there is if `n` is math.huge
--- (for small programs). Stops at the first that raises or leaves something behind and raises
--- a text that says which it was and how to have it again.
---@param n integer|number how many schedules; math.huge for all
---@param fn async fun()
---@param opts? weir.TestOpts `seed` is the first of the seeds (1 unless given)
---@return integer n how many schedules were run
function test.explore(n, fn, opts)
  core.check_count(n, "weir.test.explore", "n", nil, true)
  check_function(fn, "weir.test.explore", 2)
  opts = check_options(opts, "weir.test.explore")

  local all <const> = n == math.huge
  local sim = all and core.simulator { plan = "odometer" } or nil
  local first <const> = opts.seed or 1
  local done = 0
  repeat
    local seed <const> = first + done
    sim = all and sim or core.simulator { plan = "seed", seed = seed }
    local r <const> = sim:run(fn)
    done = done + 1
    if not r.ok or r.left then
      local again <const> = all and ("choices = {%s}"):format(table.concat(sim:record(), ", "))
        or ("seed = %d"):format(seed)
      local what <const> = r.ok and left_behind("weir.test.explore", r) or tostring(r.error)
      error(("weir.test.explore: schedule %d, %s: %s"):format(done, again, what), 2)
    end
    local more
    if all then
      more = sim:next()
    else
      sim, more = nil, done < n
    end
  until not more
  return done
end

return test
