-- fanout.run - every item of a source through one client, so many at once.
--
-- run(pull, total, options, report, sink) fetches what `pull` gives, puts each finished record
-- into `report` and hands it to `sink`, in the order in which they finish. What is raised in
-- the middle (cancelled, a sink that cannot write, the first failure with --fail-fast) passes;
-- the report's clock has stopped then too and its counts are those of what had finished.
-- User names and passwords of URLs are used, never shown.

local http = require "weir.http"
local weir = require "weir"
local new_progress = require "weir.progress"

local failure = require "support.failure"
local fetch = require "fanout.fetch"
local describe = require "fanout.report".describe
local is_terminal = require "support.shell".is_terminal

local REDRAW <const> = 0.25   -- seconds; a bar on a terminal moves on when nothing finishes
local TURN <const> = 1e-9     -- seconds; the clock is read again, after what was done before blocked it
local COMPLAINTS <const> = 20 -- lines that are no URLs and are named; all are counted
local SHOWN <const> = 200     -- bytes of such a line

-- What is shown of a URL: no credentials. Where a line that is no URL would have them is
-- anybody's guess, so all before its last @ goes.
local function shown(url, is_broken)
  if is_broken then
    url = url:gsub("^(%a[%w+.-]*://).*@", "%1"):gsub("^.*@", function(all)
      return all:find("^%a[%w+.-]*://") and all or ""
    end)
    url = #url > SHOWN and url:sub(1, SHOWN) .. "..." or url
    return utf8.len(url) and url or url:gsub("[\x80-\xff]", function(byte) return ("%%%02X"):format(byte:byte()) end)
  end
  return (url:gsub("^(%a+://)[^/?#\\]*@", "%1"))
end

-- The record of a line that is no URL.
local function refused(item)
  return { attempts = 0, bytes = 0, error = "line", message = item.problem }
end

-- The progress line there is to be, if any, and whether it is redrawn in place. It keeps away from
-- a terminal that shows the results, or what is typed.
local function open_progress(options, total)
  if options.quiet or (options.out == "-" and is_terminal(1)) or options.is_typed then
    return nil, false
  end
  local is_drawn = is_terminal(2)
  local label = not is_drawn and (options.label and "fanout.lua: " .. options.label or "fanout.lua") or options.label
  return new_progress { total = total, label = label }, is_drawn
end

---@param pull fun(): table? items as fanout.input makes them
---@param total integer? how many, if that is known
---@param options table as fanout.options makes it
---@param report table takes the records
---@param sink? fun(record: table)
local function run(pull, total, options, report, sink)
  local client <close> = http.client {
    max = options.limit < math.huge and options.limit or nil,
    timeout = options.timeout, headers = options.headers, verify = not options.insecure,
  }
  local opened, is_drawn = open_progress(options, total)
  local progress <close> = opened
  local complaints = 0

  local function say(text)
    if progress then
      progress:message("fanout.lua: " .. text)
    else
      io.stderr:write("fanout.lua: ", text, "\n")
    end
  end

  local function complain(record)
    complaints = complaints + 1
    if complaints <= COMPLAINTS then
      say(("%s:%d: %s"):format(record.source, record.line, record.message))
    elseif complaints == COMPLAINTS + 1 then
      say("more lines that are no URLs are counted, not named")
    end
  end

  local function work(item)
    if progress then
      progress:start()
    end
    local began <const> = weir.now()
    local record = item.problem and refused(item) or fetch(client, item, options, report)
    record.source, record.line, record.url = item.source, item.line, shown(item.url, record.error == "line")
    record.ms = (weir.now() - began) * 1000
    if sink then
      sink(record) -- first: what could not be written is not counted
    end
    report:add(record)
    if progress then
      progress:finish(record.error == nil)
    end
    if record.error and options.fail_fast then
      failure.raise("stopped, " .. describe(record), 1)
    elseif record.error == "line" then
      complain(record)
    end
  end

  local _ <close> = setmetatable({}, { __close = function() report:stop() end })
  weir.sleep(TURN)
  report:start()
  local function all()
    weir.each(function()
      local item = pull()
      if not item then
        report:drained()
      end
      return item
    end, work, { limit = options.limit })
  end
  if not is_drawn then
    return all()
  end
  weir.race { all, function()
    while true do
      weir.sleep(REDRAW)
      progress:draw()
    end
  end }
end

return run
