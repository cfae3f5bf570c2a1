-- webhooks.server - the receivers of the demonstration: one server that plays all of them.
--
--     weir webhooks/server.lua MOST [SEED]     prints "listening PORT", then a blank line now and then
--
-- A receiver is the first part of the path. It takes at most MOST deliveries in any second (0: any number),
-- and answers 429 with Retry-After to what comes beyond. The second part says how it behaves:
--   /NAME            works some milliseconds; one first attempt in a hundred fails with 500
--   /NAME/fine       the same without failures       /NAME/gone    410
--   /NAME/late       503 and Retry-After as a date, two seconds ahead, for the first attempt of each id
--   /NAME/broken     500 for ever                     /NAME/silent  never answers
--   /NAME/curt       429 without Retry-After for the first attempt of each id
--   /NAME/holiday    503 and a Retry-After of 20 digits
-- /report says what each saw since the last /report, /twice lists ids that were taken more than
-- once, /quit ends the server. It also ends when nobody reads its output any more.

local here <const> = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../?.lua;" .. package.path

local json = require "weir.json"
local weir = require "weir"

local fifo = require "support.fifo"
local server = require "support.server"

local most <const> = tonumber(arg[1]) or 0
local draw <const> = server.draws(math.tointeger(tonumber(arg[2])) or 1)

-- How many events lie in the last second, at most and now.
local function new_second()
  return { times = fifo.new(), peak = 0 }
end

local function count_second(second, now)
  local times <const> = second.times
  while times:size() > 0 and times:peek() <= now - 1 do
    times:pop()
  end
  return times:size()
end

local function add_second(second, now)
  second.times:push(now)
  second.peak = math.max(second.peak, count_second(second, now))
end

local receivers = {}
local tried = {} -- id -> attempts so far
local taken = {} -- id -> how many times it was taken

local function receiver(name)
  local r = receivers[name]
  if not r then
    r = { seen = 0, taken = 0, refused = 0, doubled = 0, in_flight = 0, peak = 0, arrivals = new_second(),
      accepted = new_second() }
    receivers[name] = r
  end
  return r
end

local function http_date(seconds)
  return os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + seconds)
end

local function behave(mode, id)
  if mode == "silent" then
    weir.sleep(3600)
  end
  weir.sleep(server.working_time(draw(id, 1)))
  if mode == "gone" then
    return { status = 410, body = "gone\n" }
  elseif mode == "broken" or (mode == "" and tried[id] == 1 and draw(id, 2) < 0.01) then
    return { status = 500, body = "out of luck\n" }
  elseif mode == "holiday" then
    return { status = 503, headers = { ["retry-after"] = ("9"):rep(20) }, body = "away\n" }
  elseif mode == "curt" and tried[id] == 1 then
    return { status = 429, body = "no\n" }
  elseif mode == "late" and tried[id] == 1 then
    return { status = 503, headers = { ["retry-after"] = http_date(2) }, body = "later\n" }
  end
end

local function deliver(r, mode, id)
  local now = weir.now()
  r.seen = r.seen + 1
  add_second(r.arrivals, now)
  if most > 0 and count_second(r.accepted, now) >= most then
    r.refused = r.refused + 1
    return { status = 429, headers = { ["retry-after"] = "1" }, body = "not so fast\n" }
  end
  add_second(r.accepted, now)
  tried[id] = (tried[id] or 0) + 1
  r.in_flight = r.in_flight + 1
  r.peak = math.max(r.peak, r.in_flight)
  local _ <close> = setmetatable({}, { __close = function() r.in_flight = r.in_flight - 1 end })
  local answer = behave(mode, id)
  if answer then
    return answer
  end
  taken[id] = (taken[id] or 0) + 1
  r.taken = r.taken + (taken[id] == 1 and 1 or 0)
  r.doubled = r.doubled + (taken[id] == 2 and 1 or 0)
  return { status = 200, body = "taken\n" }
end

local function report()
  local list = {}
  for name, r in pairs(receivers) do
    list[name] = { seen = r.seen, taken = r.taken, refused = r.refused, doubled = r.doubled, in_flight = r.peak,
      in_a_second = r.arrivals.peak }
  end
  receivers = {}
  return { status = 200, headers = { ["content-type"] = "application/json" }, body = json.encode(list) }
end

local function twice()
  local list = {}
  for id, n in pairs(taken) do
    if n > 1 then
      list[#list + 1] = id .. "\n"
    end
  end
  table.sort(list)
  return { status = 200, body = table.concat(list) }
end

local function handle(request)
  local path <const> = request.path
  if path == "/report" then
    return report()
  elseif path == "/twice" then
    return twice()
  end
  local name, mode = path:match("^/([%w-]+)/?(%w*)$")
  local id = request.headers["idempotency-key"]
  if not name or not id then
    return { status = 400, body = "expected /NAME and an Idempotency-Key\n" }
  end
  return deliver(receiver(name), mode, id)
end

server.run(handle, "close")
