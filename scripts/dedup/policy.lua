-- dedup.policy - what a shared cache may do with a request and with an answer (RFC 9111, 3 to 5; RFC 5861).
--
-- Strict where giving one client what was meant for another would do harm, generous only where the
-- command line says so. A request is answered from the cache, or it is passed on as it is. An answer
-- is for its own request alone (`private`), or it is kept: fresh for `ttl` seconds from when it came
-- (negative: it came stale), then usable for `stale` seconds while it is renewed behind, for
-- `stale_if_error` if the origin fails, and for asking whether it is still right if it has a validator.
-- One that is no-cache is kept too, and never fresh: each request asks about it (RFC 9111, 5.2.2.4).

local directives = require "dedup.directives"

local policy = {}

-- Statuses that may be kept without being told so (RFC 9110, 15.1), 206 left out: no ranges here.
local heuristic <const> = { [200] = true, [203] = true, [204] = true, [300] = true, [301] = true, [308] = true,
  [404] = true, [405] = true, [410] = true, [414] = true, [501] = true }
local safe <const> = { GET = true, HEAD = true, OPTIONS = true, TRACE = true }

--- May a request change something, so that what is kept of its URL is void if it succeeds?
---@param method string
function policy.is_unsafe(method)
  return not safe[method]
end

--- Why a request is passed on without a look at the cache, or nil.
---@param request weir.http.Request
---@param given table the command line
---@return string? why
function policy.passes(request, given)
  local headers <const> = request.headers
  local asked <const> = directives.parse(headers["cache-control"])
  if request.method ~= "GET" and request.method ~= "HEAD" then
    return "method"
  elseif request.body ~= "" then
    return "body"
  elseif headers.authorization then
    return "authorization" -- answers to it are its own (RFC 9111, 3.5)
  elseif headers.cookie and not given.ignore_cookies then
    return "cookie"
  elseif headers.range or headers["if-range"] then
    return "range"
  elseif headers["if-match"] or headers["if-unmodified-since"] then
    return "condition" -- for the origin to judge, not for a cache (RFC 9111, 4.3.2)
  elseif headers.upgrade then
    return "upgrade"
  elseif asked["no-store"] and not given.ignore_clients then
    return "no-store"
  end
  return nil
end

-- What a request asks of a cache.
local function wishes(request, given)
  if given.ignore_clients then
    return {}
  end
  return directives.parse(request.headers["cache-control"] or request.headers.pragma)
end

--- Would the client rather have nothing than a request to the origin?
function policy.only_if_cached(request)
  return directives.parse(request.headers["cache-control"])["only-if-cached"] ~= nil
end

-- Seconds that a request puts up with beyond freshness.
local function max_stale(asked)
  return asked["max-stale"] == true and math.huge or directives.seconds(asked, "max-stale") or 0
end

--- What an answer that is kept is good for at `now`, by what it says and what the request asks:
--- "fresh"; "stale", to be given and renewed behind; or to be asked about first: "request" because
--- this request wants that, "expired" because nobody may have it otherwise.
---@param answer table
---@param request weir.http.Request
---@param given table the command line
---@param now number
---@return "fresh"|"stale"|"request"|"expired"
function policy.use(answer, request, given, now)
  local verdict <const>, asked <const> = answer.verdict, wishes(request, given)
  local ttl <const>, age <const> = verdict.ttl - (now - answer.at), verdict.age + (now - answer.at)
  local oldest <const>, least <const> = directives.seconds(asked, "max-age"), directives.seconds(asked, "min-fresh")
  if asked["no-cache"] or oldest and age >= oldest or ttl > 0 and ttl < (least or 0) then
    return "request"
  elseif ttl > 0 then
    return "fresh"
  elseif not verdict.strict and -ttl < math.max(verdict.stale, max_stale(asked)) then
    -- who bounds the age takes nothing stale, unless he says that too (RFC 9111, 5.2.1.1)
    return (oldest or least) and not asked["max-stale"] and "request" or "stale"
  end
  return "expired"
