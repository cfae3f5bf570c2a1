-- support.words - converters for options of a command line: from a word to a value, or nil and what is wrong.

local words = {}

--- A converter for numbers.
---@param name string of the option
---@param least number
---@param most number
---@param integer boolean
---@param what string what was expected
---@return fun(text: string): number?, string?
function words.number(name, least, most, integer, what)
  return function(text)
    local value = tonumber(text)
    if integer then
      value = math.tointeger(value)
    end
    if value and value >= least and value <= most then
      return value
    end
    return nil, ("%s: expected %s, got '%s'"):format(name, what, text)
  end
end

--- A whole number from `least` to `most`.
function words.integer(name, least, most)
  return words.number(name, least, most, true, ("an integer from %d to %d"):format(least, most))
end

--- The same, or "none" for no limit.
function words.limit(name, most)
  local what = ("an integer from 1 to %d, or none"):format(most)
  local number = words.number(name, 1, most, true, what)
  return function(text)
    if text == "none" then
      return math.huge
    end
    return number(text)
  end
end

return words
