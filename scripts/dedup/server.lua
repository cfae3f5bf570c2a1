-- dedup.server - the origin of the demonstration: slow, and worth being asked once.
--
--     weir dedup/server.lua [SECONDS [AT_ONCE]]    prints "listening PORT", then a blank line now and then
--
-- /hot/N answers after SECONDS (0.15), AT_ONCE (20) at a time, the rest queue; fresh for one second, then stale
-- for whoever allows that. /item/N the same, fresh for a minute. /private/N is its client's alone. /report says what
-- was seen since the last report; how it starts and ends is support/server.lua's.

package.path = arg[0]:match("^(.*)/[^/]*/[^/]*$") .. "/?.lua;" .. package.path

local json = require "weir.json"
local weir = require "weir"

local server = require "support.server"

local seconds <const> = tonumber(arg[1]) or 0.15
local desk <const> = weir.semaphore { permits = math.tointeger(tonumber(arg[2])) or 20, name = "desk" }
local seen

local function forget()
  seen = { requests = 0, in_flight = 0, peak = 0, hits = {} }
end

local lives <const> = {
  hot = "public, max-age=1",
  item = "public, max-age=60",
  private = "private, max-age=60",
}

local function work(kind, target)
  seen.requests = seen.requests + 1
  seen.hits[target] = (seen.hits[target] or 0) + 1
  seen.in_flight = seen.in_flight + 1
  seen.peak = math.max(seen.peak, seen.in_flight)
  local _ <close> = setmetatable({}, { __close = function() seen.in_flight = seen.in_flight - 1 end })
  desk:with(weir.sleep, seconds)
  return { status = 200, headers = { ["content-type"] = "text/plain", ["cache-control"] = lives[kind] },
    body = ("%s, made at %.3f\n"):format(target, weir.now()) }
end

local function handle(request)
  local kind = request.path:match("^/(%l+)/%d+$")
  if kind and lives[kind] then
    return work(kind, request.path)
  elseif request.path == "/report" then
    local report = json.encode(seen)
    forget()
    return { status = 200, headers = { ["content-type"] = "application/json" }, body = report }
  end
  return { status = 404, body = "nothing here\n" }
end

forget()
server.run(handle, "drain")
