-- weir.postgres.values - what Lua has no type for: json and arrays as parameters, names in statements.
--
-- A wrapped value is a table with its text, which the C half sends without a type: the server takes the type that
-- the place needs. Where the place says nothing (`select $1`), say it: `$1::int[]`.

local core <const> = require "weir.core"
local libpq <const> = require "weir.postgres.libpq"

local values = { null = libpq.null }

local text_meta <const> = {
  __name = "weir.postgres.text",
  __tostring = function(value) return value[1] end,
}

--- A value as json or jsonb. `null` inside is JSON's.
---@param value any
function values.json(value)
  if value == nil then
    core.misuse("postgres.json", "argument 1 must be a value, null for JSON's null, got nil")
  end
  return setmetatable({ require("weir.json").encode(value) }, text_meta)
end

local function write_float(n)
  if n ~= n then return "NaN" end
  if n == math.huge then return "Infinity" end
  if n == -math.huge then return "-Infinity" end
  local text
  for digits = 15, 17 do
    text = ("%%.%dg"):format(digits):format(n)
    if tonumber(text) == n then break end
  end
  return text
end

local function write_element(value, place)
  local kind <const> = type(value)
  if value == nil or value == values.null then
    return "NULL"
  elseif kind == "string" then
    if value:find("\0", 1, true) then
      core.misuse("postgres.array", "element %s is a string with a NUL byte: a blob?", place)
    end
    return '"' .. value:gsub('[\\"]', "\\%0") .. '"'
  elseif math.type(value) == "integer" then
    return tostring(value)
  elseif kind == "number" then
    return write_float(value)
  elseif kind == "boolean" then
    return value and "t" or "f"
  end
  local meta <const> = kind == "table" and getmetatable(value)
  if type(meta) == "table" and meta.__name == "weir.database.blob" then
    return '"\\\\x' .. value[1]:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end) .. '"'
  elseif meta == text_meta then
    return '"' .. value[1]:gsub('[\\"]', "\\%0") .. '"'
  end
  return core.misuse("postgres.array", "element %s must be nil, a boolean, number, string, blob, json or table, got %s",
    place, kind)
end

local function write_array(t, place)
  local n <const> = t.n or #t
  if math.type(n) ~= "integer" or n < 0 then
    core.expected("postgres.array", "n", "an integer >= 0", n)
  end
  local out <const> = {}
  for i = 1, n do
    local value <const> = t[i]
    local inner <const> = place .. "[" .. i .. "]"
    if type(value) == "table" and not getmetatable(value) then
      out[i] = write_array(value, inner)
    else
      out[i] = write_element(value, inner)
    end
  end
  return "{" .. table.concat(out, ",") .. "}"
end

--- A table as an array; tables in it are its further dimensions. nil (up to `t.n`) and null are NULL.
---@param t table
function values.array(t)
  if type(t) ~= "table" then
    core.expected("postgres.array", "t", "a table", t)
  end
  return setmetatable({ write_array(t, "") }, text_meta)
end

--- A name (of a table, channel ...) as it stands in a statement, in quotes.
---@param name string
---@return string
function values.identifier(name)
  if type(name) ~= "string" or name == "" or name:find("\0", 1, true) then
    core.expected("postgres.identifier", "name", "a string that is not empty, without NUL bytes", name)
  end
  return '"' .. name:gsub('"', '""') .. '"'
end

local copy_escapes <const> = { ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

--- A row (values up to `n`) as a line of COPY's text format.
---@param row table
---@param n integer
---@return string
function values.copy_line(row, n)
  local out <const> = {}
  for i = 1, n do
    local value <const> = row[i]
    local kind <const> = type(value)
    local meta <const> = kind == "table" and getmetatable(value)
    local text
    if value == nil or value == values.null then
      text = nil
    elseif kind == "string" then
      text = value
    elseif kind == "number" then
      text = math.type(value) == "integer" and tostring(value) or write_float(value)
    elseif kind == "boolean" then
      text = value and "t" or "f"
    elseif type(meta) == "table" and meta.__name == "weir.database.blob" then
      text = "\\x" .. value[1]:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)
    elseif meta == text_meta then
      text = value[1]
    else
      core.misuse("postgres:copy_in",
        "column %d must be nil, a boolean, number, string, blob, json or array, got %s", i, kind)
    end
    out[i] = text and text:gsub("[\\\n\r\t]", copy_escapes) or "\\N"
  end
  return table.concat(out, "\t") .. "\n"
end

return values
