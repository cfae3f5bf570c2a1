#!/usr/bin/env weir
-- webhooks.lua - deliver many webhooks: so many at once, at each receiver's rate, until they arrive.
--
--     weir scripts/webhooks.lua --journal state.jsonl deliveries.jsonl
--     weir scripts/webhooks.lua --journal state.jsonl --resume deliveries.jsonl
--     weir scripts/webhooks.lua             # a demonstration against receivers of its own
--
-- Its parts are in webhooks/: options (command line), source and delivery (input), journal (what
-- was done), destination (what one receiver may be sent, and when), run (the work), report, demo,
-- server and failure; docs/webhooks.md says how they work together. Runs under `weir` and plain Lua 5.4.

local here <const> = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local weir = require "weir"

local lines = require "support.lines"
local demo = require "webhooks.demo"
local failure = require "webhooks.failure"
local journal = require "webhooks.journal"
local options = require "webhooks.options"
local new_report = require "webhooks.report".new
local run = require "webhooks.run"
local source = require "webhooks.source"

local function usage(text)
  io.stderr:write(text, "\n")
  os.exit(2)
end

local function check(what, value, why)
  if not value then
    usage(("webhooks.lua: %s%s"):format(what, why))
  end
  return value
end

local function summarise(given, report, note)
  if not given.quiet then
    io.stdout:write(given.json and report:json() or "webhooks.lua: " .. note .. report:text(), "\n")
    io.stdout:flush()
  end
end

-- Deliver what the command line names. Returns the exit code.
local function deliver(given)
  local from <close> = check("", source.open(given.source))
  local record <close> = check("--journal: ", journal.open(given.journal, given.resume))
  local dead <close> = given.dead_letter and check("--dead-letter: ", lines.open(given.dead_letter, "ab")) or nil
  local report = new_report()
  local fine, problem = pcall(run, from, record, dead, given, report)
  summarise(given, report, fine and "" or "interrupted, ")
  if failure.is(problem) then
    io.stderr:write("webhooks.lua: ", tostring(problem), "\n")
    return 2
  elseif not fine then
    error(problem, 0)
  end
  return report:is_clean() and 0 or 1
end

local function main()
  local given, complaint = options.parse(arg)
  if not given then
    usage(complaint)
  end
  return (given.demo and demo or deliver)(given)
end

os.exit(weir.run(main), true)
