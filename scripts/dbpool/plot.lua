-- dbpool.plot - waits over time in plain characters, on a logarithmic scale.
--
-- One column for a slice of time: `*` its p99, `o` its p50, `x` on the top line where requests were
-- refused. The scale is the same in every plot, so that they can be laid side by side.

local quantile = require "dbpool.record".quantile

local plot = {}

local LEAST <const> = -4 -- 10^-4 s
local MOST <const> = 0   -- 1 s
local EACH <const> = 2   -- lines of a decade
local MARGIN <const> = 10

local function label(exponent)
  local seconds <const> = 10.0 ^ exponent
  return seconds >= 1 and ("%.0f s"):format(seconds) or seconds >= 0.001 and ("%.0f ms"):format(seconds * 1000)
    or ("%.0f us"):format(seconds * 1e6)
end

local function row_of(seconds, rows)
  local row <const> = math.floor((math.log(seconds, 10) - LEAST) * EACH + 0.5)
  return math.max(0, math.min(rows, row))
end

--- The lines of the plot.
---@param record table
---@param marks { [number]: string } seconds -> what begins then
---@param width integer
---@return string[]
function plot.lines(record, marks, width)
  local columns <const> = math.min(#record.slices, width - MARGIN)
  local rows <const> = (MOST - LEAST) * EACH
  local grid <const> = {}
  for row = 0, rows + 1 do
    grid[row] = {}
  end
  for column = 1, columns do -- several slices share a column of a narrow terminal
    local times, refused = {}, 0
    local first <const> = (column - 1) * #record.slices // columns + 1
    local last <const> = math.max(first, column * #record.slices // columns)
    for i = first, last do
      table.move(record.slices[i].times, 1, #record.slices[i].times, #times + 1, times)
      refused = refused + record.slices[i].refused
    end
    if #times > 0 then
      grid[row_of(quantile(times, 0.5), rows)][column] = "o"
      grid[row_of(quantile(times, 0.99), rows)][column] = "*"
    end
    if refused > 0 then
      grid[rows + 1][column] = "x"
    end
  end
  local lines = {}
  for row = rows + 1, 0, -1 do
    local text <const> = {}
    for column = 1, columns do
      text[column] = grid[row][column] or " "
    end
    local left <const> = row > rows and "refused" or row % EACH == 0 and label(LEAST + row // EACH) or ""
    lines[#lines + 1] = ("%8s |%s"):format(left, table.concat(text)):gsub(" +$", "")
  end
  lines[#lines + 1] = ("%8s +%s"):format("", ("-"):rep(columns))
  local below = (" "):rep(MARGIN)
  for at, text in pairs(marks) do
    local column <const> = MARGIN + math.floor(at / record.slice * columns / #record.slices + 0.5)
    below = below .. (" "):rep(column - #below) .. "^ " .. text
  end
  lines[#lines + 1] = below
  return lines
end

return plot
