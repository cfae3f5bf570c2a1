-- support/helper.lua - what the specs share: runs on virtual time, with the checks every run deserves.
--
-- Every run has a runtime of its own, so no spec sees what another one left. A run that does
-- not give everything back (tasks, timers, waits, permits ...) is an error whatever the spec
-- asserted. Chance comes from `helper.seed` alone; WEIR_SEED=n repeats a run.

local core = require "weir.core"
local figures = require "support.figures"
local test = require "weir.test"
local weir = require "weir"

local helper = {}

helper.seed = math.tointeger(tonumber(os.getenv("WEIR_SEED") or "")) or os.time()
io.stderr:write(("specs: WEIR_SEED=%d\n"):format(helper.seed))

--- Count what the spec has done: helper.figure("sequences", 24). The names are those of tools/proof.lua.
helper.figure = figures.add

-- In the stress build the collector never rests, so that whatever is not anchored is missed at once.
if os.getenv("WEIR_STRESS") then
  collectgarbage("incremental", 0, 400)
end

-- ---------------------------------------------------------------- failures, made readable

local function is_failure(err)
  local meta = debug.getmetatable(err)
  return type(meta) == "table" and (meta.__type == "failure" or meta.__type == "pending")
end

-- "x_spec.lua:12: " for the innermost frame that stands in a spec.
local function position()
  local level = 2
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return "" end
    if info.short_src:match("_spec%.lua$") and info.currentline > 0 then
      return ("%s:%d: "):format(info.short_src, info.currentline)
    end
    level = level + 1
  end
end

local function text_of(err)
  if type(err) == "table" and type(err.traceback) == "string" then
    return tostring(err) .. "\n" .. err.traceback
  elseif type(err) == "string" then
    return err
  end
  return ("(%s) %s"):format(type(err), tostring(err))
end

-- Message handler inside the task: busted's own failures keep their identity (a failure is not
-- an error), everything else becomes text with the stack of the place where it was raised.
local function explain(err)
  local stack = debug.traceback("", 2)
  if is_failure(err) then
    if type(err.message) == "string" and not err.message:match("^[^\n]-:%d+: ") then
      err.message = position() .. err.message .. stack
    end
    return err
  end
  local text = text_of(err)
  if not text:match("^[^\n]-:%d+: ") then text = position() .. text end
  return text .. stack
end

local function raise(err)
  if is_failure(err) then error(err, 0) end
  error(text_of(err), 0)
end

-- ---------------------------------------------------------------- runs

--- Run `fn` on virtual time in a fresh runtime and return its values. Raises with the traceback
--- if it fails, and if anything is left behind. `opts`: those of weir.test.run.
function helper.run(fn, opts)
  local reports <const> = {} -- some specs leak on purpose: said, as in production, and no failure
  local given <const> = { timeout = math.huge, reports = reports }
  for name, value in pairs(opts or {}) do given[name] = value end
  local out = table.pack(pcall(test.run, function()
    local results = table.pack(xpcall(fn, explain))
    if not results[1] then error(results[2], 0) end
    return table.unpack(results, 2, results.n)
  end, given))
  for _, report in ipairs(reports) do
    io.stderr:write(("weir: %s: %s\n"):format(report.what, report.text))
  end
  collectgarbage()
  collectgarbage()
  if not out[1] then raise(out[2]) end
  return table.unpack(out, 2, out.n)
end

--- The body of an `it` that is one helper.run.
function helper.virtual(fn, opts)
  return function() helper.run(fn, opts) end
end

--- Run `fn` like helper.run but hand back the record of the run, failed or not: {ok, n, error,
--- left, time, waits}. Raises only if something is left behind.
function helper.simulate(fn, opts)
  opts = opts or {}
  local sim = core.simulator { plan = opts.plan or "fifo", seed = opts.seed, choices = opts.choices }
  local r = sim:run(fn)
  collectgarbage()
  collectgarbage()
  if r.left then error(("%s left after the run"):format(r.left), 2) end
  return r
end

--- Run `fn` in real time: on the host's loop inside the host, on a loop of weir's own otherwise.
function helper.real(fn)
  return function() return weir.run(fn) end
end

