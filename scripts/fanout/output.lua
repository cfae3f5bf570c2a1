-- fanout.output - the results file: one JSON object a line, each complete as soon as it is there.
--
-- It holds one line for each URL that had finished, whatever ended the process. Keys always come
-- in the same order.

local lines = require "support.lines"

local output = {}
output.__index = output

-- `record` as a line. `error` and `message` are there if it failed, `status` if it was answered.
local function format(record)
  local text = ('{"line":%d,"url":%s,"status":%s,"ms":%.2f,"bytes":%d,"attempts":%d'):format(
    record.line, lines.encode(record.url), record.status or "null", record.ms, record.bytes, record.attempts)
  if record.error then
    text = ('%s,"error":%s,"message":%s'):format(text, lines.encode(record.error), lines.encode(record.message))
  end
  return text .. "}\n"
end

---@param path string "-" is standard output
---@return table? output nil if it cannot be opened
---@return string? why
function output.open(path)
  local file, why = lines.open(path)
  return file and setmetatable({ file = file }, output), why
end

function output:write(record)
  self.file:write(format(record))
end

function output:close()
  self.file:close()
end

output.__close = output.close

return output
