#!/usr/bin/env weir
-- dedup.lua - a caching reverse proxy that asks its origin once, however many ask it.
--
--     weir scripts/dedup.lua --origin http://127.0.0.1:3000 --listen 8080 --ttl 60
--     weir scripts/dedup.lua                # a demonstration against an origin of its own
--
-- Its parts are in dedup/: options (command line), directives and policy (what HTTP allows a cache),
-- headers (what of a head goes on), status (Cache-Status), origin (requests to it), proxy (who shares what), serve (the
-- socket), demo and server; docs/dedup.md says how they work together. Runs under `weir` and plain Lua 5.4.

local here <const> = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local weir = require "weir"

local demo = require "dedup.demo"
local options = require "dedup.options"
local serve = require "dedup.serve"
local failure = require "support.failure"

local GRACE <const> = 4 -- seconds for requests under way, once it is interrupted

local function summary(stats)
  local seen <const> = stats.seen
  return ("dedup.lua: %d requests in %.0f s: %d hits, %d stale, %d joined, %d misses, %d as they were, %d passed, "
    .. "%d failed; %d requests to the origin"):format(seen.requests, stats.seconds, seen.hit, seen.stale, seen.joined,
    seen.miss, seen.revalidated, seen.pass, seen.failed, stats.origin.requests)
end

-- Serve until `interrupted` returns, then let requests under way finish. In a shield: the server is
-- not cancelled with the program, but told.
local function serve_until(given, interrupted)
  local fine, served = pcall(serve, given)
  if not fine then
    if weir.kind(served) ~= "network" then
      error(served, 0)
    end
    io.stderr:write("dedup.lua: ", tostring(served), "\n")
    return 1
  end
  local _ <close> = served
  io.stderr:write(("dedup.lua: listening on http://%s:%d, origin %s, counts at %s\n"):format(given.listen.host,
    served.port, given.origin.base, given.stats_path))
  interrupted()
  pcall(served.drain, served)
  io.stderr:write(summary(served:stats()), "\n")
  return 0 -- the host makes it the signal's
end

local function run_proxy(given)
  local told, tell = false, function() end
  weir.daemon(function()
    local _ <close> = setmetatable({}, { __close = function()
      told = true
      tell()
    end })
    weir.await(function() end) -- until a signal
  end)
  weir.checkpoint() -- it stands there: one that is cancelled before it started would tell nobody
  return weir.shield(GRACE, serve_until, given, function()
    if not told then
      weir.await(function(resume) tell = resume end)
    end
  end)
end

local function main()
  local given, complaint = options.parse(arg)
  if not given then
    io.stderr:write(complaint, "\n")
    return 2
  end
  local fine, result = pcall(given.demo and demo or run_proxy, given)
  if fine then
    return result
  elseif failure.is(result) then
    return result:report("dedup.lua")
  end
  error(result, 0)
end

os.exit(weir.run(main), true)
