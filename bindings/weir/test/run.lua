-- weir.test.run - one run on virtual time, and what is wrong with how it ended.
--
-- A run may end well and still have done wrong: a task that ended with a permit in its hands, a detached
-- task that failed or waits for ever, time that ran out. In production weir says so on standard error and
-- goes on; here each such report is kept, and fails the run. What the function itself raised goes first,
-- unchanged, and the reports beside it to standard error, so that none is lost.

local core <const> = require "weir.core"

local run <const> = {}

---@class weir.TestReport
---@field what string "leak", "unhandled error in task 2" ...
---@field text string who, where, what

---@class (exact) weir.TestOpts
---@field plan? "fifo"|"seed"|"odometer"|"replay" where order is free; "fifo" unless a seed or choices are given
---@field seed? integer for chance and for the order; the same seed gives the same run
---@field choices? integer[] the recorded choices to answer with (plan "replay")
---@field timeout? number seconds of virtual time after which the run is cancelled and fails; 1,000,000
---@field reports? weir.TestReport[] a list that gets the reports, which then do not fail the run

local TIMEOUT <const> = 1e6 -- a loop of one-second sleeps that nobody ends takes about a second to get there
local known <const> = { plan = true, seed = true, choices = true, timeout = true, reports = true }
local plans <const> = { fifo = true, seed = true, odometer = true, replay = true }

run.known = known

--- Check options of a run; `allowed` are the names that the caller knows, if not those of a run alone. Returns a table.
function run.check_options(opts, op, allowed)
  if opts == nil then return {} end
  if type(opts) ~= "table" then core.expected(op, "options", "a table", opts) end
  core.check_options(opts, op, allowed or known)
  if opts.plan ~= nil and not plans[opts.plan] then
    core.expected(op, "plan", "'fifo', 'seed', 'odometer' or 'replay'", opts.plan)
  elseif opts.seed ~= nil and math.type(opts.seed) ~= "integer" then
    core.expected(op, "seed", "an integer", opts.seed)
  elseif opts.choices ~= nil and type(opts.choices) ~= "table" then
    core.expected(op, "choices", "an array of integers", opts.choices)
  elseif opts.reports ~= nil and type(opts.reports) ~= "table" then
    core.expected(op, "reports", "a table", opts.reports)
  end
  if opts.timeout ~= nil then core.check_seconds(opts.timeout, op, "timeout") end
  return opts
end

--- The simulator that the options ask for.
function run.simulator(opts)
  local plan <const> = opts.plan or (opts.choices and "replay") or (opts.seed and "seed") or "fifo"
  return core.simulator { plan = plan, seed = opts.seed, choices = opts.choices }
end

-- What a counter that is not back at zero means, for those who did not write weir.
local leftovers <const> = {
  tasks = "a task has not ended", scopes = "a scope is open", timers = "a timer is set", pending = "a wait is not over",
  ready = "a task was woken and did not run", permits = "a permit or lease is held or queued for",
  io = "an operation is under way",
}

local function told(reports)
  local texts <const> = {}
  for i, report in ipairs(reports) do texts[i] = ("%s: %s"):format(report.what, report.text) end
  return table.concat(texts, "\n")
end

local function timed_out(reports)
  for i, report in ipairs(reports) do
    if report.what == "timeout" then return table.remove(reports, i).text end
  end
  return nil
end

---@class weir.TestOutcome
---@field ok boolean
---@field result? table the values, with n
---@field error? any what the function raised, or a text of ours
---@field is_ours? boolean the error is of the run, not of the function
---@field traceback? string

--- Run `fn` once.
---@return weir.TestOutcome
function run.once(sim, fn, opts)
  local reports <const> = opts.reports or {}
  local seconds <const> = opts.timeout or TIMEOUT
  local r <const> = sim:run(function()
    core.watch(reports, seconds)
    return fn()
  end)
  local waiting <const> = timed_out(reports)
  if waiting then
    return { ok = false, is_ours = true,
      error = ("not over after %g s of virtual time; waiting:%s"):format(seconds, waiting) }
  elseif not r.ok then
    if not opts.reports and #reports > 0 then io.stderr:write("weir: ", told(reports), "\n") end
    return { ok = false, error = r.error, traceback = r.traceback }
  elseif not opts.reports and #reports > 0 then
    return { ok = false, is_ours = true, error = told(reports) }
  elseif r.left then
    return { ok = false, is_ours = true, error = "left when the run ended: " .. (leftovers[r.left] or r.left) }
  end
  return { ok = true, result = r }
end

--- Run `fn` under `n` seeded schedules, or under all (math.huge), until one fails.
---@return integer n how many were run
---@return weir.TestOutcome? outcome of the one that failed
---@return string? again the option that repeats it: "seed = 7"
function run.many(n, fn, opts)
  local all <const> = n == math.huge
  local first <const> = opts.seed or 1
  local sim = all and core.simulator { plan = "odometer" } or nil
  local done = 0
  repeat
    local seed <const> = first + done
    local this <const> = sim or core.simulator { plan = "seed", seed = seed }
    local outcome <const> = run.once(this, fn, opts)
    done = done + 1
    if not outcome.ok then
      local choices <const> = all and table.concat(sim:record(), ", ")
      return done, outcome, choices and ("choices = {%s}"):format(choices) or ("seed = %d"):format(seed)
    end
    local more = done < n
    if all then more = sim:next() end
  until not more
  return done
end

return run
