#!/usr/bin/env weir
-- fanout.lua - fetch many URLs, so many at once, with retries, progress and a summary.
--
--     weir scripts/fanout.lua --limit 20 --out results.jsonl urls.txt
--     weir scripts/fanout.lua               # a demonstration against a server of its own
--
-- Its parts are in fanout/: options (command line), input (URLs), run and fetch (the work),
-- report (summary), output (results file), demo and server. Runs under `weir` and plain Lua 5.4.

local here <const> = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local weir = require "weir"

local demo = require "fanout.demo"
local input = require "fanout.input"
local options = require "fanout.options"
local output = require "fanout.output"
local new_report = require "fanout.report".new
local run = require "fanout.run"

local function usage(text)
  io.stderr:write(text, "\n")
  os.exit(2)
end

-- The summary goes where the results do not.
local function summarise(given, report, note)
  if given.quiet then
    return
  end
  local file = given.out == "-" and io.stderr or io.stdout
  file:write(given.json and report:json() or "fanout.lua: " .. note .. report:text(), "\n")
  file:flush()
end

-- Fetch what the command line names. Returns the exit code.
local function fetch_sources(given)
  local pull, total = input.open(given.source)
  if not pull then
    usage("fanout.lua: " .. total)
  end
  local results, why
  if given.out then
    results, why = output.open(given.out)
    if not results then
      usage("fanout.lua: --out: " .. why)
    end
  end
  local report = new_report(given.limit)
  local fine, problem = pcall(run, pull, total, given, report, results and function(record)
    results:write(record)
  end)
  if results then
    results:close()
  end
  if fine then
    summarise(given, report, "")
  elseif given.fail_fast and report.failed > 0 and weir.kind(problem) == "error" then
    io.stderr:write("fanout.lua: stopped, ", tostring(problem), "\n")
    summarise(given, report, "stopped early, ")
  else
    summarise(given, report, "interrupted, ")
    error(problem, 0)
  end
  return report.failed > 0 and 1 or 0
end

local function main()
  local given, complaint = options.parse(arg)
  if not given then
    usage(complaint)
  end
  return (given.demo and demo or fetch_sources)(given)
end

os.exit(weir.run(main), true)
