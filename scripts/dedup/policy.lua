-- dedup.policy - what a shared cache may do with a request and with an answer (RFC 9111, 3 and 4).
--
-- Strict where giving one client what was meant for another would do harm, generous only where the
-- command line says so. A request is answered from the cache, or it is passed on as it is. An
-- answer is `kept` for `ttl` seconds, or is for its own request alone (`private`).

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
  elseif headers.upgrade then
    return "upgrade"
  elseif asked["no-store"] and not given.ignore_clients then
    return "no-store"
  end
  return nil
end

--- Does the client ask for what is newer than anything kept?
function policy.wants_fresh(request, given)
  if given.ignore_clients then
    return false
  end
  local said_it <const> = request.headers["cache-control"] or request.headers.pragma
  local asked <const> = directives.parse(said_it)
  return asked["no-cache"] ~= nil or directives.seconds(asked, "max-age") == 0
end

--- Would the client rather have nothing than a request to the origin?
function policy.only_if_cached(request)
  return directives.parse(request.headers["cache-control"])["only-if-cached"] ~= nil
end

-- Seconds for which an answer is fresh: as it says itself, for shared caches first, or nil.
local function said(found, headers)
  return directives.seconds(found, "s-maxage") or directives.seconds(found, "max-age")
    or headers.expires and math.max(0, directives.until_date(headers.expires) or 0) or nil
end

--- What may be done with an answer.
---@param headers table<string, any>
---@param status integer
---@param given table the command line
---@return { private: boolean, why: string?, kept: boolean, ttl: number, strict: boolean, age: number, vary: string[] }
function policy.judge(status, headers, given)
  local found <const> = directives.parse(headers["cache-control"])
  local vary <const> = directives.vary(headers.vary)
  local lifetime <const> = said(found, headers)
  local age <const> = headers.age and tonumber(headers.age:match("^%s*(%d+)%s*$")) or 0
  local verdict = { private = false, kept = false, ttl = 0, age = age, vary = vary ~= "*" and vary or {},
    strict = (found["must-revalidate"] or found["proxy-revalidate"] or found["s-maxage"]) ~= nil }
  local why = found["no-store"] and "no-store" or found.private and "private" or found["no-cache"] and "no-cache"
    or headers["set-cookie"] and "set-cookie" or vary == "*" and "vary" or status == 206 and "range"
  if why then
    verdict.private, verdict.why = true, why
  elseif lifetime or (heuristic[status] and status ~= 501) then
    verdict.kept = true
    verdict.ttl = math.max(0, (lifetime or (status < 400 and given.ttl or given.negative_ttl)) - age)
  end
  return verdict
end

return policy
