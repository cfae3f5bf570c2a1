-- webhooks.source - the lines of the input, read ahead as they are asked for, and again by their place.
--
-- A line that was read is remembered by whoever needs it as its place alone, a number; again(place)
-- reads it once more when its turn comes. So what waits costs 16 bytes, not a delivery. A file is
-- its own store. What cannot be read twice (standard input, a pipe) is read without blocking the
-- others, and copied to a temporary file that has no name and goes with the process.

local weir = require "weir"

local failure = require "webhooks.failure"

local source = {}
source.__index = source

local CHUNK <const> = 65536
local LONGEST <const> = 16 << 20 -- bytes of a line

-- A function that gives the next piece of a stream, or nil at its end, and lets others run meanwhile.
local function stream_reader(file, name)
  local found, uv = pcall(require, "weir.luv")
  if not found then -- without luv the others wait too
    return function() return file:read(CHUNK) end
  end
  local fd = name == "-" and 0 or assert(uv.fs_open(name, "r", 0))
  local read = weir.wrap(uv.fs_read)
  return function()
    local err, data = read(fd, CHUNK, -1)
    if err then
      failure.raise(("cannot read %s: %s"):format(name, err))
    end
    return data ~= "" and data or nil
  end
end

---@param name string "-" is standard input
---@return table? source nil if it cannot be read
---@return string? why
function source.open(name)
  local made = { name = name, number = 0, place = 0, rest = "", at = 1 }
  if name == "-" then
    made.name = "standard input"
    made.file = io.stdin
  else
    local why
    made.file, why = io.open(name, "rb")
    if not made.file then
      return nil, why
    end
  end
  if name ~= "-" and made.file:seek("set", 0) then
    local _, complaint = made.file:read(0)
    if complaint then -- a folder can be opened, but not read
      return nil, ("%s: %s"):format(name, complaint)
    end
    made.pull = function() return made.file:read(CHUNK) end
    made.store = assert(io.open(name, "rb"))
  else
    made.pull = stream_reader(made.file, name)
    made.store = assert(io.tmpfile())
    made.copied = 0
  end
  return setmetatable(made, source)
end

-- Keep a piece of a stream in the store.
local function keep(self, data)
  if self.copied then
    self.store:seek("set", self.copied)
    local fine, why = self.store:write(data)
    if not fine then
      failure.raise("cannot keep standard input: " .. why)
    end
    self.copied = self.copied + #data
  end
end

--- The next line: its text, its place and its number; nil at the end. May wait.
---@async
---@return string? text
---@return integer? place
---@return integer? number
function source:next()
  local pieces
  while true do
    local stop = self.rest:find("\n", self.at, true)
    if stop or (not self.pull and self.at <= #self.rest) then
      local text = self.rest:sub(self.at, (stop or #self.rest + 1) - 1)
      local place = self.place
      self.at = (stop or #self.rest) + 1
      self.number = self.number + 1
      if pieces then
        pieces[#pieces + 1] = text
        text = table.concat(pieces)
      end
      self.place = place + #text + 1
      return text, place, self.number
    elseif not self.pull and not pieces then
      return nil
    elseif not self.pull then -- the end came in the middle of a line
      self.number = self.number + 1
      local place, text = self.place, table.concat(pieces)
      self.place = place + #text
      return text, place, self.number
    end
    if self.at <= #self.rest then
      pieces = pieces or {}
      pieces[#pieces + 1] = self.rest:sub(self.at)
    end
    local data = self.pull()
    if data then
      keep(self, data)
    else
      self.pull = nil
    end
    self.rest, self.at = data or "", 1
  end
end

--- The line at a place that next() gave.
---@param place integer
---@return string text
function source:again(place)
  self.store:seek("set", place)
  local text = self.store:read("l")
  if not text then
    failure.raise(("%s was changed while it was read"):format(self.name))
  end
  return text
end

function source:close()
  if self.file ~= io.stdin then
    self.file:close()
  end
  self.store:close()
end

source.__close = source.close
source.LONGEST = LONGEST

return source
