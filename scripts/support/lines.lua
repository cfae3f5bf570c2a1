-- support.lines - files of JSON objects, one on each line, complete as soon as they are there.
--
-- A line is written by one write of the system, so whatever ends the process (Ctrl-C, a kill, a
-- full disk) the file holds whole lines; a machine that dies may lose the last ones. What is added
-- to a file that ends in the middle of a line begins on a line of its own.

local json = require "weir.json"

local failure = require "support.failure"

local lines = {}
lines.__index = lines

--- A value as JSON, with the slashes of strings as they are: cjson escapes each, and URLs are to be
--- found by grep.
---@param value any
---@return string
function lines.encode(value)
  return (json.encode(value):gsub("\\/", "/"))
end

-- Does the file end in the middle of a line?
local function is_cut(path)
  local file <close> = io.open(path, "rb")
  local size = file and file:seek("end")
  if not size or size == 0 or not file:seek("end", -1) then
    return false -- nothing there, or a device
  end
  local last = file:read(1)
  return last ~= nil and last ~= "\n"
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
  if mode == "ab" and is_cut(path) then
    file:write("\n") -- goes out with the first line
  end
  return setmetatable({ file = file, path = path }, lines)
end

--- Write text, which ends in a newline. Raises a support.failure.
---@param text string
function lines:write(text)
  local fine, why = self.file:write(text)
  if fine then
    fine, why = self.file:flush()
  end
  if not fine then
    failure.unwritable(self.path, why)
  end
end

function lines:close()
  if self.file ~= io.stdout then
    self.file:close()
  end
end

lines.__close = lines.close

return lines