--- Call `fn` and return the error object of `kind` that it must raise.
function helper.error(kind, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error(("expected an error of kind %s, but nothing was raised"):format(kind), 2) end
  if is_failure(err) then error(err, 0) end
  local got = weir.kind(err)
  if got ~= kind then
    error(("expected an error of kind %s, got %s: %s"):format(kind, got, text_of(err)), 2)
  end
  return err
end

--- Assert that virtual time passed as expected; clocks are numbers, hence the tolerance.
function helper.elapsed(expected, since)
  local passed = weir.now() - since
  if math.abs(passed - expected) > 1e-6 then
    error(("expected %g s to pass, but %g did"):format(expected, passed), 2)
  end
end

local function describe_run(r)
  return r.ok and "the run ended well" or ("the run raised " .. text_of(r.error))
end

local function check_left(r, what)
  if r.left then error(("%s: %s left; %s"):format(what, r.left, describe_run(r)), 3) end
end

--- Run `fn` under every schedule. It must succeed under all. Returns how many there were.
function helper.explore(fn, max)
  max = max or 20000
  local sim = core.simulator { plan = "odometer" }
  local n = 0
  repeat
    n = n + 1
    if n > max then error(("more than %d schedules: make the program smaller"):format(max), 2) end
    local r = sim:run(fn)
    if not r.ok or r.left then
      local choices = table.concat(sim:record(), ",")
      local what = ("schedule %d, choices {%s}"):format(n, choices)
      check_left(r, what)
      if is_failure(r.error) then
        r.error.message = what .. ": " .. tostring(r.error.message)
        error(r.error, 0)
      end
      error(what .. ": " .. text_of(r.error), 2)
    end
  until not sim:next()
  figures.add("schedules", n)
  figures.add("exhausted")
  return n
end

--- Run `fn` under `n` seeded schedules. It must succeed under all.
function helper.shuffle(n, fn)
  for seed = helper.seed, helper.seed + n - 1 do
    local ok, err = pcall(helper.run, fn, { plan = "seed", seed = seed })
    if not ok then
      if is_failure(err) then
        err.message = ("WEIR_SEED=%d: %s"):format(seed, tostring(err.message))
        error(err, 0)
      end
      error(("WEIR_SEED=%d: %s"):format(seed, text_of(err)), 2)
    end
  end
  figures.add("schedules", n)
end

-- What a scenario may raise when a cancel was put into it: never an error of its own making.
local expected_kinds = { cancelled = true, timeout = true, closed = true, deadlock = true }

--- Run `fn` once and count its waits, then once more per wait with the main task cancelled at
--- that wait, and once per wait with the task that waits cancelled. Nothing may be left behind
--- and nothing but the cancel (or what follows from it) may be raised. Returns the number of waits.
function helper.cancel_everywhere(fn)
  local sim = core.simulator { plan = "fifo" }
  local first = sim:run(fn)
  check_left(first, "without a cancel")
  if not first.ok then error("without a cancel: " .. text_of(first.error), 2) end
  for _, who in ipairs { "main", "self" } do
    for k = 1, first.waits do
      sim:cancel_at(k, who)
      local r = sim:run(fn)
      local what = ("%s cancelled at wait %d of %d"):format(who, k, first.waits)
      check_left(r, what)
      if not r.ok and not expected_kinds[weir.kind(r.error)] then
        error(what .. ": " .. text_of(r.error), 2)
      end
      figures.add("awaits", r.waits)
    end
  end
  figures.add("awaits", first.waits)
  figures.add("cancel_points", 2 * first.waits)
  return first.waits
end

--- Fail the allocations of the core that `fn` makes, each in turn: once with the retry that
--- follows it, then that one and all after it. Nothing may be left behind, and the next run
--- must succeed. Above 200 allocations a seeded sample of them. Returns how many there are.
function helper.fail_allocations(fn)
  local sim = core.simulator { plan = "fifo" }
  local before = sim:allocs()
  local first = sim:run(fn)
  local n = sim:allocs() - before
  check_left(first, "with all its memory")
  if not first.ok then error("with all its memory: " .. text_of(first.error), 2) end

  local random = helper.random()
  local step = math.max(1, n // 200)
  for _, extra in ipairs { 1, math.huge } do
    local k = 1
    while k <= n do
      sim:fail_alloc(k, extra)
      local called, r = pcall(sim.run, sim, fn)
      local what = ("allocation %d of %d and %g more failed"):format(k, n, extra)
      if called then check_left(r, what) end
      sim:fail_alloc(0, 0)
      local again = sim:run(fn)
      check_left(again, "the run after " .. what)
      if not again.ok then
        error(("the run after %s: %s"):format(what, text_of(again.error)), 2)
      end
      figures.add("failed_allocations")
      k = k + (step == 1 and 1 or random(1, 2 * step - 1))
    end
  end
  return n
end

--- A generator of its own (xorshift), so that specs do not share or disturb math.random.
function helper.random(seed)
  local state = (seed or helper.seed) * 2654435761 + 88172645463325252
  return function(low, high)
    state = state ~ (state << 13)
    state = state ~ (state >> 7)
    state = state ~ (state << 17)
    return low + (state & 0x7fffffffffff) % (high - low + 1)
  end
end

--- Run Lua text as a program of its own under plain lua5.4, or `interpreter`. Returns its output
--- (both streams) and its exit code. For what can only be seen from outside: reports, and calls
--- outside tasks.
function helper.program(text, interpreter)
  local name = os.tmpname()
  local file <close> = assert(io.open(name, "w"))
  file:write(text)
  file:close()
  local function quote(s) return "'" .. s:gsub("'", [['\'']]) .. "'" end
  local pipe = assert(io.popen(("LUA_PATH=%s LUA_CPATH=%s %s %s 2>&1"):format(
    quote(package.path), quote(package.cpath), quote(interpreter or "lua5.4"), quote(name))))
  local output = pipe:read("a")
  local _, _, code = pipe:close()
  os.remove(name)
  return output, code
end

--- The line it is called from, `offset` lines on.
function helper.line(offset)
  return debug.getinfo(2, "l").currentline + (offset or 0)
end

--- A value whose `<close>` calls `fn(err)`.
function helper.closing(fn)
  return setmetatable({}, { __close = function(_, err) fn(err) end })
end

return helper
