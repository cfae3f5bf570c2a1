-- dedup.demo - a herd against a slow origin: straight to it, then through the proxy.
--
-- The origin is a second process (dedup/server.lua): 150 ms for an answer, 20 at a time. Each phase
-- sends its requests, many at once, and asks the origin afterwards how often it was asked; the
-- counts of both sides are printed side by side, and must agree with what the proxy promises.

local http = require "weir.http"
local json = require "weir.json"
local weir = require "weir"

local child = require "support.child"
local options = require "dedup.options"
local serve = require "dedup.serve"

local here <const> = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$")
local AT_ONCE <const> = 500
local SLOW <const> = 0.15 -- seconds of an answer
local DESK <const> = 20   -- answers the origin works on at once

local function quantile(list, share)
  return list[math.max(1, math.ceil(#list * share))] or 0
end

-- `n` requests for what `path(i)` says, so many at once. Waits in ms, sorted; and failures.
local function herd(client, base, n, path, at_once)
  local times, failures, i = {}, 0, 0
  weir.each(function()
    i = i + 1
    return i <= n and i or nil
  end, function(k)
    local began <const> = weir.now()
    local fine, response = pcall(client.get, client, base .. path(k))
    times[#times + 1] = (weir.now() - began) * 1000
    if not fine or response.status ~= 200 then
      failures = failures + 1
    end
  end, { limit = at_once })
  table.sort(times)
  return times, failures
end

---@param given table as dedup.options makes it
---@return integer exit code
return function(given)
  local function say(text)
    if not given.json then
      io.stdout:write(text, "\n")
      io.stdout:flush()
    end
  end
  local origin <close> = child.start(here .. "/server.lua", SLOW, DESK)
  local at_once <const> = child.affordable(math.min(AT_ONCE, given.demo)) // 2
  local behind = assert(options.parse { "--origin", origin.base, "--listen", "0" })
  behind.quiet = true
  local proxy <close> = serve(behind)
  local through <const> = ("http://127.0.0.1:%d"):format(proxy.port)
  local client <close> = http.client { max = at_once, timeout = 60 }

  local rows, fine = {}, true
  local function phase(title, base, n, path, most)
    local times, failures = herd(client, base, n, path, at_once)
    local seen = client:get(origin.base .. "/report"):json()
    rows[#rows + 1] = { title = title, requests = n, origin_hits = seen.requests, failures = failures,
      p50 = quantile(times, 0.5), p99 = quantile(times, 0.99) }
    if failures > 0 or (most and seen.requests > most) then
      fine = false
    end
    say(("  %-44s%9d%13d%8.0f ms%8.0f ms"):format(title, n, seen.requests, quantile(times, 0.5), quantile(times, 0.99)))
  end

  local n <const> = given.demo
  local few <const> = math.min(n, at_once)
  say(("dedup.lua: a demonstration (see --help): an origin that takes %.0f ms for an answer, %d at a time;\n"
    .. "  %d requests at once"):format(SLOW * 1000, DESK, at_once))
  say(("  %-44s%9s%13s%11s%11s"):format("", "requests", "origin hits", "p50", "p99"))
  phase("straight to the origin, one hot page", origin.base, few, function() return "/hot/1" end)
  phase("through the proxy: cold, all at once", through, few, function() return "/hot/1" end, 1)
  phase("the same page, fresh", through, n, function() return "/hot/1" end, 2)
  weir.sleep(1.2)
  phase("the same page, expired: stale, renewed behind", through, few, function() return "/hot/1" end, 1)
  phase("200 pages, each asked for many times", through, n, function(k) return "/item/" .. k * 7919 % 200 end, 200)
  phase("private pages: nobody gets another's", through, 100, function(k) return "/private/" .. k % 10 end)
  local stats <const> = proxy:stats()
  if given.json then
    io.stdout:write(json.encode { phases = rows, proxy = stats, fine = fine }, "\n")
  end
  say(("  the proxy: %d requests, %d hits, %d joined a load, %d stale, %d misses, %d passed; %d requests to the origin")
    :format(stats.seen.requests, stats.seen.hit, stats.seen.joined, stats.seen.stale, stats.seen.miss,
      stats.seen.pass, stats.origin.requests))
  return fine and 0 or 1
end
