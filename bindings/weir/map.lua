-- weir.map - a function over all items of a source, so many at once: map and each.
--
-- Pending work is data: worker tasks take the next item when they are done with the last, and
-- no coroutine exists for an item that does not run yet. An array has min(limit, n) workers; a
-- source that has to be asked gets a further one when an item is there for it.
-- limit:map is the same with each job in a slot of the limit, shared with its other users.
-- A job belongs to the worker that runs it: tasks that `fn` spawns and leaves behind end with the
-- worker, at the latest when map returns, and fail it if they fail.
-- Invariant: one worker at most asks the source, and an item that was taken is run or an error
-- has ended everything.

local core = require "weir.core"

local checkpoint <const> = core.checkpoint
local with <const> = core.limit_with

---@class weir.map
local map = {}

local budget <const> = 100 -- jobs in a row before a worker lets the others run

-- What can be asked for items: an array and its length, or nil and a function that gives the next.
local function check_source(source, op)
  local kind = type(source)
  if kind == "function" then
    return nil, source
  end
  local meta = getmetatable(source)
  if type(meta) == "table" and (kind == "table" or kind == "userdata") then
    if meta.__call then
      return nil, source
    end
    local recv = meta.__index and source.recv
    if type(recv) == "function" then
      return nil, function() return recv(source) end
    end
  end
  if kind ~= "table" then
    core.misuse(op, "'source' must be an array, a function or something to receive from, got %s", kind)
  end
  local n = source.n
  if n == nil then
    return #source
  elseif math.type(n) ~= "integer" or n < 0 then
    core.misuse(op, "'source.n' must be an integer >= 0, got %s", tostring(n))
  end
  return n
end

local known_by_limit <const> = { ordered = true, on_error = true, progress = true }
local known <const> = { limit = true, ordered = true, on_error = true, progress = true }

local function check_options(options, op, names)
  if options == nil then
    options = {}
  end
  core.check_options(options, op, names)
  local on_error, ordered, progress = options.on_error, options.ordered, options.progress
  if on_error ~= nil and on_error ~= "cancel" and on_error ~= "collect" then
    core.misuse(op, "'on_error' must be \"cancel\" or \"collect\", got %s", tostring(on_error))
  elseif ordered ~= nil and type(ordered) ~= "boolean" then
    core.misuse(op, "'ordered' must be a boolean, got %s", type(ordered))
  elseif progress ~= nil and progress ~= true and type(progress) ~= "table" and type(progress) ~= "userdata" then
    core.misuse(op, "'progress' must be true or a weir.progress, got %s", type(progress))
  end
  return options
end

-- The progress of a run: a new one, closed with the run, the caller's, or none.
local function open_progress(given, total)
  if given == true then
    local made = require "weir.progress" { total = total }
    return made, made
  elseif given and total and not given.total then
    given.total = total
  end
  return given
end

-- Start one more worker.
local function grow(job)
  job.workers = job.workers + 1
  core.spawn_for_caller(job.scope, job.work, job)
end

-- `run` in a slot of the job's limit. When the limit was resized there are too few workers for
-- its slots: looked at with every eighth part of them that began a job, which is soon enough.
local function in_slot(job, run)
  local slots <const>, n <const> = job.slots, job.n
  local period <const> = 1 + slots.limit // 8
  return function(item, i)
    if i % period == 0 then
      for _ = job.workers + 1, math.min(slots.limit, n) do
        grow(job)
      end
    end
    return with(slots, run, item, i)
  end
end

-- Let another worker ask the source.
local function pass_turn(job)
  job.pulling, job.turn = false, nil
  if not job.standby and job.workers < job.limit then
    job.standby = true
    grow(job)
  end
end

-- The same for a source that is asked: nobody asks again before the item that is there has its
-- slot, so that at most one item waits for one.
local function in_slot_by_turn(job, run)
  local function start(item, i)
    pass_turn(job)
    return run(item, i)
  end
  return function(item, i)
    return with(job.slots, start, item, i)
  end
end

-- What runs one job, and the table in which the worker stores its value, or nil if that is seen
-- to. From the inside: the progress sees the job, the slot of a limit is held for it, its outcome
-- is kept.
local function compose(job, fn)
  local results, errors, ordered, progress = job.results, job.errors, job.ordered, job.progress
  local run = fn
  if progress then
    run = function(item, i)
      progress:start()
      local value = fn(item, i)
      progress:finish(true)
      return value
    end
  end
  if job.slots then
    run = job.items and in_slot(job, run) or in_slot_by_turn(job, run)
  end
  if not errors and (ordered or not results) then
    return run, results
  end
  return function(item, i)
    local ok, value
    if errors then
      ok, value = pcall(run, item, i)
    else
      ok, value = true, run(item, i)
    end
    if not ok then
      checkpoint() -- raises if the job failed because all of this is cancelled
      errors.n = errors.n + 1
      errors[i] = value
      if progress then
        progress:finish(false)
      end
    elseif results and ordered then
      results[i] = value
    elseif results then
      results.n = results.n + 1
      results[results.n] = value
    end
  end
