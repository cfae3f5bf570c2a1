-- fanout.input - the URLs to fetch, one after the other, out of arguments, files and stdin.
--
-- open(sources) reads what there is to read at once, so that nothing blocks later while
-- requests are in flight, and keeps it as text: a URL that waits costs its own bytes. Items
-- are made when they are asked for: { line =, url =, problem = } where `line` counts within its
-- source (the arguments are one source) and `problem` says why the line cannot be fetched.

local input = {}

local longest <const> = 8192 -- bytes of a URL that servers can be expected to take

local function check(url)
  if #url > longest then
    return ("longer than %d bytes"):format(longest)
  elseif url:find("[%c ]") then
    return "blank or control character inside"
  elseif not url:find("^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]") then
    return "expected http:// or https:// and a host"
  end
  return nil
end

-- Does the line, without its blanks, hold something to fetch?
local function is_empty(text)
  return text == "" or text:sub(1, 1) == "#"
end

-- Items of a text with one URL on each line.
local function lines(name, text)
  local position, number = 1, 0
  return function()
    while position <= #text do
      local stop = text:find("\n", position, true) or #text + 1
      local url = text:sub(position, stop - 1):match("^%s*(.-)%s*$")
      position, number = stop + 1, number + 1
      if not is_empty(url) then
        return { source = name, line = number, url = url, problem = check(url) }
      end
    end
    return nil
  end
end

local function count(name, text)
  local n = 0
  for _ in lines(name, text) do
    n = n + 1
  end
  return n
end

local function read(name)
  if name == "-" then
    return io.stdin:read("a")
  end
  local file, why = io.open(name, "rb")
  if not file then
    return nil, why
  end
  local text, complaint = file:read("a")
  file:close()
  return text, text == nil and ("%s: %s"):format(name, complaint or "cannot be read") or nil
end

---@param sources string[] URLs, names of files, "-"
---@return (fun(): table?)? pull the next item, or nil at the end; nil if a source cannot be read
---@return integer|string total number of items, or what is wrong
function input.open(sources)
  local parts, total = {}, 0
  for i, source in ipairs(sources) do
    if source:find("://", 1, true) then
      local item = { source = "argument", line = i, url = source, problem = check(source) }
      parts[#parts + 1] = function()
        local once = item
        item = nil
        return once
      end
      total = total + 1
    else
      local text, why = read(source)
      if not text then
        return nil, why or "standard input cannot be read"
      end
      local name = source == "-" and "standard input" or source
      parts[#parts + 1] = lines(name, text)
      total = total + count(name, text)
    end
  end
  local current = 1
  return function()
    while parts[current] do
      local item = parts[current]()
      if item then
        return item
      end
      parts[current] = false
      current = current + 1
    end
    return nil
  end, total
end

return input
