#!/usr/bin/env weir
-- webhooks.lua - deliver many webhooks: so many at once, at each receiver's rate, until they arrive.
--
--     weir scripts/webhooks.lua --journal state.jsonl deliveries.jsonl
--     weir scripts/webhooks.lua --journal state.jsonl --resume deliveries.jsonl
--     weir scripts/webhooks.lua             # a demonstration against receivers of its own
--
-- Its parts are in webhooks/: options (command line), source and delivery (input), journal (what
-- was done), destination (what one receiver may be sent, and when), origin (which one that is), run
-- (the work), report, demo and server; docs/webhooks.md says how they work together. Runs under
-- `weir` and plain Lua 5.4.

local here <const> = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local weir = require "weir"

local failure = require "support.failure"
local lines = require "support.lines"
local shell = require "support.shell"
local demo = require "webhooks.demo"
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

-- Are two of the files one, by whatever links? Those that are not there yet are none.
local function check_different(given)
  local files = { given.source, given.journal, given.dead_letter }
  for i = 1, 3 do
    for j = i + 1, 3 do
      if files[i] and files[j] and shell.is_one_file(files[i], files[j]) then
        usage("webhooks.lua: SOURCE, --journal and --dead-letter: expected different files")
      end
    end
  end
end

local function open_dead_letters(given)
  if not given.dead_letter then
    return nil
  end
  return check("--dead-letter: ", lines.open(given.dead_letter, "ab"))
end

local function summarise(given, report, note)
  if not given.quiet then
    io.stdout:write(given.json and report:json() or "webhooks.lua: " .. note .. report:text(), "\n")
    io.stdout:flush()
  end
end

-- Deliver what the command line names. Returns the exit code.
local function deliver(given)
  check_different(given)
  local from <close> = check("", source.open(given.source))
  local opened, note = journal.open(given.journal, given.resume)
  local record <close> = check("--journal: ", opened, note)
  if note then
    io.stderr:write("webhooks.lua: --journal: ", note, "\n")
  end
  local dead <close> = open_dead_letters(given)
  check_different(given) -- those that have just been made too
  local report = new_report()
  local fine, problem = pcall(run, from, record, dead, given, report)
  summarise(given, report, fine and "" or weir.kind(problem) == "cancelled" and "interrupted, " or "stopped early, ")
  if not fine then
    error(problem, 0)
  end
  return report:is_clean() and 0 or 1
end

local function main()
  local given, complaint = options.parse(arg)
  if not given then
    usage(complaint)
  end
  local fine, result = pcall(given.demo and demo or deliver, given)
  if fine then
    return result
  elseif not failure.is(result) then
    error(result, 0)
  end
  return result:report("webhooks.lua")
end

os.exit(weir.run(main), true)
