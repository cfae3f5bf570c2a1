-- dedup.directives - the header fields that say what a cache may do, as values (RFC 9111, 5; RFC 9110, 12.5.5).

local retry = require "support.retry"

local directives = {}

--- The directives of a Cache-Control by lower-case name: true, or what stands after the `=`.
---@param value string?
---@return table<string, string|true>
function directives.parse(value)
  local found, at = {}, 1
  value = value or ""
  while at <= #value do
    local name, after = value:match("^[%s,]*([%w!#$%%&'*+.^_`|~-]+)()", at)
    if name then
      local text, behind = value:match('^%s*=%s*"([^"]*)"()', after)
      if not text then
        text, behind = value:match('^%s*=%s*([^%s,"]+)()', after)
      end
      name, at = name:lower(), behind or after
      found[name] = found[name] or text or true -- the first one counts
    end
    at = value:match("^[^,]*,?()", at) -- what cannot be read says nothing
  end
  return found
end

--- Seconds of a directive; 0 for one that cannot be read (it is safe), nil for none.
---@return number?
function directives.seconds(found, name)
  local value = found[name]
  if value == nil then
    return nil
  end
  return type(value) == "string" and value:find("^%d+$") and math.min(tonumber(value), 2 ^ 31) or 0
end

--- The lower-case names of a Vary, sorted; "*" for what varies by more than the request says.
---@param value string?
---@return string[]|"*"
function directives.vary(value)
  local names, seen = {}, {}
  for name in (value or ""):gmatch("[^%s,]+") do
    name = name:lower()
    if name == "*" then
      return "*"
    end
    if not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

--- Seconds since 1970 of an HTTP date, nil if it is none.
---@return integer?
directives.date = retry.date

return directives
