-- weir.test.recorder - what happened and when: a log to assert order, times and concurrency on.
--
-- An event is a name, values, and the virtual time. Its text, by which it is looked for and shown, is the
-- name and the values with blanks between; the name alone stands for all events of that name.

local core <const> = require "weir.core"

---@class weir.TestEvent
---@field time number
---@field name string
---@field text string
---@field [integer] any values
---@field n integer how many

---@class weir.Recorder
---@field [integer] weir.TestEvent
---@overload fun(name: string, ...)
local methods <const> = {}
local meta <const> = { __index = methods, __name = "weir.test.recorder" }

local function check_name(name, op)
  if type(name) ~= "string" then core.expected(op, "name", "a string", name) end
end

local function record(self, name, ...)
  local event <const> = table.pack(...)
  local words <const> = { name }
  for i = 1, event.n do words[i + 1] = tostring(event[i]) end
  event.time, event.name, event.text = core.now(), name, table.concat(words, " ")
  self[#self + 1] = event
end

-- log(name, ...): note it.
function meta:__call(name, ...)
  check_name(name, "weir.test.recorder")
  record(self, name, ...)
end

function meta:__tostring()
  local lines <const> = {}
  for i, event in ipairs(self) do lines[i] = ("%g s  %s"):format(event.time, event.text) end
  return table.concat(lines, "\n")
end

--- `fn`, noted: "name begin" at each call, then "name end", or "name failed" and the error.
---@generic F: function
---@param name string
---@param fn F
---@return F
function methods:wrap(name, fn)
  check_name(name, "recorder:wrap")
  core.check_function(fn, "recorder:wrap", "fn")
  local function settle(ok, ...)
    if ok then
      record(self, name, "end")
      return ...
    end
    record(self, name, "failed", (...))
    error((...), 0)
  end
  return function(...)
    record(self, name, "begin")
    return settle(pcall(fn, ...))
  end
end

local function is(event, what)
  return event.text == what or event.name == what
end

--- The times of the events of that name or text.
---@param what string
---@return number[]
function methods:times(what)
  local times <const> = {}
  for _, event in ipairs(self) do
    if is(event, what) then times[#times + 1] = event.time end
  end
  return times
end

---@param what string a name or text
---@return integer
function methods:count(what)
  return #self:times(what)
end

--- The texts of all events, in order.
---@return string[]
function methods:texts()
  local texts <const> = {}
  for i, event in ipairs(self) do texts[i] = event.text end
  return texts
end

--- The most calls of a wrapped function that were under way at once.
---@param name string
---@return integer
function methods:peak(name)
  local now, most = 0, 0
  for _, event in ipairs(self) do
    if event.name == name and event[1] == "begin" then
      now = now + 1
      most = math.max(most, now)
    elseif event.name == name and (event[1] == "end" or event[1] == "failed") then
      now = now - 1
    end
  end
  return most
end

--- Raise, with the whole log, unless these happened in this order; others may stand between.
---@param ... string names or texts
function methods:order(...)
  local at = 0
  for i = 1, select("#", ...) do
    local what <const> = select(i, ...)
    repeat
      at = at + 1
      if not self[at] then
        error(("'%s' did not happen%s; the log:\n%s"):format(what,
          i > 1 and (" after '%s'"):format((select(i - 1, ...))) or "", tostring(self)), 2)
      end
    until is(self[at], what)
  end
end

--- Forget everything.
function methods:clear()
  for i = #self, 1, -1 do self[i] = nil end
end

--- A log: `log("connected", id)` notes an event with the virtual time.
---@return weir.Recorder
local function new()
  return setmetatable({}, meta)
end

return { new = new }
