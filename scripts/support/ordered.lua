-- support.ordered - JSON whose objects keep the order of their keys, for people who read it too.

local json = require "weir.json"

local ordered = {}

-- What is JSON already.
local made = { __tostring = function(self) return self.text end }

local function encode(value)
  return getmetatable(value) == made and value.text or json.encode(value)
end

local function join(open, words, close)
  return setmetatable({ text = open .. table.concat(words, ",") .. close }, made)
end

--- An object of { key, value } in that order; tostring() of it is the JSON.
---@param fields { [1]: string, [2]: any }[]
function ordered.object(fields)
  local words = {}
  for i, field in ipairs(fields) do
    words[i] = json.encode(field[1]) .. ":" .. encode(field[2])
  end
  return join("{", words, "}")
end

--- An array.
---@param values any[]
function ordered.array(values)
  local words = {}
  for i, value in ipairs(values) do
    words[i] = encode(value)
  end
  return join("[", words, "]")
end

return ordered
