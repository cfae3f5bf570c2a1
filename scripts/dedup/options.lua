-- dedup.options - the command line of dedup.lua: what may be said, checked and converted.

local found, argparse = pcall(require, "argparse")
if not found then
  error("dedup.lua needs argparse (Debian: lua-argparse, LuaRocks: argparse)", 0)
end

local words = require "support.words"

local options = {}

local description <const> = [[
A caching reverse proxy that asks its origin once, however many ask it.

GET requests for one URL that come while its answer is on the way wait for that answer; then it is
kept as long as it says (Cache-Control, Expires, Age), or --ttl where it says nothing. A stale one is
answered at once and renewed behind, where the origin allows. Without --origin a demonstration runs
against an origin of its own on this machine.]]

local epilog <const> = [[
Passed on as they are, with answers of their own: other methods, requests with Authorization, Cookie,
Range, If-Match or a body, or whose Cache-Control says no-store. Nobody but the one who asked gets an
answer that is private or no-store, that sets a cookie, varies by *, or is larger than --max-object.
Answers are kept apart by Host and by the fields of the request that they vary by. A method other than
GET, HEAD, OPTIONS and TRACE that succeeds drops what is kept of its URL. What is too old, or no-cache,
and has an ETag or Last-Modified is asked about (304), not fetched again. stale-while-revalidate and
stale-if-error of an answer go before --stale and --stale-if-error; must-revalidate before all.

--stats-path shows counts as JSON. X-Cache says of each answer how it came about: HIT, STALE (renewed
behind, or the origin failed), REVALIDATED (asked about: as it was), MISS (asked for), JOINED (waited
for another's), PASS, FAILED. Cache-Status (RFC 9211) says it in full.

Exit code: 0 ended by --demo, 1 it could not listen, or the demonstration's counts do not agree, 2
wrong usage, 130 interrupted (requests under way got 4 s to finish).]]

local units <const> = { [""] = 1, k = 1 << 10, m = 1 << 20, g = 1 << 30 }

local function bytes(name)
  return function(text)
    local number, unit = text:lower():match("^(%d+)([kmg]?)i?b?$")
    local value = number and math.tointeger(tonumber(number) * units[unit])
    if value and value > 0 then
      return value
    end
    return nil, ("%s: expected bytes such as 64M, got '%s'"):format(name, text)
  end
end

local function origin(text)
  local base, authority, path = text:match("^([hH][tT][tT][pP][sS]?://([^/?#@]+))([^?#]*)$")
  if base and (path == "" or path == "/") then
    return { base = base, authority = authority }
  end
  return nil, ("--origin: expected http://HOST[:PORT] or https://..., got '%s'"):format(text)
end

local function address(text)
  local host, port = text:match("^(.-):?(%d+)$")
  port = math.tointeger(tonumber(port))
  if port and port <= 65535 then
    return { host = host ~= "" and host or "127.0.0.1", port = port }
  end
  return nil, ("--listen: expected [HOST:]PORT, got '%s'"):format(text)
end

local function path(text)
  if text:find "^/" then
    return text
  end
  return nil, ("--stats-path: expected a path that begins with /, got '%s'"):format(text)
end

local function build()
  local parser = argparse("dedup.lua", description, epilog):usage_max_width(100)
  local function option(name, argname, convert, text)
    parser:option(name):argname(argname):description(text):convert(convert)
  end
  local function seconds(name)
    return words.number(name, 0, 1e9, false, "seconds, 0 or more")
  end
  option("--origin", "URL", origin, "the server behind")
  option("--listen", "[HOST:]PORT", address, "where to listen (127.0.0.1:8080; * for all addresses)")
  option("--ttl", "S", seconds "--ttl", "freshness of answers that do not say theirs (60)")
  option("--stale", "S", seconds "--stale", "seconds after that in which the old one is answered at once (30)")
  option("--stale-if-error", "S", seconds "--stale-if-error", "and in which it is answered if the origin fails (300)")
  option("--keep", "S", seconds "--keep",
    "and in which one with an ETag or Last-Modified is kept to be asked about (3600)")
  option("--negative-ttl", "S", seconds "--negative-ttl", "freshness of 404 and 410 that do not say theirs (1)")
  option("--max-bytes", "N", bytes "--max-bytes", "memory for answers, such as 64M or 1G (256M)")
  option("--max-object", "N", bytes "--max-object", "larger answers are passed on, not kept (8M)")
  option("--max-entries", "N", words.integer("--max-entries", 1, 1000000000), "answers kept (1000000)")
  option("--origin-limit", "N", words.integer("--origin-limit", 1, 100000), "requests to the origin at once (64)")
  option("--max-waiting", "N", words.integer("--max-waiting", 1, 1000000),
    "requests that wait; beyond it 503 (10000)")
  option("--timeout", "S", words.number("--timeout", 0.001, 1e6, false, "seconds, 0.001 or more"),
    "for an answer of the origin (30)")
  option("--stats-path", "PATH", path, "where counts are shown (/stats)")
  parser:flag("--ignore-cookies"):description("share answers although the request has a cookie")
  parser:flag("--ignore-clients"):description("do not reload for a client's no-cache or no-store")
  parser:flag("--insecure"):description("accept any certificate of the origin")
  parser:flag("--log"):description("a line for each request on standard error")
  parser:flag("--json"):description("the demonstration's result as JSON"):target("json")
  option("--demo", "N", words.integer("--demo", 10, 1000000), "size of the demonstration in requests (10000)")
  return parser
end

local defaults <const> = {
  ttl = 60, stale = 30, stale_if_error = 300, keep = 3600, negative_ttl = 1, max_bytes = 256 << 20,
  max_object = 8 << 20, max_entries = 1000000, origin_limit = 64, max_waiting = 10000, timeout = 30,
  stats_path = "/stats", listen = { host = "127.0.0.1", port = 8080 },
}

---@param line string[] the command line, without the script
---@return table? options nil if it is wrong
---@return string? complaint for standard error
function options.parse(line)
  local parser = build()
  local fine, given = parser:pparse(line)
  if not fine then
    return nil, ("%s\ndedup.lua: %s"):format(parser:get_usage(), given)
  elseif given.origin and given.demo then
    return nil, "dedup.lua: --demo takes no --origin"
  end
  for name, value in pairs(defaults) do
    if given[name] == nil then
      given[name] = value
    end
  end
  if not given.origin then
    given.demo = given.demo or 10000
  end
  if given.max_object > given.max_bytes then
    return nil, "dedup.lua: --max-object is more than --max-bytes"
  end
  return given
end

return options
