-- fuzz/dedup.lua - heads that nobody would write, for what scripts/dedup reads of them.
--
-- A line of directives is made of words whose meaning is known, with whatever may stand beside them; what
-- directives.parse reads must be what was meant. Dates are written in every form and must come back. What an answer
-- is then good for must never be more than it says, and bytes without any meaning must do no harm.

package.path = os.getenv "WEIR_SOURCE" .. "/scripts/?.lua;" .. package.path

local cache_status <const> = require "dedup.status"
local directives <const> = require "dedup.directives"
local heads <const> = require "dedup.headers"
local policy <const> = require "dedup.policy"

local given <const> = { ttl = 60, stale = 30, stale_if_error = 300, keep = 3600, negative_ttl = 1 }
local WALL <const> = 1800000000 -- seconds since 1970

local draw -- draw(n) gives 0 .. n - 1, from the input

local function one_of(list) return list[draw(#list) + 1] end

local function must(holds, ...)
  if not holds then
    local words <const> = table.pack(...)
    for i = 1, words.n do words[i] = type(words[i]) == "string" and ("%q"):format(words[i]) or tostring(words[i]) end
    error("must not be: " .. table.concat(words, " "), 2)
  end
end

-- ---------------------------------------------------------------- texts

-- Bytes that a server lets through in a value: no controls but the tab.
local function bytes(most)
  local list <const> = {}
  for i = 1, draw(most + 1) do
    list[i] = draw(3) == 0 and one_of { ",", '"', "=", " ", "\t", ";", "\\", "*", "W/", "no-store" }
      or string.char(32 + draw(224))
  end
  return table.concat(list)
end

local names <const> = { "no-store", "no-cache", "private", "public", "max-age", "s-maxage", "must-revalidate",
  "proxy-revalidate", "stale-while-revalidate", "stale-if-error", "max-stale", "min-fresh", "only-if-cached", "x",
  "!#$%&'*+-.^_`|~" }
local values <const> = { "0", "1", "60", "2147483648", "2147483649", "99999999999999999999", "007", "1.5", "-1", "+1",
  "soon", "1e3", "0x10" }

local function any_case(text)
  return (text:gsub("%a", function(letter) return draw(2) == 0 and letter or letter:upper() end))
end

local function space() return one_of { "", "", " ", "\t", "  " } end

-- One directive as text; and its name and value, or nothing if it cannot be read.
local function directive()
  local name <const> = one_of(names)
  local text <const> = space() .. any_case(name)
  local kind <const> = draw(6)
  if kind == 0 then
    return one_of { "", "=", "=1", "@", ";", "\"a, b\"", "(x)" }
  elseif kind == 1 then
    local quoted <const> = one_of { "", "60", "a, no-store", "b=1,", " " }
    return ('%s%s=%s"%s"%s'):format(text, space(), space(), quoted, space()), name, quoted
  elseif kind <= 3 then
    local value <const> = one_of(values)
    return text .. space() .. "=" .. space() .. value .. space(), name, value
  end
  return text .. space(), name, true
end

-- A whole line, and what it means.
local function line()
  local words <const>, meant <const> = {}, {}
  for i = 1, draw(8) do
    local text <const>, name <const>, value <const> = directive()
    words[i] = text
    if name and meant[name] == nil then meant[name] = value end
  end
  return table.concat(words, ","), meant
end

local days <const> = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" }

-- A time around WALL, and as text in one of the forms of a date.
local function date()
  local at <const> = WALL + draw(65536) * 997 - 32768 * 997 -- a year to either side
  local form <const> = one_of { "!%a, %d %b %Y %H:%M:%S GMT", "!%A, %d-%b-%y %H:%M:%S GMT", "!%a %b %e %H:%M:%S %Y" }
  return at, (os.date(form, at):gsub("%%A", days[1]))
end

-- ---------------------------------------------------------------- what must hold

local function seconds_are_bounded(found)
  for name in pairs(found) do
    local seconds <const> = directives.seconds(found, name)
    must(seconds >= 0 and seconds <= 2 ^ 31, name, found[name], seconds)
  end
end

local function lines()
  local text <const>, meant <const> = line()
  local found <const> = directives.parse(text)
  for _, name in ipairs(names) do must(found[name] == meant[name], text, name, found[name], meant[name]) end
  seconds_are_bounded(found)
end

local function garbage()
  local text <const> = bytes(64)
  local found <const> = directives.parse(text)
  for name, value in pairs(found) do
    must(name == name:lower() and name:find "^[%w!#$%%&'*+.^_`|~-]+$", text, name)
    must(value == true or type(value) == "string", text, name, value)
  end
  seconds_are_bounded(found)
  must(directives.parse(text .. ", no-store")["no-store"], text) -- nothing before it hides it
  must(math.type(directives.date(text) or 0) == "integer", text)
  local vary <const> = directives.vary(text)
  must(vary == "*" or type(vary) == "table", text)
  for i, name in ipairs(vary == "*" and {} or vary) do
    must(name == name:lower() and not (vary[i - 1] and vary[i - 1] >= name), text, name)
  end
  cache_status(text, { hit = true, ttl = draw(65536) - 32768.5 })
end

local function dates()
  local at <const>, text <const> = date()
  must(directives.date(text) == at, text, at, directives.date(text))
end

local function value() return draw(4) == 0 and bytes(16) or nil end

-- A head with some of what dedup looks at, and what its Cache-Control means if that is known.
local function head()
  local text, meant = line()
  if draw(4) == 0 then text, meant = bytes(32), {} end
  local _, when <const> = date()
  local _, until_then <const> = date()
  return { ["cache-control"] = draw(6) > 0 and text or nil, date = draw(2) == 0 and when or value(),
    expires = draw(2) == 0 and until_then or value(), age = draw(2) == 0 and one_of(values) or value(),
    vary = draw(3) == 0 and one_of { "*", "accept", "accept-encoding, Accept" } or value(),
    etag = draw(2) == 0 and one_of { '"1"', 'W/"1"', '""', '"a,b"' } or value(),
    ["last-modified"] = draw(2) == 0 and when or value() }, meant
end

local function answers()
  local fields <const>, meant <const> = head()
  local status <const> = 200 + draw(400)
  local verdict <const> = policy.judge(status, fields, given, draw(100) / 10, WALL)
  local answer <const> = { headers = fields, verdict = verdict, at = 0 }
  local worth <const>, ttl <const> = policy.worth(answer, given), verdict.ttl
  must(ttl == ttl and worth >= 0 and worth < math.huge and verdict.age >= 0, ttl, worth, verdict.age)
  local is_said <const> = fields["cache-control"] ~= nil
  if is_said and (meant["no-store"] or meant.private) then must(verdict.private, fields["cache-control"]) end
  must(not verdict.private or not verdict.kept and ttl == 0 and worth == 0, fields["cache-control"], worth)

  local asked, wish = line()
  if draw(4) == 0 then asked, wish = bytes(32), {} end
  local request <const> = { method = "GET", body = "", target = "/", headers = { ["cache-control"] = asked } }
  local later <const> = draw(65536) / 16
  local use <const> = policy.use(answer, request, given, later)
  must(use ~= "fresh" or ttl > later, use, ttl, later)
  must(use ~= "stale" or ttl <= later and not verdict.strict, use, ttl, later)
  if use == "fresh" or use == "stale" then
    must(not wish["no-cache"], use, asked)
    must(not (is_said and meant["no-cache"]), use, fields["cache-control"])
    must(use ~= "stale" or not (is_said and (meant["must-revalidate"] or meant["proxy-revalidate"])), use)
    if ttl <= later and (wish["max-age"] or wish["min-fresh"]) then must(wish["max-stale"], use, asked) end
  end
  must(not policy.may_stand(answer, later) or later - ttl < math.max(0, verdict.stale_if_error), later, ttl)
end

local function conditions()
  local fields <const> = head()
  local tag <const> = fields.etag
  local request <const> = { method = "GET", headers = { ["if-none-match"] = bytes(24) } }
  heads.is_not_modified(request, fields)
  if tag and tag:find '^W?/?"[^"]*"$' then
    local list <const> = one_of { "", '"0", ', 'W/"x",' } .. (tag:gsub("^W/", "")) .. one_of { "", ', "z"' }
    request.headers["if-none-match"] = list
    must(heads.is_not_modified(request, fields), list, tag)
    must(heads.confirms({ etag = "W/" .. tag:gsub("^W/", "") }, fields), tag)
    request.headers["if-none-match"] = '"another ' .. tag:gsub('[W/"]', "") .. '"'
    must(not heads.is_not_modified(request, fields), request.headers["if-none-match"], tag)
  end
  local fresh <const> = heads.freshened(fields, (head()))
  must(fresh.connection == nil, fresh.connection)
end

local function targets()
  local rest <const>, host <const> = bytes(24):gsub("%s", ""), one_of { "h:80", "H" }
  local request <const> = { target = one_of { "http://", "HTTPS://", "a+b://" } .. host .. "/" .. rest, headers = {} }
  if draw(3) == 0 then request.target = request.target:gsub("/$", "") end
  heads.normalize(request)
  must(request.target:find "^/", request.target)
  must(request.headers.host:sub(1, #host) == host, request.headers.host)
  local before <const> = one_of { "/", "*", "", "h:80" } .. rest
  request.target = before
  heads.normalize(request)
  must(before:find "^%a[%w+.-]*://" or request.target == before, before, request.target)
end

local checks <const> = { lines, garbage, dates, answers, conditions, targets }

return function(source)
  draw = source
  one_of(checks)()
end
