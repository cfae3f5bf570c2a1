-- weir.json - JSON by lua-cjson, with the numbers kept as they are.
--
-- cjson reads every number as a float and writes 14 digits. Here a number without a fraction is
-- an integer again, an integer of any 64-bit value goes through unharmed, and a float is written
-- with as many digits as it takes to read the same float back. `null` stands for JSON's null in
-- both directions. An empty table is an object unless `json.array` says otherwise.
--
-- How: what cjson would spoil travels as a string that begins with a mark, drawn for that one
-- call and not in the data. Texts and tables without such numbers take cjson's path alone.

local core <const> = require "weir.core"
local cjson <const> = require("cjson").new() -- its settings are our own

cjson.decode_invalid_numbers(false)
cjson.encode_invalid_numbers(false)

local MAX_DEPTH <const> = 1000
local LONG <const> = ("%d"):rep(16) -- digits that a float may not hold
local array_meta <const> = { __name = "weir.json.array" }

---@class weir.json
---@field null any JSON's null, a value that is not nil
local json = {
  null = cjson.null or require("cjson").null,
}

--- Mark a table (a new one by default) as an array, so that it is `[]` when empty.
---@param t? table
---@return table
function json.array(t)
  if t ~= nil and type(t) ~= "table" then
    core.misuse("json.array", "argument 1 must be a table, got %s", type(t))
  end
  return setmetatable(t or {}, array_meta)
end

-- A mark that is not in `text`.
local function new_mark(text)
  local mark
  repeat
    mark = ("weir:%08x:"):format(math.random(0, 0xffffffff))
  until not text:find(mark, 1, true)
  return mark
end

-- --- decode -------------------------------------------------------------------------------------
local function end_of_string(text, at)
  local quote = text:find('["\\]', at)
  while quote and text:byte(quote) == 92 do
    quote = text:find('["\\]', quote + 2)
  end
  return quote or #text
end

-- The text with its long integers as marked strings. What is not JSON stays so.
local function mark_integers(text, mark)
  local out, from, at = {}, 1, 1
  while true do
    local s = text:find('[%d"]', at)
    if not s then break end
    if text:byte(s) == 34 then
      at = end_of_string(text, s + 1) + 1
    else
      local first = text:sub(s - 1, s - 1) == "-" and s - 1 or s
      local _, e = text:find("^%d+", s)
      local _, rest = text:find("^[%d.eE+-]*", e + 1)
      if rest == e and e - s >= 15 and text:byte(s) ~= 48 then
        out[#out + 1] = text:sub(from, first - 1) .. '"' .. mark .. text:sub(first, e) .. '"'
        from = e + 1
      end
      at = rest + 1
    end
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out)
end

local function integers(value, mark)
  local kind = type(value)
  if kind == "number" then
    return math.tointeger(value) or value
  elseif kind == "string" then
    if mark and value:sub(1, #mark) == mark then return tonumber(value:sub(#mark + 1)) end
  elseif kind == "table" then
    for key, inner in next, value do
      local inner_kind = type(inner)
      if inner_kind == "number" then
        value[key] = math.tointeger(inner) or inner
      elseif inner_kind == "table" or (mark and inner_kind == "string") then
        value[key] = integers(inner, mark)
      end
    end
  end
  return value
end

--- The value that a JSON text stands for. Kind `protocol` if it is not JSON.
---@param text string
---@return any
function json.decode(text)
  if type(text) ~= "string" then
    core.misuse("json.decode", "argument 1 must be a string, got %s", type(text))
  end
  local mark
  if text:find(LONG) then
    mark = new_mark(text)
    text = mark_integers(text, mark)
  end
  local ok, value = pcall(cjson.decode, text)
  if not ok then
    if type(value) == "string" and value:find("not enough memory", 1, true) then error(value, 0) end
    error(core.error("protocol", "json.decode", "not JSON: " .. tostring(value)), 0)
  end
  return integers(value, mark)
end

-- --- encode -------------------------------------------------------------------------------------
-- How a number is written if cjson would spoil it, else nil.
local function exactly(n)
  if math.type(n) == "integer" then
    if n > -100000000000000 and n < 100000000000000 then return nil end
    return tostring(n)
  end
  if tonumber(("%.14g"):format(n)) == n or n ~= n or n == math.huge or n == -math.huge then
    return nil -- those that are no numbers are for cjson to refuse
  end
  local text = ("%.16g"):format(n)
  return tonumber(text) == n and text or ("%.17g"):format(n)
end

local function check_depth(depth)
  if depth > MAX_DEPTH then
    core.misuse("json.encode", "argument 1 must be less than %d tables deep (or holds itself)", MAX_DEPTH)
  end
end

-- Is there anything in `value` that must be marked?
local function needs_marks(value, depth)
  local kind = type(value)
  if kind == "number" then return exactly(value) ~= nil end
  if kind ~= "table" then return false end
  check_depth(depth)
  if next(value) == nil then return getmetatable(value) == array_meta end
  for _, inner in next, value do
    local inner_kind = type(inner)
    if (inner_kind == "number" or inner_kind == "table") and needs_marks(inner, depth + 1) then return true end
  end
  return false
end

local function marked(value, mark, depth)
  local kind = type(value)
  if kind == "number" then
    local text = exactly(value)
    return text and mark .. text or value
  end
  if kind ~= "table" then return value end
  check_depth(depth)
  if next(value) == nil then
    return getmetatable(value) == array_meta and mark .. "[]" or value
  end
  local copy = {}
  for key, inner in next, value do copy[key] = marked(inner, mark, depth + 1) end
  return copy
end

local function encode(value)
  local ok, text = pcall(cjson.encode, value)
  if ok then return text end
  if type(text) == "string" and text:find("not enough memory", 1, true) then error(text, 0) end
  return core.misuse("json.encode", "argument 1 cannot be written as JSON: %s", tostring(text))
end

--- The JSON text of a value. Kind `misuse` for what JSON has no word for (functions, NaN ...).
---@param value any
---@return string
function json.encode(value)
  if value == nil then
    core.misuse("json.encode", "argument 1 must be a value, json.null for null, got nil")
  end
  if not needs_marks(value, 1) then return encode(value) end
  local mark <const> = new_mark(encode(marked(value, "", 1)))
  return (encode(marked(value, mark, 1)):gsub('"' .. mark .. '([^"]*)"', "%1"))
end

return json
