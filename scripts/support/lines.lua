-- support.lines - files of JSON objects, one on each line, complete as soon as they are there.
--
-- A line is written by one write of the system, so whatever ends the process (Ctrl-C, a kill, a
-- full disk) the file holds whole lines; a machine that dies may lose the last ones.

local json = require "weir.json"

local lines = {}
lines.__index = lines

--- A value as JSON, with the slashes of strings as they are: cjson escapes each, and URLs are to be
--- found by grep.
---@param value any
---@return string
function lines.encode(value)
  return (json.encode(value):gsub("\\/", "/"))
end

---@param path string "-" is standard output
---@param mode? string "wb" unless said
---@return table? file nil if it cannot be opened
---@return string? why
function lines.open(path, mode)
  if path == "-" then
    return setmetatable({ file = io.stdout, path = "standard output" }, lines)
  end
  local file, why = io.open(path, mode or "wb")
  if not file then
    return nil, why
  end
  file:setvbuf("full", 65536)
  return setmetatable({ file = file, path = path }, lines)
end

--- Write text, which ends in a newline.
---@param text string
function lines:write(text)
  local fine, why = self.file:write(text)
  if fine then
    fine, why = self.file:flush()
  end
  if not fine then
    error(("cannot write to %s: %s"):format(self.path, why), 0)
  end
end

function lines:close()
  if self.file ~= io.stdout then
    self.file:close()
  end
end

lines.__close = lines.close

return lines
