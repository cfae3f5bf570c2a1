#!/usr/bin/env weir
-- dbpool.lua - the 3 a.m. story: fifty long reports start while an API answers from the same database.
--
--     weir scripts/dbpool.lua                          # on an SQLite file of its own
--     weir scripts/dbpool.lua --postgres postgres://user@host/db
--
-- The same traffic runs three times: with one pool for all, with a bulkhead before the reports (a
-- semaphore), with a pool of their own. Its parts are in dbpool/: options (command line), database
-- (what is asked of which), traffic (who asks when), scenario (who shares what), record (waits and
-- refusals over time), report and plot. Runs under `weir` and plain Lua 5.4.

local here <const> = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local weir = require "weir"

local database = require "dbpool.database"
local options = require "dbpool.options"
local report = require "dbpool.report"
local scenario = require "dbpool.scenario"

local function tell(given, text)
  if not given.json then
    io.stdout:write(text, "\n")
    io.stdout:flush()
  end
end

local function run(given)
  local base <close> = database.open(given)
  tell(given, report.head(given, base))
  local runs = {}
  for _, name in ipairs(given.scenario) do
    local seen = scenario.run(name, given, base)
    runs[#runs + 1] = seen
    tell(given, report.plot(seen, given))
  end
  if given.json then
    io.stdout:write(report.json(runs, given, base), "\n")
  else
    tell(given, report.table(runs, given, base))
  end
  return report.is_fine(runs) and 0 or 1
end

local function main()
  local given, complaint = options.parse(arg)
  if not given then
    io.stderr:write(complaint, "\n")
    return 2
  end
  local fine, code = pcall(run, given)
  if fine then
    return code
  end
  local kind <const> = weir.kind(code)
  if kind == "network" or kind == "query" or kind == "open" then -- what the database says, without a stack
    io.stderr:write("dbpool.lua: ", tostring(code), "\n")
    return 1
  end
  error(code, 0)
end

os.exit(weir.run(main), true)
