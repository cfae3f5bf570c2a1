-- fanout.input - the URLs to fetch, one after the other, out of arguments, files and stdin.
--
-- open(sources) opens nothing but looks at everything: a file is read once to count what is in
-- it, and again piece by piece as items are asked for, so a list of any length costs 64 kB. What
-- cannot be read twice is copied to a temporary file without a name first, before any request is
-- under way that would have to wait; with luv, standard input is read as it comes instead, and
-- others run meanwhile. Items: { source =, line =, url =, problem = } where `line` counts within
-- its source (the arguments are one source) and `problem` says why it cannot be fetched.

local failure = require "support.failure"
local stream = require "support.stream"

local input = {}

local LONGEST <const> = 8192 -- bytes of a URL that servers can be expected to take
local CHUNK <const> = 65536

local function check(url)
  if #url > LONGEST then
    return ("longer than %d bytes"):format(LONGEST)
  elseif url:find("[%c ]") then
    return "blank or control character inside"
  elseif not url:find("^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]") then
    return "expected http:// or https:// and a host"
  end
  return nil
end

-- Lines of what `read` gives in pieces, nil at its end. Of a line beyond any URL's length some is kept.
local function split(read)
  local piece, at, line = "", 1, nil
  return function()
    while piece do
      local stop = piece:find("\n", at, true)
      local part = piece:sub(at, (stop or #piece + 1) - 1)
      if stop or part ~= "" then
        line = (line and #line > LONGEST) and line or (line or "") .. part
      end
      if stop then
        local whole = line
        at, line = stop + 1, nil
        return whole
      end
      piece, at = read(), 1
    end
    local last = line
    line = nil
    return last
  end
end

-- What is to be fetched of lines: number and text, without blanks, comments and the mark of UTF-8.
local function entries(read)
  local next_line, number = split(read), 0
  return function()
    for line in next_line do
      number = number + 1
      if number == 1 then
        line = line:gsub("^\xEF\xBB\xBF", "")
      end
      local text = line:match("^%s*(.*%S)")
      if text and text:sub(1, 1) ~= "#" then
        return number, text
      end
    end
    return nil
  end
end

-- The next pieces of `file`.
local function reader(file, name)
  return function()
    local data, why = file:read(CHUNK)
    if not data and why then
      failure.raise(("cannot read %s: %s"):format(name, why), 2)
    end
    return data
  end
end

-- Standard input, if it can be read as it comes. Returns the function that gives its pieces, one
-- that closes, and whether they are typed; nil if not.
local function stream_reader()
  local from = stream.open("-")
  if not from then
    return nil
  elseif from.is_typed then
    io.stderr:write("fanout.lua: one URL a line, Ctrl-D ends\n")
  end
  return function()
    local data, why = from:read()
    if why then
      failure.raise("cannot read standard input: " .. why)
    end
    return data
  end, function() from:close() end, from.is_typed
end

-- A file that can be read twice, and where it begins: `file` itself, or a copy.
local function twice(file, name)
  local start = file:seek("cur", 0)
  if start then
    return file, start
  end
  local copy, problem = io.tmpfile()
  if not copy then
    failure.raise("cannot make a temporary file: " .. problem, 2)
  end
  for data in reader(file, name) do
    local fine, why = copy:write(data)
    if not fine then
      failure.unwritable("a temporary file", why)
    end
  end
  copy:seek("set", 0)
  return copy, 0
end

-- The items of a file or of standard input. Returns the function that gives them, their number if
-- it is known, and whether they are typed.
local function open_list(name)
  local title = name == "-" and "standard input" or name
  local file = io.stdin
  if name ~= "-" then
    local why
    file, why = io.open(name, "rb")
    if not file then
      failure.raise(why .. (why:find("No such file", 1, true) and " (a URL begins with http:// or https://)" or ""), 2)
    end
  end
  local read, close, is_typed, total
  if name == "-" and not file:seek("cur", 0) then
    read, close, is_typed = stream_reader()
  end
  if not read then
    local source, start = twice(file, title)
    total = 0
    for _ in entries(reader(source, title)) do
      total = total + 1
    end
    source:seek("set", start)
    read = reader(source, title)
    close = function()
      if source ~= io.stdin then
        source:close()
      end
    end
  end
  local next_entry = entries(read)
  return function()
    local number, url = next_entry()
    if number then
      return { source = title, line = number, url = url, problem = check(url) }
    end
    close()
    return nil
  end, total, is_typed
end

local function one(i, url)
  local item = { source = "argument", line = i, url = url, problem = check(url) }
  return function()
    local once = item
    item = nil
    return once
  end
end

---@param sources string[] URLs, names of files, "-"
---@return fun(): table? pull the next item, or nil at the end; may wait
---@return integer? total number of items, nil if it will only be known at the end
---@return boolean is_typed are some typed on a terminal while they are fetched?
function input.open(sources)
  local parts, total, is_typed, seen = {}, 0, false, false
  for i, source in ipairs(sources) do
    local n, typed
    if source == "-" and seen then
      failure.raise("standard input can be a SOURCE once", 2)
    end
    seen = seen or source == "-"
    if source:find("://", 1, true) then
      parts[i], n = one(i, source), 1
    else
      parts[i], n, typed = open_list(source)
    end
    total = total and n and total + n
    is_typed = is_typed or typed == true
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
  end, total, is_typed
end

return input
