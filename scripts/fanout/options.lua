-- fanout.options - the command line of fanout.lua: what may be said, checked and converted.
--
-- parse(line) returns a table of options whose values need no further check, or nil and a
-- text for standard error. Nothing is read or opened here but the file of --data @FILE.

local found, argparse = pcall(require, "argparse")
if not found then
  error("fanout.lua needs argparse (Debian: lua-argparse, LuaRocks: argparse)", 0)
end

local words = require "support.words"

local options = {}

local description <const> = [[
Fetch many URLs, at most so many at once, and say how it went.

A SOURCE is a URL, a file with a URL on each line, or - for standard input. Empty lines and
lines that begin with # are skipped; a line that is no http or https URL is reported with its
number, counts as failed and stops nothing. Without a SOURCE a demonstration runs against a
server of its own on this machine. Files of any length will do; - is fetched as it comes.]]

local epilog <const> = [[
A URL has failed if it got no answer (network, timeout, protocol) or one of status 400 or more.
Tried again: no answer, and the statuses 408, 429, 500, 502, 503 and 504; POST and PATCH, which
may have had their effect, only for 429 and 503. The wait doubles with each attempt, its length
is drawn at random, and Retry-After of a 429 or 503 is kept (one beyond a minute is given up).

Each line of the results is one JSON object, written when its URL is finished:
  line (in the source), url (without user and password), status, ms (all attempts and waits),
  bytes, attempts, and for those that failed
  error (timeout, network, protocol, status; line: this is no URL) and message
The times of the summary are those of all attempts and waits too.

Exit code: 0 all went well, 1 some failed, 2 wrong usage or a file that cannot be read or
written, 130 interrupted, 141 the reader of standard output went away. The results of what had
finished are complete in any case.]]

local by_client <const> = { ["content-length"] = true, ["transfer-encoding"] = true } -- follow from the body

local function header(text)
  local name, value = text:match("^([%w!#$%%&'*+.^_`|~-]+):[ \t]*(.-)[ \t]*$")
  if name and by_client[name:lower()] then
    return nil, ("--header: %s follows from --data and cannot be set"):format(name)
  end
  if name and not value:find("[%c]") then
    return { name:lower(), value }
  end
  return nil, ("--header: expected 'Name: value', got '%s'"):format(text)
end

local function method(text)
  if text:find("^%u+$") and text ~= "CONNECT" then
    return text
  end
  return nil, ("--method: expected a word in capitals other than CONNECT, got '%s'"):format(text)
end

local function data(text)
  if text:sub(1, 1) ~= "@" then
    return text
  end
  local file, why = io.open(text:sub(2), "rb")
  if not file then
    return nil, "--data: " .. why
  end
  local content = file:read("a")
  file:close()
  if not content then
    return nil, ("--data: cannot read '%s'"):format(text:sub(2))
  end
  return content
end

local function build()
  local parser = argparse("fanout.lua", description, epilog):usage_max_width(100)
  local function option(name, short, argname, convert, text)
    local made = parser:option(name):argname(argname):description(text)
    if convert then
      made:convert(convert)
    end
    return short and made:hidden_name(short) or made
  end
  parser:argument("source"):argname("SOURCE"):args("*"):description("URL, file of URLs, or -")
  option("--limit", "-l", "N", words.limit("--limit", 1000000), "URLs in work at once, or none for no limit (-l; 50)")
  option("--timeout", "-t", "S", words.number("--timeout", 0.001, 1e6, false, "seconds, 0.001 or more"),
    "seconds for each attempt, from name to last byte (-t; 30)")
  option("--retries", "-r", "N", words.integer("--retries", 0, 100),
    "further attempts for a URL (-r; 3)")
  option("--method", "-X", "M", method, "request method (-X; GET, or POST with --data)")
  option("--header", "-H", "'K: V'", header, "request header, may be repeated (-H)"):count("*")
  option("--data", "-d", "TEXT", data, "request body; @FILE takes it from a file (-d)")
  option("--out", "-o", "FILE", nil, "write results as JSON lines; - is standard output (-o)")
  parser:flag("--fail-fast"):description("stop at the first URL that failed")
  parser:flag("--insecure"):description("accept any certificate")
  parser:flag("--json"):description("print the summary as JSON")
  parser:flag("--quiet"):hidden_name("-q"):description("no progress and no summary (-q)")
  option("--demo", nil, "N", words.integer("--demo", 1, 1000000),
    "size of the demonstration in URLs (10000)")
  return parser
end

-- Header pairs to one table, repeats joined as HTTP joins them.
local function join_headers(pairs_given)
  local headers = {}
  for _, pair in ipairs(pairs_given) do
    local name, value = pair[1], pair[2]
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
  return headers
end

---@param line string[] the command line, without the script
---@return table? options nil if it is wrong
---@return string? complaint for standard error
function options.parse(line)
  local parser = build()
  local fine, given = parser:pparse(line)
  if not fine then
    return nil, ("%s\nfanout.lua: %s"):format(parser:get_usage(), given)
  end
  given.headers = join_headers(given.header)
  given.header = nil
  given.limit = given.limit or 50
  given.timeout = given.timeout or 30
  given.retries = given.retries or 3
  given.method = given.method or (given.data and "POST" or "GET")
  if given.method == "HEAD" and given.data then
    return nil, "fanout.lua: --method HEAD takes no --data"
  end
  if #given.source > 0 and given.demo then
    return nil, "fanout.lua: --demo takes no SOURCE"
  end
  if #given.source == 0 then
    given.demo = given.demo or 10000
  end
  return given
end

return options
