-- weir.fanout - several pieces of work at once: all, settle, race, any, quorum, iter.
--
-- Everything stands on a scope: the elements run as its tasks, whoever is not needed any more
-- is cancelled, and nothing returns before the last of them has ended. An element is a
-- function, run in a task of its own, or a task, whose outcome is awaited and whose failure is
-- claimed; a task that is not needed any more is cancelled and joined too, wherever it belongs.
-- Errors of users pass unchanged. Results are one table in the order of the input, with `n`.
-- map and each, which take any source of items, are in weir/map.lua.

local core = require "weir.core"
local map = require "weir.map"

---@class weir.fanout
local fanout = { map = map.map, each = map.each }

local unneeded <const> = "not needed any more" -- the reason of our cancels

-- --- elements --------------------------------------------------------------------------------

-- A copy of the elements with `n`, and the tasks among them, or nil if there are none.
local function check_elements(list, op, least)
  if type(list) ~= "table" then
    core.misuse(op, "'list' must be an array of functions and tasks, got %s", type(list))
  end
  local n = list.n == nil and #list or list.n
  if math.type(n) ~= "integer" or n < 0 then
    core.misuse(op, "'list.n' must be an integer >= 0, got %s", tostring(n))
  elseif n < least then
    core.misuse(op, "'list' must have an element, got an empty one")
  end
  local elements, tasks = { n = n }, nil
  for i = 1, n do
    local element = list[i]
    if core.is_task(element) then
      tasks = tasks or {}
      tasks[#tasks + 1] = element
    elseif type(element) ~= "function" then
      core.misuse(op, "'list[%d]' must be a function or a task, got %s", i, type(element))
    end
    elements[i] = element
  end
  return elements, tasks
end

local function pass(ok, ...)
  if ok then
    return ...
  end
  error((...), 0)
end

-- The body of the child that stands for a task among the elements; `pawait` claims its failure.
local function follow(task)
  return pass(task:pawait())
end

local function spawn(scope, element)
  if core.is_task(element) then
    return core.spawn_for_caller(scope, follow, element)
  end
  return core.spawn_for_caller(scope, element)
end

local function join(tasks)
  for i = 1, #tasks do
    tasks[i]:pawait()
  end
end

local releasing = {
  __close = function(tasks)
    for i = 1, #tasks do
      tasks[i]:cancel(unneeded)
    end
    core.shield(math.huge, join, tasks)
  end,
}

-- Take charge of the tasks among the elements, which belong to other scopes: their failures are
-- ours from now on (one may fail before the child that stands for it has begun to wait), and so is
-- their end, when what is returned is closed. Closed inside our scope, so that they and the
-- functions end at the same time. A finished task is left alone.
local function take_over(tasks)
  if not tasks then
    return nil
  end
  for i = 1, #tasks do
    core.claim(tasks[i])
  end
  return setmetatable(tasks, releasing)
end

-- Spawn all, and say which child stands for which element.
local function spawn_all(scope, elements)
  local index = {}
  for i = 1, elements.n do
    index[spawn(scope, elements[i])] = i
  end
  return index
end

-- --- combinators -----------------------------------------------------------------------------

--- Run all and return their first values. The first failure cancels the others and is raised.
---@async
---@param list (fun(): any)[]|weir.Task[]
---@return { n: integer, [integer]: any } results
function fanout.all(list)
  local elements, tasks = check_elements(list, "weir.all", 0)
  local n <const> = elements.n
  local results, stored, children = { n = n }, 0, {}

  core.gather(function(scope)
    -- A child that is cancelled by itself fails no scope, but then there is nothing to wait for.
    local watch <const> = setmetatable({}, { __close = function(_, err)
      if err ~= nil and core.kind(err) == "cancelled" then
        scope:cancel(unneeded)
      end
    end })

    local function run(i)
      local _ <close> = watch
      local element = elements[i]
      if type(element) == "function" then
        results[i] = element()
      else
        results[i] = follow(element)
      end
      stored = stored + 1
    end

    local _ <close> = take_over(tasks)
    for i = 1, n do
      children[i] = core.spawn_for_caller(scope, run, i)
    end
    if tasks then
      scope:join()
    end
  end, "weir.all")
  if stored < n then
    for i = 1, n do
      children[i]:await()
    end
  end
  return results
end

--- Run all to their ends, whatever those are; never raises for them.
---@async
---@param list (fun(): any)[]|weir.Task[]
---@return { n: integer, [integer]: { ok: boolean, value: any, error: any } } outcomes
function fanout.settle(list)
  local elements, tasks = check_elements(list, "weir.settle", 0)
  return core.gather(function(scope)
    local _ <close> = take_over(tasks)
    for i = 1, elements.n do
      spawn(scope, elements[i])
    end
    return scope:settle()
  end, "weir.settle")
end

--- The outcome of the first that ends: its values, or its error raised. The others are cancelled.
---@async
---@param list (fun(): ...)[]|weir.Task[]
---@return any ...
function fanout.race(list)
  local elements, tasks = check_elements(list, "weir.race", 1)
  return core.collect(function(scope)
    local _ <close> = take_over(tasks)
    spawn_all(scope, elements)
    local outcome = table.pack(core.next_ended(scope):pawait())
    if outcome[1] then
      scope:cancel(unneeded)
    end
    return pass(table.unpack(outcome, 1, outcome.n))
  end, "weir.race")
end

-- The error of an attempt that cannot succeed any more: the first failure is its cause.
local function hopeless(op, text, errors)
  return core.error("impossible", op, ("%s: %s"):format(text, tostring(errors[1])), {
    cause = errors[1], others = table.move(errors, 2, errors.n, 1, { n = errors.n - 1 }),
  })
end

--- The values of the first that succeeds; the others are cancelled. If all fail, raises
--- `impossible` with the first failure as its cause and the later ones as `others`.
---@async
---@param list (fun(): ...)[]|weir.Task[]
---@return any ...
function fanout.any(list)
  local op <const> = "weir.any"
  local elements, tasks = check_elements(list, op, 1)
  return core.collect(function(scope)
    local _ <close> = take_over(tasks)
    spawn_all(scope, elements)
    local errors = { n = 0 }
    for child in core.next_ended, scope do
      local outcome = table.pack(child:pawait())
      if outcome[1] then
        scope:cancel(unneeded)
        return table.unpack(outcome, 2, outcome.n)
      end
      errors.n = errors.n + 1
      errors[errors.n] = outcome[2]
    end
    error(hopeless(op, ("all %d failed, the first with"):format(elements.n), errors), 0)
  end, "weir.any")
end

--- The first values of the first `n` that succeed, in the order of the list; the others are
--- cancelled. Raises `impossible` as soon as too many failed, as `any` does, or if there never
--- were enough.
---@async
---@param n integer
---@param list (fun(): any)[]|weir.Task[]
---@return { n: integer, [integer]: any } results
function fanout.quorum(n, list)
  local op <const> = "weir.quorum"
  core.check_count(n, op, "n")
  local elements, tasks = check_elements(list, op, 0)
  local spare <const> = elements.n - n
  if spare < 0 then
    error(core.error("impossible", op, ("%d of %d wanted"):format(n, elements.n)), 0)
  end
  local values, succeeded = {}, {}
  core.collect(function(scope)
    local _ <close> = take_over(tasks)
    local index = spawn_all(scope, elements)
    local errors = { n = 0 }
    for child in core.next_ended, scope do
      local i = index[child]
      local ok, value = child:pawait()
      if ok then
        succeeded[#succeeded + 1], values[i] = i, value
        if #succeeded == n then
          scope:cancel(unneeded)
          return
        end
      else
        errors.n = errors.n + 1
        errors[errors.n] = value
        if errors.n > spare then
          error(hopeless(op, ("%d of %d wanted, %d failed, the first with"):format(n, elements.n, errors.n), errors), 0)
        end
      end
    end
  end, "weir.quorum")
  table.sort(succeeded)
  local results = { n = n }
  for k = 1, n do
    results[k] = values[succeeded[k]]
  end
  return results
end

--- Iterate over outcomes as they come: `for index, ok, value_or_error in weir.iter{...} do`.
--- Leaving the loop cancels and joins the rest, by the loop's closing value. (Lua 5.4.4 does not
--- close it if the loop is left by `break` while a function made inside captures a variable of
--- the loop: the rest goes on, and the function around fails at its end with "attempt to call a
--- nil value (metamethod 'close')". Leave such a loop by `return`, or keep what is captured in a
--- `do ... end` inside it.)
---@param list (fun(): any)[]|weir.Task[]
---@return async fun(): integer?, boolean, any
function fanout.iter(list)
  local elements, tasks = check_elements(list, "weir.iter", 0)
  local scope, index, ended
  local rest, first = {}, 1 -- the children not yet asked for when the scope ends

  -- The scope is a task's, because the loop's body does not run inside a function of ours. It
  -- ends with its last child, asked for or not, so that a loop given up holds nothing up.
  local charge = take_over(tasks)
  local owner = core.spawn(function()
    local _ <close> = charge
    core.collect(function(inner)
      index = spawn_all(inner, elements)
      scope = inner
      inner:join()
      for child in core.next_ended, inner do
        rest[#rest + 1] = child
      end
      ended = true
    end, "weir.iter")
  end)

  local function take()
    while not scope do
      core.checkpoint()
    end
    if first > #rest and not ended then
      local child = core.next_ended(scope)
      if child or not ended then
        return child
      end
    end
    first = first + 1
    return rest[first - 1]
  end

  local function step()
    local child = take()
    if child then
      local ok, value = child:pawait()
      return index[child], ok, value
    end
    return nil
  end

  return step, nil, nil, setmetatable({}, {
    __close = function()
      owner:cancel("the loop was left")
      core.shield(math.huge, owner.pawait, owner)
    end,
  })
end

return fanout