end

-- A worker over an array. `taken` is the last index that a worker has.
local function work_array(job)
  local items <const>, n <const>, run <const>, results <const> = job.items, job.n, job.run, job.store
  local left, i = budget, job.taken + 1
  while i <= n do
    job.taken = i
    local value = run(items[i], i)
    if results then
      results[i] = value
    end
    left = left - 1
    if left == 0 then
      left = budget
      checkpoint()
    end
    i = job.taken + 1
  end
end

-- A worker over anything that has to be asked for its next item. One worker asks at a time,
-- the others end meanwhile; who got an item starts another, which asks for the next, unless
-- there are enough or one is about to. `pulling` stays set at the end of the source and when
-- it raises: it is not asked again.
local function work_source(job)
  local pull <const>, run <const>, results <const> = job.pull, job.run, job.store
  local at_once <const> = not job.slots
  local left = budget
  job.standby = false
  while not job.pulling do
    job.pulling = true
    local item = pull()
    if item == nil then
      break
    end
    local i = job.taken + 1
    job.taken, job.turn = i, i
    if at_once then
      pass_turn(job)
    end
    local value = run(item, i)
    if job.turn == i then -- it got no slot: the limit was closed or cleared
      pass_turn(job)
    end
    if results then
      results[i] = value
    end
    left = left - 1
    if left == 0 then
      left = budget
      checkpoint()
    end
  end
  job.workers = job.workers - 1
end

-- Run `fn` over `source`; `keep` its values. `slots` is the limit that gives the slots, or nil.
local function run_all(op, source, fn, options, keep, slots)
  local n, pull = check_source(source, op)
  core.check_function(fn, op, "fn")
  options = check_options(options, op, slots and known_by_limit or known)
  local limit <const> = slots and math.huge or core.check_count(options.limit, op, "limit", 64, true)
  local progress, owned = open_progress(options.progress, n)
  local _ <close> = owned
  local job = {
    items = n and source, n = n, pull = pull, work = n and work_array or work_source,
    results = keep and { n = 0 } or nil, ordered = options.ordered ~= false,
    errors = options.on_error == "collect" and { n = 0 } or nil,
    progress = progress, limit = limit, slots = slots,
    taken = 0, workers = 0, standby = false, pulling = false, turn = nil,
  }
  job.run, job.store = compose(job, fn)
  core.gather(function(scope)
    job.scope = scope
    local workers = n and math.min(n, limit, slots and math.max(1, slots.limit) or math.huge) or 1
    for _ = 1, workers do
      grow(job)
    end
  end, op)
  local results, errors = job.results, job.errors
  if results and job.ordered then
    results.n = n or job.taken
  end
  if errors and errors.n == 0 then
    errors = nil
  end
  return results, errors
end

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
function map.map(source, fn, options)
  return run_all("weir.map", source, fn, options, true)
end

--- As map, without results: for a source without end. Returns the errors alone.
---@async
---@param source any[]|fun(): any
---@param fn async fun(item: any, index: integer)
---@param options? weir.MapOpts
---@return { n: integer, [integer]: any }? errors
function map.each(source, fn, options)
  local _, errors = run_all("weir.each", source, fn, options, false)
  return errors
end

local limit <const> = core.methods.limit

--- As weir.map, each job in a slot of the limit, which others may use at the same time.
---@async
---@param source any[]|fun(): any
---@param fn async fun(item: any, index: integer): any
---@param options? weir.MapOpts
---@return { n: integer, [integer]: any } results
---@return { n: integer, [integer]: any }? errors
function limit:map(source, fn, options)
  core.check_self(self, "weir.limit", "limit:map")
  return run_all("limit:map", source, fn, options, true, self)
end

--- As weir.each, each job in a slot of the limit.
---@async
---@param source any[]|fun(): any
---@param fn async fun(item: any, index: integer)
---@param options? weir.MapOpts
---@return { n: integer, [integer]: any }? errors
function limit:each(source, fn, options)
  core.check_self(self, "weir.limit", "limit:each")
  local _, errors = run_all("limit:each", source, fn, options, false, self)
  return errors
end

return map
