-- fanout.output - what is written: the results file, and the summary where the results do not go.
--
-- The results are one JSON object a line, each complete as soon as it is there: one for each URL
-- that had finished, whatever ended the process. Keys always come in the same order. A write that
-- fails raises a support.failure.

local weir = require "weir"

local failure = require "support.failure"
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
---@return table output
function output.open(path)
  local file, why = lines.open(path)
  if not file then
    failure.raise("--out: " .. why, 2)
  end
  return setmetatable({ file = file }, output)
end

function output:write(record)
  self.file:write(format(record))
end

function output:close()
  self.file:close()
end

output.__close = output.close

--- Say something where the results do not go, unless nothing is to be said.
---@param given table as fanout.options makes it
---@param text string without a last newline
function output.say(given, text)
  if given.quiet then
    return
  end
  local is_error = given.out == "-"
  local file = is_error and io.stderr or io.stdout
  local fine, why = file:write(text, "\n")
  if fine then
    fine, why = file:flush()
  end
  if not fine then
    failure.unwritable(is_error and "standard error" or "standard output", why)
  end
end

--- Say how a run went. What ended it early, `problem`, is left to the caller.
---@param text string of its report
---@param problem any what `run` raised, or nil
function output.summarise(given, text, problem)
  if failure.is(problem) and not problem.text then
    return
  end
  local note = problem and (weir.kind(problem) == "cancelled" and "interrupted, " or "stopped early, ") or ""
  output.say(given, given.json and text or "fanout.lua: " .. note .. text)
end

return output
