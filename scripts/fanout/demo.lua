-- fanout.demo - ten thousand URLs of a server of its own, and what a limit is good for.
--
-- The server is a second process of the interpreter that runs this one (fanout/server.lua). It
-- works on 60 requests at once and gives some of them a bad first answer. The demonstration
-- fetches everything at the limit, then a part again without one, and sets side by side what
-- each request had to wait. At the end both sides must agree: each item answered once.

local http = require "weir.http"
local weir = require "weir"

local new_report = require "fanout.report".new
local output = require "fanout.output"
local run = require "fanout.run"

local here <const> = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$")
local seed <const> = 42
local attempt_timeout <const> = 1 -- seconds; the server's late answers take far longer

-- The interpreter that runs this script, as it was called.
local function interpreter()
  local index = 0
  while arg[index - 1] do
    index = index - 1
  end
  return arg[index]
end

local function quoted(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- Start the server; closing what is returned ends it, and so does the end of this process.
local function start_server()
  local pipe = assert(io.popen(("exec %s %s %d"):format(
    quoted(interpreter()), quoted(here .. "/server.lua"), seed), "r"))
  local port = (pipe:read("l") or ""):match("^listening (%d+)$")
  if not port then
    pipe:close()
    error("the server of the demonstration did not start", 0)
  end
  local server = { base = ("http://127.0.0.1:%s"):format(port) }
  return setmetatable(server, { __close = function()
    weir.shield(2, pcall, http.get, server.base .. "/quit")
    pipe:close()
  end })
end

local function items(base, first, n)
  local i = 0
  return function()
    i = i + 1
    return i <= n and { source = "demo", line = i, url = ("%s/item/%d"):format(base, first + i - 1) } or nil
  end
end

-- How many URLs can be open at once: each is a descriptor here and one in the server.
local function affordable(n)
  local pipe = io.popen("ulimit -n")
  local descriptors = pipe and tonumber(pipe:read("l")) or 256
  if pipe then
    pipe:close()
  end
  return math.max(1, math.min(n, descriptors - 64))
end

-- Fetch `n` items from number `first` on. Returns the report and what the server saw.
local function phase(server, given, label, limit, first, n, sink)
  local report = new_report(limit)
  local options = setmetatable({ label = label, limit = limit, timeout = attempt_timeout }, { __index = given })
  run(items(server.base, first, n), n, options, report, sink)
  return report, http.get(server.base .. "/report"):json()
end

local function check(seen, n)
  if seen.items == n and seen.doubled == 0 then
    return ("each of the %d items was answered exactly once"):format(n)
  end
  return ("of %d items %d were answered, %d more than once"):format(n, seen.items, seen.doubled)
end

local function describe(given, report, seen, n)
  if given.json then
    return report:json()
  end
  return ("%s\n  %-12s%d in flight at once at most, %d requests; %s\n  %-12s%d times 500, %d times 503, "
    .. "%d connections cut, %d answers too late, all on purpose"):format(report:text(),
    "server", seen.peak, seen.requests, check(seen, n),
    "bad luck", seen.error, seen.unavailable, seen.cut, seen.late)
end

---@param given table as fanout.options makes it
---@return integer exit code
return function(given)
  local file <const> = given.out == "-" and io.stderr or io.stdout
  local function say(text)
    if not given.quiet then
      file:write(text, "\n")
      file:flush()
    end
  end
  local function title(text)
    if not given.json then
      say(text)
    end
  end
  local results <close> = given.out and assert(output.open(given.out)) or nil
  local sink = results and function(record) results:write(record) end

  local server <close> = start_server()
  local n <const> = given.demo
  local bounded <const> = affordable(math.min(given.limit, n))
  title(("fanout.lua: %d URLs from %s, %d at a time (see --help for the real thing)"):format(n, server.base, bounded))
  local report, seen = phase(server, given, "limit " .. bounded, bounded, 1, n, sink)
  say(describe(given, report, seen, n))

  local m <const> = affordable(math.min(500, n))
  title(("\nThe same server, %d URLs at once, without a limit"):format(m))
  local wild, wild_seen = phase(server, given, "no limit", math.huge, n + 1, m, sink)
  say(describe(given, wild, wild_seen, m))

  local lost = (n - seen.items) + (m - wild_seen.items) + seen.doubled + wild_seen.doubled
  return (report.failed + wild.failed + lost) > 0 and 1 or 0
end
