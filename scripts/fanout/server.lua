-- fanout.server - what the demonstration fetches from: an HTTP server that has its bad days.
--
--     weir fanout/server.lua SEED      prints "listening PORT", then a blank line now and then
--
-- /item/N answers after a time drawn from N and the seed. The first request for some N goes
-- wrong, which ones is drawn too: 500, 503 with Retry-After, a redirection to where nobody
-- listens, an answer that comes much too late; the next request for it is answered. Only so
-- many are worked on at once, the rest wait their turn, as with any real server. /report says
-- what was seen since the last report, /quit ends the server. It also ends when nobody reads
-- its output any more.

local here <const> = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../?.lua;" .. package.path

local json = require "weir.json"
local weir = require "weir"

local server = require "support.server"

local workers <const> = 60 -- requests worked on at once
local late <const> = 30    -- seconds of an answer that comes too late

local desk <const> = weir.semaphore { permits = workers, name = "desk" }
local draw <const> = server.draws(math.tointeger(arg[1]) or 1)

local function trouble(n)
  local x = draw(n, 2)
  return x < 0.010 and "error" or x < 0.012 and "unavailable" or x < 0.016 and "astray" or x < 0.018 and "late"
end

local seen

local function forget()
  seen = { requests = 0, in_flight = 0, peak = 0, items = 0, doubled = 0 }
  seen.error, seen.unavailable, seen.astray, seen.late = 0, 0, 0, 0
end

local answers = {} -- item -> how many times it was answered with 200
local asked = {}   -- item -> requests so far

local function item(n)
  asked[n] = (asked[n] or 0) + 1
  local what = asked[n] == 1 and trouble(n)
  if what then
    seen[what] = seen[what] + 1
  end
  if what == "late" then
    weir.sleep(late)
  end
  desk:with(weir.sleep, server.working_time(draw(n, 1)))
  if what == "error" then
    return { status = 500, body = "out of luck\n" }
  elseif what == "unavailable" then
    return { status = 503, headers = { ["retry-after"] = "1" }, body = "later\n" }
  elseif what == "astray" then
    return { status = 302, headers = { location = "http://127.0.0.1:1/" } }
  end
  answers[n] = (answers[n] or 0) + 1
  seen.items = seen.items + (answers[n] == 1 and 1 or 0)
  seen.doubled = seen.doubled + (answers[n] == 2 and 1 or 0)
  return { status = 200, headers = { ["content-type"] = "text/plain" }, body = ("item %d\n"):format(n) }
end

local function counted(n)
  seen.requests = seen.requests + 1
  seen.in_flight = seen.in_flight + 1
  seen.peak = math.max(seen.peak, seen.in_flight)
  local _ <close> = setmetatable({}, { __close = function() seen.in_flight = seen.in_flight - 1 end })
  return item(n)
end

local function handle(request)
  local n = request.path:match("^/item/(%d+)$")
  if n then
    return counted(math.tointeger(n))
  elseif request.path == "/report" then
    local report = json.encode(seen)
    forget()
    return { status = 200, headers = { ["content-type"] = "application/json" }, body = report }
  end
  return { status = 404, body = "nothing here\n" }
end

forget()
server.run(handle, "drain")
