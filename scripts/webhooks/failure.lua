-- webhooks.failure - what ends a run for a reason that is the operator's to mend: a full disk, a file that changed.
--
-- It is raised through tasks and scopes as it is, and ends as one line on standard error; whatever
-- else is raised is a fault of the program and comes with a traceback.

local failure = {}

local meta <const> = { __name = "webhooks.failure", __tostring = function(self) return self.text end }

--- Raise one.
---@param text string for standard error
function failure.raise(text)
  error(setmetatable({ text = text }, meta), 0)
end

---@param value any
---@return boolean
function failure.is(value)
  return getmetatable(value) == meta
end

--- Write to a file of support.lines.
---@param file table
---@param text string ends in a newline
function failure.write(file, text)
  local fine, why = pcall(file.write, file, text)
  if not fine then
    failure.raise(why)
  end
end

return failure
