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

local http = require "weir.http"
local json = require "weir.json"
local weir = require "weir"

local seed <const> = math.tointeger(arg[1]) or 1
local workers <const> = 60     -- requests worked on at once
local late <const> = 30        -- seconds of an answer that comes too late
local heartbeat <const> = 0.25 -- seconds between two looks whether anybody is there

local desk <const> = weir.semaphore { permits = workers, name = "desk" }

-- A number in [0, 1) that depends on the seed, `n` and `salt` alone.
local function draw(n, salt)
  local x = (n * 0x9E3779B97F4A7C15) ~ (seed * 0xBF58476D1CE4E5B9) ~ (salt * 0x94D049BB133111EB)
  x = (x ~ (x >> 30)) * 0xBF58476D1CE4E5B9
  x = (x ~ (x >> 27)) * 0x94D049BB133111EB
  x = x ~ (x >> 31)
  return (x >> 11) / (1 << 53)
end

-- 3 ms and more, 15 on average, never above 80.
local function working_time(n)
  return math.min(0.08, 0.003 - 0.012 * math.log(1 - draw(n, 1)))
end

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
  desk:with(weir.sleep, working_time(n))
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

local quit

local function handle(request)
  local n = request.path:match("^/item/(%d+)$")
  if n then
    return counted(math.tointeger(n))
  elseif request.path == "/report" then
    local report = json.encode(seen)
    forget()
    return { status = 200, headers = { ["content-type"] = "application/json" }, body = report }
  elseif request.path == "/quit" then
    quit()
    return { status = 200, body = "bye\n" }
  end
  return { status = 404, body = "nothing here\n" }
end

local function watch_reader()
  repeat
    weir.sleep(heartbeat)
  until not (io.stdout:write("\n") and io.stdout:flush())
  os.exit(0) -- whoever started this is gone: nobody to answer, nobody to complain to
end

local function wait_for_quit()
  weir.await(function(resume) quit = resume end)
end

weir.run(function()
  forget()
  local server <close> = http.serve({ host = "127.0.0.1", port = 0 }, handle)
  io.stdout:write(("listening %d\n"):format(server.port))
  io.stdout:flush()
  weir.race { watch_reader, wait_for_quit }
  server:drain()
end)
