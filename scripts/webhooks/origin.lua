-- webhooks.origin - who a URL speaks to, written in one way however it was spelt.
--
-- Scheme, host and port: in lower case, without credentials, the port that goes without saying and the
-- dot at the end of a name; an IPv6 address as RFC 5952 writes it. Names are not looked up: two
-- names of one machine are two origins.

local ports <const> = { http = "80", https = "443" }

-- Add the numbers of "a:b:c" to a list. False if one is none.
local function add_groups(list, text)
  for digits in text:gmatch("[^:]+") do
    if not digits:find("^%x%x?%x?%x?$") then
      return false
    end
    list[#list + 1] = tonumber(digits, 16)
  end
  return true
end

-- The eight numbers of an IPv6 address, or nil if it is none.
local function groups_of(text)
  text = text:gsub("(%d+)%.(%d+)%.(%d+)%.(%d+)$", function(a, b, c, d)
    return ("%x:%x"):format(a * 256 + b, c * 256 + d)
  end)
  local left, right = text:match("^(.-)::(.*)$")
  local groups, tail = {}, {}
  if not add_groups(groups, left or text) or not add_groups(tail, right or "") then
    return nil
  end
  while left and #groups + #tail < 8 do
    groups[#groups + 1] = 0
  end
  table.move(tail, 1, #tail, #groups + 1, groups)
  return #groups == 8 and groups or nil
end

-- The first of the longest runs of zeros, of two at least: where it begins and ends.
local function longest_zeros(groups)
  local first, last, i = 0, 0, 1
  while i <= 8 do
    local stop = i
    while groups[stop] == 0 do
      stop = stop + 1
    end
    if stop - i > math.max(1, last - first) then
      first, last = i, stop
    end
    i = math.max(stop, i + 1)
  end
  return first, last
end

local function plain_ipv6(text)
  local address, zone = text:match("^([^%%]*)(.*)$")
  local groups = groups_of(address)
  if not groups then
    return text
  end
  local first, last = longest_zeros(groups)
  local out = {}
  for i = 1, 8 do
    if i == first then
      out[#out + 1] = (i == 1 and ":" or "") .. (last == 9 and ":" or "")
    elseif i < first or i >= last then
      out[#out + 1] = ("%x"):format(groups[i])
    end
  end
  return table.concat(out, ":") .. zone
end

---@param url string http or https
---@return string
return function(url)
  local scheme, authority = url:match("^(%a+)://([^/?#]*)")
  scheme = scheme:lower()
  authority = authority:gsub("^.*@", ""):gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end):lower()
  local host, port = authority:match("^(%[.*%]):?(%d*)$")
  if host then
    host = "[" .. plain_ipv6(host:sub(2, -2)) .. "]"
  else
    host, port = authority:match("^(.-)%.?:(%d*)$")
    host = host or authority:match("^(.-)%.?$")
  end
  port = (port or ""):match("^0*(.*)$")
  if port ~= "" and port ~= ports[scheme] then
    return ("%s://%s:%s"):format(scheme, host, port)
  end
  return ("%s://%s"):format(scheme, host)
end
