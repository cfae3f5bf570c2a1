-- fanout.output - the results file: one JSON object a line, each complete as soon as it is there.
--
-- A line is written by one write of the system, so whatever ends the process (Ctrl-C, a kill,
-- a full disk) the file holds whole lines, one for each URL that had finished. Keys always come
-- in the same order.

local json = require "weir.json"

local output = {}
output.__index = output

-- A string, with its slashes as they are: cjson escapes each, and URLs are to be found by grep.
local function text_of(value)
  return (json.encode(value):gsub("\\/", "/"))
end

-- `record` as a line. `error` and `message` are there if it failed, `status` if it was answered.
local function format(record)
  local text = ('{"line":%d,"url":%s,"status":%s,"ms":%.2f,"bytes":%d,"attempts":%d'):format(
    record.line, text_of(record.url), record.status or "null", record.ms, record.bytes, record.attempts)
  if record.error then
    text = ('%s,"error":%s,"message":%s'):format(text, text_of(record.error), text_of(record.message))
  end
  return text .. "}\n"
end

---@param path string "-" is standard output
---@return table? output nil if it cannot be opened
---@return string? why
function output.open(path)
  if path == "-" then
    return setmetatable({ file = io.stdout, path = "standard output" }, output)
  end
  local file, why = io.open(path, "wb")
  if not file then
    return nil, why
  end
  file:setvbuf("full", 65536)
  return setmetatable({ file = file, path = path }, output)
end

function output:write(record)
  local fine, why = self.file:write(format(record))
  if fine then
    fine, why = self.file:flush()
  end
  if not fine then
    error(("cannot write results to %s: %s"):format(self.path, why), 0)
  end
end

function output:close()
  if self.file ~= io.stdout then
    self.file:close()
  end
end

output.__close = output.close

return output
