-- size.options - the command line of size.lua: what may be said, checked and converted.
--
-- parse(words) returns a table of options whose values need no further check, or nil and a text
-- for standard error. A target is { text =, field =, option =, limit =, quantile = }: `field` of
-- what weir.queueing.wait gives (`wait`: its quantile) must not exceed `limit`; `option` is what
-- weir.queueing.servers calls it.

local found, argparse = pcall(require, "argparse")
if not found then
  error("size.lua needs argparse (Debian: lua-argparse, LuaRocks: argparse)", 0)
end

local units = require "size.units"

local options = {}

local description <const> = [[
How many servers a load needs, or how long jobs wait with so many.

A server is whatever a job holds while it is worked on: a database connection, a permit, a
worker. Jobs come at --rate, hold a server for --service on average, and wait in one queue,
first come first served, while all servers are busy.]]

local epilog <const> = [[
A TARGET is one of these; it may be given more than once, and all must be kept:
  p99<20ms          99 of 100 jobs wait no longer (any percentile: p50, p99.9)
  mean<5ms          the mean wait, over all jobs
  busy<70%          the share of the time that a server is busy
  waiting<10%       the share of jobs that wait at all
Times need a unit: ns us ms s m h. A rate is per second, or as in 90/m and 90/h.

cv is the coefficient of variation, standard deviation / mean: 0 is constant, 1 exponential,
2 a mix of many short and some very long. With both at 1 the answers are exact. For other cvs
of service the mean wait is within some 25 %, for other cvs of arrivals it is an estimate: up to
40 % too long where they are more regular than chance, some 15 % too short for bursts of cv 2.

Examples:
  size.lua --rate 1000 --service 5ms --target "p99<20ms"
  size.lua -r 1000 -s 5ms --cv 2 -t "p99.9<50ms" -t "busy<80%" --max 20
  size.lua --rate 90/m --service 30s --servers 50 --json

Exit code: 0 the pool does it, 1 it does not (target missed, beyond --max, or it never
catches up), 2 wrong usage, or the answer could not be written.]]

local function wrong(name, expected, text)
  return nil, ("%s: expected %s, got '%s'"):format(name, expected, text)
end

-- A converter: `read(text)`, which must be between `least` and `most`.
local function reader(name, read, least, most, expected)
  return function(text)
    local value <const> = read(text)
    if value and value >= least and value <= most then
      return value
    end
    return wrong(name, expected, text)
  end
end

local function servers(name)
  return reader(name, function(text)
    return text:find("^%d+$") and math.tointeger(tonumber(text))
  end, 1, 4294967294, "an integer from 1 to 4294967294")
end

local names <const> = { busy = "utilisation", utilisation = "utilisation", utilization = "utilisation",
  waiting = "probability", mean = "mean" }

local function target(text)
  local name <const>, value <const> = text:match("^%s*([%w.]+)%s*<=?%s*(%S+)%s*$")
  local percent <const> = name and name:match("^[pP](%d+%.?%d*)$")
  local field <const> = percent and "wait" or names[name]
  if not field then
    return wrong("--target", "p99<TIME, mean<TIME, busy<SHARE or waiting<SHARE", text)
  end
  local made <const> = { field = field, option = "target_" .. field }
  if percent then
    made.quantile = tonumber(percent) / 100
    if made.quantile <= 0 or made.quantile >= 1 then
      return wrong("--target", "a percentile above 0 and below 100", text)
    end
  end
  if field == "wait" or field == "mean" then
    made.limit = units.time(value)
    if not made.limit or made.limit > 1e9 or (field == "mean" and made.limit == 0) then
      local least <const> = percent and "" or " above 0"
      return wrong("--target", ("a time%s with its unit, as in %s<20ms"):format(least, name), text)
    end
    made.text = ("%s < %s"):format(name, units.show_time(made.limit))
  else
    made.limit = units.share(value)
    if not made.limit or made.limit <= 0 or made.limit > 1 then
      return wrong("--target", "a share above 0 and up to 100%, as in " .. name .. "<70%", text)
    end
    made.text = ("%s < %.4g%%"):format(name, 100 * made.limit)
  end
  return made
end

local function build()
  local parser = argparse("size.lua", description, epilog):usage_max_width(100)
  local function option(name, short, argname, convert, text)
    local made = parser:option(name):argname(argname):description(text):convert(convert)
    return short and made:hidden_name(short) or made
  end
  option("--rate", "-r", "R", reader("--rate", units.rate, 1e-9, 1e12, "a rate above 0, as 1000, 90/m or 90/h"),
    "jobs that come, per second (-r)"):count(1)
  option("--service", "-s", "T", reader("--service", units.time, 1e-12, 1e9, "a time with its unit, as 5ms"),
    "mean time that a job holds a server (-s)"):count(1)
  option("--cv", nil, "X", reader("--cv", units.number, 0, 1000, "a number from 0 to 1000"),
    "coefficient of variation of service (1)")
  option("--cv-arrival", nil, "X", reader("--cv-arrival", units.number, 0, 1000, "a number from 0 to 1000"),
    "the same of the time between arrivals (1)")
  option("--servers", "-n", "N", servers("--servers"), "what a pool of N does (-n)")
  option("--target", "-t", "TARGET", target, "what the pool must keep (-t)"):count("*")
  option("--max", nil, "N", servers("--max"), "servers that there can be")
  option("--width", nil, "N", reader("--width", units.number, 40, 1000, "a number from 40 to 1000"),
    "columns of the output (those of the terminal)")
  parser:flag("--json"):description("print one JSON object, times in seconds")
  return parser
end

-- Columns of the terminal that standard error is; Lua cannot ask, a short shell can.
local function terminal_width()
  local columns = tonumber(os.getenv("COLUMNS") or "")
  if not columns then
    local pipe <const> = io.popen("[ -t 2 ] && stty size <&2 2>/dev/null")
    if pipe then
      columns = tonumber((pipe:read("l") or ""):match("^%d+ (%d+)"))
      pipe:close()
    end
  end
  return columns and columns > 0 and math.max(40, math.min(columns, 200)) or 80
end

---@param words string[] the command line, without the script
---@return table? options nil if it is wrong
---@return string? complaint for standard error
function options.parse(words)
  local parser <const> = build()
  local fine <const>, given = parser:pparse(words)
  if not fine then
    return nil, ("%s\nsize.lua: %s"):format(parser:get_usage(), given)
  end
  if not given.servers and #given.target == 0 then
    return nil, ("%s\nsize.lua: expected --target or --servers"):format(parser:get_usage())
  elseif given.servers and given.max then
    return nil, "size.lua: --max is for a pool to be found, --servers is one"
  end
  given.load = { rate = given.rate, service = given.service,
    cv_service = given.cv or 1, cv_arrival = given["cv_arrival"] or 1 }
  given.width = math.floor(given.width or terminal_width())
  return given
end

return options