end

--- May nobody have an answer who came after the origin was asked for it: is it strict, and not fresh?
function policy.is_of_its_time(answer, now)
  return answer.verdict.strict and answer.verdict.ttl <= now - answer.at
end

--- May an answer stand where the origin fails at `now`?
function policy.may_stand(answer, now)
  return now - answer.at - answer.verdict.ttl < answer.verdict.stale_if_error
end

-- Seconds for which an answer is fresh: as it says itself, for shared caches first, or nil. Expires
-- counts from Date, which is the origin's own clock; what is no date has passed.
local function said(found, headers, wall)
  return found["no-cache"] and 0 or directives.seconds(found, "s-maxage") or directives.seconds(found, "max-age")
    or headers.expires and math.max(0, (directives.date(headers.expires) or 0)
      - (directives.date(headers.date) or wall)) or nil
end

-- Seconds that an answer was old when it came (RFC 9111, 4.2.3). Date has whole seconds, and so has
-- `wall`: a second between them may be none.
local function initial_age(headers, delay, wall)
  local date <const> = directives.date(headers.date)
  local counted <const> = math.min(tonumber((headers.age or ""):match("^%s*(%d+)")) or 0, 2 ^ 31)
  return math.max(date and wall - date - 1 or 0, counted + delay)
end

-- The windows after freshness. An origin that says them means them, s-maxage or not; what it does
-- not say is the command line's, unless it forbids to give what is stale.
local function windows(found, given)
  if found["must-revalidate"] or found["proxy-revalidate"] or found["no-cache"] then
    return 0, 0, true
  end
  local strict <const> = found["s-maxage"] ~= nil
  return directives.seconds(found, "stale-while-revalidate") or strict and 0 or given.stale,
    directives.seconds(found, "stale-if-error") or strict and 0 or given.stale_if_error, false
end

---@class dedup.Verdict
---@field private boolean for its own request alone
---@field why? string
---@field kept boolean
---@field ttl number seconds
---@field age number seconds that it was old when it came
---@field stale number seconds
---@field stale_if_error number seconds
---@field strict boolean never to be given past its freshness, whatever a client allows
---@field vary string[]

--- What may be done with an answer.
---@param status integer
---@param headers table<string, any>
---@param given table the command line
---@param delay? number seconds from the request to the answer
---@param wall? integer seconds since 1970
---@return dedup.Verdict
function policy.judge(status, headers, given, delay, wall)
  wall = wall or os.time()
  local found <const> = directives.parse(headers["cache-control"])
  local vary <const> = directives.vary(headers.vary)
  local lifetime <const> = said(found, headers, wall)
  local stale <const>, stale_if_error <const>, strict <const> = windows(found, given)
  local verdict = { private = false, kept = false, ttl = 0, age = initial_age(headers, delay or 0, wall),
    vary = vary ~= "*" and vary or {}, stale = stale, stale_if_error = stale_if_error,
    strict = strict or found["s-maxage"] ~= nil }
  local why = found["no-store"] and "no-store" or found.private and "private" or headers["set-cookie"] and "set-cookie"
    or vary == "*" and "vary" or status == 206 and "range" or status == 304 and "condition"
  if why then
    verdict.private, verdict.why = true, why
  elseif lifetime or (heuristic[status] and status ~= 501) then
    verdict.kept = true
    verdict.ttl = (lifetime or (status < 400 and given.ttl or given.negative_ttl)) - verdict.age
  end
  return verdict
end

--- Seconds for which a cache has a use for an answer.
---@param answer table
---@param given table the command line
---@return number
function policy.worth(answer, given)
  local verdict <const>, headers <const> = answer.verdict, answer.headers
  if not verdict.kept then
    return 0
  end
  local ask <const> = (headers.etag or headers["last-modified"]) and given.keep or 0
  return math.max(0, verdict.ttl + math.max(verdict.stale, verdict.stale_if_error, ask))
end

return policy
