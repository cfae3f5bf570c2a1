-- fanout.run - every item of a source through one client, so many at once.
--
-- run(pull, total, options, report, sink) fetches what `pull` gives, puts each finished record
-- into `report` and hands it to `sink`, in the order in which they finish. What is raised in
-- the middle (cancelled, a sink that cannot write, the first failure with --fail-fast) passes;
-- the report's clock has stopped then too and its counts are those of what had finished.

local http = require "weir.http"
local weir = require "weir"
local new_progress = require "weir.progress"

local fetch = require "fanout.fetch"

-- The record of a line that is no URL.
local function refused(item)
  return { attempts = 0, bytes = 0, error = "line", message = item.problem }
end

local function complain(progress, record)
  local text = ("fanout.lua: %s:%d: %s"):format(record.source, record.line, record.message)
  if progress then
    progress:message(text)
  else
    io.stderr:write(text, "\n")
  end
end

---@param pull fun(): table? items as fanout.input makes them
---@param total integer
---@param options table as fanout.options makes it
---@param report table takes the records
---@param sink? fun(record: table)
local function run(pull, total, options, report, sink)
  local client <close> = http.client {
    max = options.limit < math.huge and options.limit or nil,
    timeout = options.timeout, headers = options.headers, verify = not options.insecure,
  }
  local progress <close> = not options.quiet and new_progress { total = total, label = options.label } or nil

  local function work(item)
    if progress then
      progress:start()
    end
    local began <const> = weir.now()
    local record = item.problem and refused(item) or fetch(client, item, options, report)
    record.source, record.line, record.url = item.source, item.line, item.url
    record.ms = (weir.now() - began) * 1000
    report:add(record)
    if sink then
      sink(record)
    end
    if progress then
      progress:finish(record.error == nil)
    end
    if record.error == "line" or record.error == "misuse" then
      complain(progress, record)
    end
    if record.error and options.fail_fast then
      error(("%s:%d: %s: %s"):format(record.source, record.line, record.url, record.message), 0)
    end
  end

  local _ <close> = setmetatable({}, { __close = function() report:stop() end })
  weir.each(function()
    local item = pull()
    if not item then
      report:drained()
    end
    return item
  end, work, { limit = options.limit })
end

return run
