#!/usr/bin/env weir
-- size.lua - how many servers a load needs, or what becomes of it with so many.
--
--     weir scripts/size.lua --rate 1000 --service 5ms --target "p99<20ms"
--     weir scripts/size.lua --rate 1000 --service 5ms --cv 2 --servers 8
--
-- A server is whatever a job holds while it is worked on: a connection, a permit, a worker. The
-- maths is weir.queueing's (docs/queueing.md). The parts are in size/: options (command line),
-- units (times, rates, shares), answer (the sums), report and plot. Runs under `weir` and plain
-- Lua 5.4.

local here <const> = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local weir = require "weir"

local answer = require "size.answer"
local options = require "size.options"
local report = require "size.report"

local function stop(code, text)
  io.stderr:write(text, "\n")
  os.exit(code)
end

local given <const>, complaint = options.parse(arg)
if not given then
  stop(2, complaint)
end
local fine <const>, found = pcall(answer, given)
if not fine then
  if weir.kind(found) == "impossible" then
    stop(1, "size.lua: impossible: no pool is that large")
  end
  error(found, 0)
end
local written, why = io.stdout:write(given.json and report.json(given, found) or report.text(given, found), "\n")
if written then
  written, why = io.stdout:flush()
end
if not written then
  stop(2, "size.lua: cannot write to standard output: " .. why)
end
os.exit(found.kept and 0 or 1, true)
