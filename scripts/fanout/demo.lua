-- fanout.demo - ten thousand URLs of a server of its own, and what a limit is good for.
--
-- The server is a second process of the interpreter that runs this one (fanout/server.lua). It
-- works on 60 requests at once and gives some of them a bad first answer. The demonstration
-- fetches everything at the limit, then a part again without one, and sets side by side what
-- each request had to wait. At the end both sides must agree: each item answered once.

local http = require "weir.http"

local new_report = require "fanout.report".new
local output = require "fanout.output"
local run = require "fanout.run"
local child = require "support.child"

local here <const> = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$")
local seed <const> = 42
local attempt_timeout <const> = 1 -- seconds; the server's late answers take far longer

local function items(base, first, n)
  local i = 0
  return function()
    i = i + 1
    return i <= n and { source = "demo", line = i, url = ("%s/item/%d"):format(base, first + i - 1) } or nil
  end
end

-- Fetch `n` items from number `first` on. Returns the report and what the server saw; says how far
-- it came if it is ended before.
local function phase(server, given, label, limit, first, n, sink)
  local report = new_report(limit)
  local options = setmetatable({ label = label, limit = limit, timeout = attempt_timeout }, { __index = given })
  local fine, problem = pcall(run, items(server.base, first, n), n, options, report, sink)
  if not fine then
    output.summarise(given, given.json and report:json(false) or report:text(), problem)
    error(problem, 0)
  end
  return report, http.get(server.base .. "/report"):json()
end

-- What only the server can say.
local function seen_by_server(seen, n)
  local once = seen.items == n and seen.doubled == 0 and ("each of the %d items answered exactly once"):format(n)
    or ("of %d items %d answered, %d of them more than once"):format(n, seen.items, seen.doubled)
  return ("  %-12s%d requests, %d in flight at once at most,\n  %-12s%s\n  %-12s500: %d, 503: %d, "
    .. "redirected to a closed port: %d, too late: %d"):format("server", seen.requests, seen.peak, "", once,
    "on purpose", seen.error, seen.unavailable, seen.astray, seen.late)
end

-- Two runs side by side; each of `runs` is { title, report, what the server saw }.
local function compare(runs)
  local rows = {
    { "", function(r) return r[1] end },
    { "URLs", function(r) return r[2].finished end },
    { "in flight at the server", function(r) return r[3].peak end },
    { "p50", function(r) return ("%.0f ms"):format(r[2]:figures().p50) end },
    { "p95", function(r) return ("%.0f ms"):format(r[2]:figures().p95) end },
    { "p99", function(r) return ("%.0f ms"):format(r[2]:figures().p99) end },
    { "answered exactly once", function(r) return r[3].items - r[3].doubled end },
  }
  local lines = {}
  for i, row in ipairs(rows) do
    lines[i] = ("  %-26s%12s%12s"):format(row[1], row[2](runs[1]), row[2](runs[2]))
  end
  return table.concat(lines, "\n")
end

---@param given table as fanout.options makes it
---@return integer exit code
return function(given)
  local function say(text)
    output.say(given, text)
  end
  local results <close> = given.out and output.open(given.out) or nil
  local sink = results and function(record) results:write(record) end

  local server <close> = child.start(here .. "/server.lua", seed)
  local n <const> = given.demo
  local limit <const> = child.affordable(math.min(given.limit, n))
  if not given.json then
    say(("fanout.lua: a demonstration (see --help): %d URLs of %s"):format(n, server.base))
  end
  local bounded, seen = phase(server, given, ("limit %d"):format(limit), limit, 1, n, sink)
  if not given.json then
    say(bounded:text() .. "\n" .. seen_by_server(seen, n))
  end

  local m <const> = child.affordable(math.min(500, n))
  local free, free_seen = phase(server, given, "no limit", math.huge, n + 1, m, sink)
  if given.json then
    say(bounded:json(true) .. "\n" .. free:json(true))
  else
    say(("\nThe same with %d URLs and no limit: the server works on 60 at once,\n"
      .. "and what does not wait here waits there."):format(m))
    say(compare { { "limit " .. limit, bounded, seen }, { "no limit", free, free_seen } })
  end

  local lost = (n - seen.items) + (m - free_seen.items) + seen.doubled + free_seen.doubled
  return (bounded.failed + free.failed + lost) > 0 and 1 or 0
end
