-- size.units - times, rates and shares, as people write and read them.
--
-- Those that read text return nil for what they do not understand; those that write use three
-- digits. Within, a time is seconds, a rate is per second and a share is 0 to 1.

local units = {}

local seconds <const> = { ns = 1e-9, us = 1e-6, ["µs"] = 1e-6, ms = 1e-3, s = 1, m = 60, min = 60, h = 3600 }
local spans <const> = { [""] = 1, ["/s"] = 1, ["/m"] = 60, ["/min"] = 60, ["/h"] = 3600 }

-- Digits only: tonumber alone would take 0x10, inf and nan.
local function number(text)
  return text:find("^%d*%.?%d+[eE]?[+-]?%d*$") and tonumber(text) or nil
end

-- The number and what follows it; an exponent is not a unit.
local function split(text)
  local digits, unit = text:match("^([%d.]+[eE][+-]?%d+)(.*)$")
  if not digits then
    digits, unit = text:match("^([%d.]+)%s*(.*)$")
  end
  return digits and number(digits), unit
end

--- "5ms" to 0.005; the unit is needed except by 0.
function units.time(text)
  local value <const>, unit <const> = split(text)
  if value == 0 and unit == "" then
    return 0.0
  end
  return value and seconds[unit] and value * seconds[unit]
end

--- "1000", "1000/s", "60/m", "9/h" to a number per second.
function units.rate(text)
  local value <const>, unit <const> = split(text)
  return value and spans[unit] and value / spans[unit]
end

--- "70%" and "0.7" to 0.7.
function units.share(text)
  local value <const>, unit <const> = split(text)
  if value and unit == "%" then
    return value / 100
  end
  return unit == "" and value or nil
end

--- A plain number >= 0.
function units.number(text)
  return number(text)
end

local steps <const> = { { 3600, "h" }, { 60, "m" }, { 1, "s" }, { 1e-3, "ms" }, { 1e-6, "us" }, { 1e-9, "ns" } }

local function three(x)
  return x >= 100 and ("%.0f"):format(x) or ("%.3g"):format(x)
end

function units.show_time(t)
  if t == math.huge then
    return "for ever"
  end
  for _, step in ipairs(steps) do
    -- 0.9995 and more would be written as 1.00 of the next; minutes begin at two
    if t >= step[1] * (step[1] >= 60 and 2 or 0.9995) then
      return three(t / step[1]) .. step[2]
    end
  end
  return t < 1e-12 and "0" or three(t / 1e-9) .. "ns"
end

function units.show_share(x)
  if x > 0 and x < 0.0001 then
    return "<0.01%"
  elseif x > 0 and x < 0.001 then
    return ("%.2f%%"):format(100 * x)
  elseif x < 1 and x > 0.9995 then
    return (x >= 0.99995 and ">99.9%" or "99.9%")
  end
  return ("%.1f%%"):format(100 * x)
end

--- A number of jobs or servers, which need not be whole.
function units.show_number(x)
  if x == math.huge then
    return "no end"
  end
  return x >= 100 and ("%.0f"):format(x) or ("%.3g"):format(x)
end

return units
