-- size.plot - waits over sizes of the pool in plain characters, on a logarithmic scale.
--
-- One curve is drawn with `*`, the mean with `o`, limits with `-`; what is 0 lies on the axis.
-- The sizes run from the least that is stable to where hardly anybody waits, or a little past
-- the answer; where there are more of them than columns, some are left out.

local units = require "size.units"

local plot = {}

local height <const> = 12 -- lines, about
local margin <const> = 9 -- columns of the scale, axis included

-- The sizes, one a mark, and the columns from one to the next.
local function sizes_of(found, columns)
  local low <const> = found.stable
  local high = math.max(found.calm, low + 4)
  if found.servers > high and found.servers - low <= 3 * (high - low) then
    high = found.servers + 1
  end
  local count <const> = high - low + 1
  local sizes <const> = {}
  if count <= columns then
    for i = 1, count do
      sizes[i] = low + i - 1
    end
    return sizes, math.min(8, columns // count)
  end
  for i = 1, columns do
    sizes[i] = low + math.floor((i - 1) * (high - low) / (columns - 1) + 0.5)
  end
  return sizes, 1
end

-- Powers of ten below and above what is to be seen: all that is large, and of what is small as
-- much as a decade below the answer and the limits. nil if nobody waits.
local function decades(values, wanted)
  local least, most, lowest = math.huge, 0, math.huge
  for _, value in ipairs(values) do
    if value > 0 then
      least, most = math.min(least, value), math.max(most, value)
    end
  end
  if most == 0 then
    return nil
  end
  for _, value in ipairs(wanted) do
    if value > 0 then
      lowest, most = math.min(lowest, value), math.max(most, value)
    end
  end
  local top <const> = math.max(math.ceil(math.log(most, 10) - 1e-9), -9)
  local bottom <const> = math.floor(math.log(math.max(math.min(least, lowest), lowest / 10, 1e-10), 10) + 1e-9)
  return math.min(bottom, top - 1), top
end

-- A power of ten in words.
local function scale(exponent)
  return exponent < 0 and units.show_time(10.0 ^ exponent) or ("1%ss"):format(("0"):rep(exponent))
end

-- The text below the axis: sizes where they are, as many as fit.
local function labels(sizes, stride, columns)
  local line, free = {}, 1
  for i, n in ipairs(sizes) do
    local text <const> = tostring(n)
    local from <const> = math.max(1, (i - 1) * stride + 1 - (#text - 1) // 2)
    if from >= free and from + #text - 1 <= columns then
      line[#line + 1] = (" "):rep(from - 1 - (#line > 0 and free - 2 or 0)) .. text
      free = from + #text + 1
    end
  end
  return table.concat(line)
end

-- Below the labels, a mark at the answer.
local function pointer(sizes, stride, servers)
  for i, n in ipairs(sizes) do
    if n == servers then
      return (" "):rep((i - 1) * stride) .. "^"
    end
  end
  return nil
end

--- The lines of the plot; none if nobody waits whatever the size.
---@param found table what size.answer gave
---@param curve { name: string, value: fun(w): number }
---@param limits { text: string, limit: number }[]
---@param width integer columns of the terminal
---@return string[]
function plot.lines(found, curve, limits, width)
  local columns <const> = width - margin - 1
  local sizes <const>, stride <const> = sizes_of(found, columns)
  local high, mean, all = {}, {}, {}
  for i, n in ipairs(sizes) do
    local w <const> = found.at(n)
    high[i], mean[i] = curve.value(w), w.mean
    table.move({ high[i], mean[i] }, 1, 2, #all + 1, all)
  end
  local w <const> = found.wait
  local wanted <const> = w.stable and { w.mean, curve.value(w) } or {}
  for _, limit in ipairs(limits) do
    wanted[#wanted + 1] = limit.limit
  end
  local bottom <const>, top <const> = decades(all, wanted)
  if not bottom then
    return {}
  end

  local each <const> = math.max(1, math.ceil(height / (top - bottom))) -- lines of a decade
  local n_lines <const> = (top - bottom) * each
  local grid <const> = {}
  for row = 0, n_lines do -- 0 is the axis
    grid[row] = {}
  end
  local function row_of(value)
    return math.floor((math.log(value, 10) - bottom) * each + 0.5)
  end
  local last <const> = (#sizes - 1) * stride + 1
  local function mark(column, value, sign)
    local row <const> = value > 0 and row_of(value) or 0
    if row >= 0 and row <= n_lines and (row > 0 or value == 0) then
      grid[row][column] = sign
    end
  end
  for _, limit in ipairs(limits) do
    for column = 1, last do
      mark(column, limit.limit, "-")
    end
  end
  for i = 1, #sizes do
    mark((i - 1) * stride + 1, mean[i], "o")
  end
  for i = 1, #sizes do
    mark((i - 1) * stride + 1, high[i], "*")
  end

  local lines = {}
  for row = n_lines, 0, -1 do
    local text <const> = {}
    for column = 1, last do
      text[column] = grid[row][column] or (row == 0 and "-" or " ")
    end
    local left <const> = row > 0 and row % each == 0 and scale(bottom + row // each) or ""
    lines[#lines + 1] = (("%7s %s%s"):format(left, row == 0 and "+" or "|", table.concat(text)):gsub(" +$", ""))
  end
  local indent <const> = (" "):rep(margin)
  lines[#lines + 1] = indent .. labels(sizes, stride, columns)
  local point <const> = pointer(sizes, stride, found.servers)
  if point then
    lines[#lines + 1] = indent .. point
  end
  return lines
end

return plot
