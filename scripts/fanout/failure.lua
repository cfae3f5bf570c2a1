-- fanout.failure - what ends a run without being a fault of the program: one line for people, an exit code.
--
-- Raised by the parts, caught by fanout.lua. Whatever else is raised passes: `cancelled` is for the
-- host, anything else is a bug and wants its stack.

local failure = {}
failure.__index = failure
failure.__name = "fanout.failure"

-- The reader of a pipe is gone: nobody is left to tell; what a program that SIGPIPE ends exits with.
local GONE <const> = 141

---@param text? string nil: say nothing
---@param code integer
function failure.raise(text, code)
  error(setmetatable({ text = text, code = code }, failure), 0)
end

--- Raise what a failed write comes to.
---@param what string the file, as it is called in the message
---@param why string the system's words
function failure.unwritable(what, why)
  if why:find("Broken pipe", 1, true) then
    failure.raise(nil, GONE)
  end
  failure.raise(("cannot write to %s: %s"):format(what, why), 2)
end

---@return boolean
function failure.is(value)
  return getmetatable(value) == failure
end

function failure:__tostring()
  return "fanout.lua: " .. (self.text or "the reader is gone")
end

return failure
