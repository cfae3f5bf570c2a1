-- dbpool.options - the command line of dbpool.lua: what may be said, checked and converted.

local found, argparse = pcall(require, "argparse")
if not found then
  error("dbpool.lua needs argparse (Debian: lua-argparse, LuaRocks: argparse)", 0)
end

local words = require "support.words"

local options = {}

local description <const> = [[
Show what long queries do to short ones that share a connection pool, and what helps.

An API asks short queries at a steady rate; then many reports, long queries, start at once, as a
job at 3 a.m. does. Three times over: with one pool for all; with a bulkhead, a semaphore that lets
only so many reports have a connection; with a pool of their own for the reports. What the API's
requests had to wait is drawn over time, and set side by side at the end.]]

local epilog <const> = [[
Without --postgres an SQLite file in a temporary folder is used and removed. In a PostgreSQL database
a table weir_dbpool is made, and dropped at the end; nothing else is touched. The length of a report
is measured first, so that --report-ms holds on any machine.

Exit code: 0 the API was served while the reports ran, in the bulkhead and with two pools; 1 it was
not, or the database failed; 2 wrong usage; 130 interrupted.]]

local scenarios <const> = { shared = true, bulkhead = true, separate = true }

local function build()
  local parser = argparse("dbpool.lua", description, epilog):usage_max_width(100)
  local function option(name, argname, convert, text)
    local made = parser:option(name):argname(argname):description(text)
    if convert then
      made:convert(convert)
    end
    return made
  end
  local function seconds(name, least)
    return words.number(name, least, 1e5, false, ("seconds, %g or more"):format(least))
  end
  option("--postgres", "URL", nil, "a PostgreSQL database instead of SQLite")
  option("--path", "FILE", nil, "an SQLite file to use, and keep")
  option("--pool", "N", words.integer("--pool", 2, 1000), "connections in the pool (10)")
  option("--bulkhead", "N", words.integer("--bulkhead", 1, 1000), "reports that may have one at once (5)")
  option("--rate", "R", words.number("--rate", 1, 1e5, false, "requests a second, 1 or more"),
    "API requests a second (200)")
  option("--reports", "N", words.integer("--reports", 0, 100000), "long queries (50)")
  option("--report-ms", "MS", words.number("--report-ms", 1, 1e6, false, "milliseconds, 1 or more"),
    "how long each of them takes alone (200)")
  option("--seconds", "S", seconds("--seconds", 0.1), "of API traffic (8)")
  option("--start", "S", seconds("--start", 0), "when the reports come (a quarter of that)")
  option("--patience", "S", seconds("--patience", 0.001), "an API request waits so long for a connection (0.25)")
  option("--scenario", "NAME", function(name)
    return scenarios[name] and name or nil, ("--scenario: expected shared, bulkhead or separate, got '%s'"):format(name)
  end, "only this one: shared, bulkhead or separate"):count("*")
  option("--seed", "N", words.integer("--seed", 0, math.maxinteger), "of the arrivals (1)")
  option("--width", "N", words.integer("--width", 40, 500), "columns of the plots (the terminal's)")
  parser:flag("--json"):description("all figures as one JSON object, no plots")
  return parser
end

local defaults <const> = {
  pool = 10, bulkhead = 5, rate = 200, reports = 50, report_ms = 200, seconds = 8, patience = 0.25, seed = 1,
}

---@param line string[] the command line, without the script
---@return table? options nil if it is wrong
---@return string? complaint for standard error
function options.parse(line)
  local parser = build()
  local fine, given = parser:pparse(line)
  if not fine then
    return nil, ("%s\ndbpool.lua: %s"):format(parser:get_usage(), given)
  end
  for name, value in pairs(defaults) do
    if given[name] == nil then
      given[name] = value
    end
  end
  given.start = given.start or given.seconds / 4
  if #given.scenario == 0 then
    given.scenario = { "shared", "bulkhead", "separate" }
  end
  if given.bulkhead >= given.pool then
    return nil, "dbpool.lua: --bulkhead must be less than --pool, or it leaves the API nothing"
  elseif given.start >= given.seconds then
    return nil, "dbpool.lua: --start must be less than --seconds"
  elseif given.postgres and given.path then
    return nil, "dbpool.lua: --path is for SQLite, --postgres for PostgreSQL"
  end
  return given
end

return options
