#!/usr/bin/env weir
-- fanout.lua - fetch many URLs, so many at once, with retries, progress and a summary.
--
--     weir scripts/fanout.lua --limit 20 --out results.jsonl urls.txt
--     weir scripts/fanout.lua               # a demonstration against a server of its own
--
-- Its parts are in fanout/: options (command line), input (URLs), run and fetch (the work),
-- report (summary), output (results file), demo and server; support/ is shared with the other
-- scripts. Runs under `weir` and plain Lua 5.4.

local here <const> = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local weir = require "weir"

local demo = require "fanout.demo"
local input = require "fanout.input"
local options = require "fanout.options"
local output = require "fanout.output"
local new_report = require "fanout.report".new
local run = require "fanout.run"
local failure = require "support.failure"

-- Fetch what the command line names, and say how it went. Returns the exit code.
local function fetch_sources(given)
  local pull, total, is_typed = input.open(given.source)
  given.is_typed = is_typed
  local results <close> = given.out and output.open(given.out) or nil
  local report = new_report(given.limit)
  local fine, problem = pcall(run, pull, total, given, report, results and function(record)
    results:write(record)
  end)
  local text = given.json and report:json(fine) or report:text()
  if fine and report.finished == 0 and not given.json then
    text = "no URL in " .. table.concat(given.source, ", ")
  end
  output.summarise(given, text, problem)
  if not fine then
    error(problem, 0)
  end
  return report.failed > 0 and 1 or 0
end

local function main()
  local given, complaint = options.parse(arg)
  if not given then
    io.stderr:write(complaint, "\n")
    return 2
  end
  local fine, result = pcall(given.demo and demo or fetch_sources, given)
  if fine then
    return result
  elseif not failure.is(result) then
    error(result, 0)
  end
  return result:report("fanout.lua")
end

os.exit(weir.run(main), true)
