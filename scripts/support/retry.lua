-- support.retry - when to try again: what Retry-After asks for, and a wait drawn at random.

local retry = {}

local FOR_EVER <const> = 1000000000 -- seconds

local months <const> = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10,
  Nov = 11, Dec = 12 }

-- Seconds since 1970 of a date in Greenwich, years from March on so that leap days come last.
local function epoch(year, month, day, hour, minute, second)
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  local days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719469
  return ((days * 24 + hour) * 60 + minute) * 60 + second
end

-- The three forms of a date that RFC 9110 asks to be read, of which the last two are old.
--   Sun, 06 Nov 1994 08:49:37 GMT    Sunday, 06-Nov-94 08:49:37 GMT    Sun Nov  6 08:49:37 1994
local function date_parts(text)
  local day, month, year, hour, minute, second =
    text:match("^%a%a%a, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$")
  if not day then
    day, month, year, hour, minute, second =
      text:match("^%a+day, (%d%d)%-(%a%a%a)%-(%d%d) (%d%d):(%d%d):(%d%d) GMT$")
  end
  if not day then
    month, day, hour, minute, second, year =
      text:match("^%a%a%a (%a%a%a) ([ %d]%d) (%d%d):(%d%d):(%d%d) (%d%d%d%d)$")
  end
  return tonumber(year), months[month], tonumber(day), tonumber(hour), tonumber(minute), tonumber(second)
end

-- A year of two digits: as RFC 9110 has it, none that is more than 50 years ahead.
local function whole_year(year)
  if year >= 100 then
    return year
  end
  local this <const> = tonumber(os.date("!%Y"))
  year = year + this // 100 * 100
  return year > this + 50 and year - 100 or year
end

--- Seconds since 1970 of an HTTP date (RFC 9110, 5.6.7), or nil if it is none.
---@param value any a header's value
---@return integer?
function retry.date(value)
  if type(value) ~= "string" then
    return nil
  end
  local year, month, day, hour, minute, second = date_parts(value:match("^%s*(.-)%s*$"))
  if not year or not month or day < 1 or day > 31 or hour > 23 or minute > 59 or second > 60 then
    return nil
  end
  return epoch(whole_year(year), month, day, hour, minute, second)
end

--- Seconds that a Retry-After asks to wait (a number or a date of RFC 9110), or nil.
---@param value any the header's value
---@return number?
function retry.after(value)
  local seconds = type(value) == "string" and value:match("^%s*(%d+)%s*$")
  if seconds then
    return math.min(tonumber(seconds), FOR_EVER) -- so many digits as one likes may come
  end
  local date <const> = retry.date(value)
  return date and math.max(0, date - os.time())
end

--- Seconds to wait before attempt `n` + 1, drawn from 0 to first * 2^(n-1) ("full jitter": what
--- failed together does not come back together).
---@param n integer attempts made
---@param first number seconds
---@param longest number seconds
---@return number
function retry.backoff(n, first, longest)
  return math.random() * math.min(longest, first * 2 ^ (n - 1))
end

return retry
