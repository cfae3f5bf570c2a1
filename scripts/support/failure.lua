-- support.failure - what ends a run without being a fault of the program: one line for people, an exit code.
--
-- Raised by the parts of a script, through tasks and scopes as it is, and caught by its main file.
-- Whatever else is raised passes: `cancelled` is for the host, anything else is a bug and wants its
-- stack.

local failure = {}
failure.__index = failure
failure.__name = "failure"

-- The reader of a pipe is gone: nobody is left to tell; what a program that SIGPIPE ends exits with.
local GONE <const> = 141

---@param text? string nil: say nothing
---@param code? integer of the process, 2 unless said
function failure.raise(text, code)
  error(setmetatable({ text = text, code = code or 2 }, failure), 0)
end

--- Raise what a failed write comes to.
---@param what string the file, as it is called in the message
---@param why string the system's words
function failure.unwritable(what, why)
  if why:find("Broken pipe", 1, true) then
    failure.raise(nil, GONE)
  end
  failure.raise(("cannot write to %s: %s"):format(what, why))
end

---@return boolean
function failure.is(value)
  return getmetatable(value) == failure
end

--- Tell people, if there is something to tell. Returns the exit code.
---@param script string its name
---@return integer
function failure:report(script)
  if self.text then
    io.stderr:write(script, ": ", self.text, "\n")
  end
  return self.code
end

function failure:__tostring()
  return self.text or "the reader is gone"
end

return failure
