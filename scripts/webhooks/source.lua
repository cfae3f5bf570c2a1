-- webhooks.source - the lines of the input, read ahead as they are asked for, and again by their place.
--
-- A line that was read is remembered by whoever needs it as its place alone, a number; again(place)
-- reads it once more when its turn comes. So what waits costs 16 bytes, not a delivery. Beside where
-- it is the number has some bits of the line's hash: a file that is changed meanwhile is noticed. A
-- file is its own store. What cannot be read twice (standard input, a pipe) is read without blocking
-- the others, and copied to a temporary file that has no name and goes with the process.

local failure = require "support.failure"
local hash = require "support.hash"
local stream = require "support.stream"

local source = {}
source.__index = source

local CHUNK <const> = 65536
local LONGEST <const> = 16 << 20 -- bytes of a line
local HASH_BITS <const> = 23     -- of a place; the others say where it is
local MASK <const> = (1 << HASH_BITS) - 1
local LARGEST <const> = 1 << (63 - HASH_BITS)

---@param name string "-" is standard input
---@return table? source nil if it cannot be read
---@return string? why
function source.open(name)
  local made <const> = setmetatable({ name = name, number = 0, bytes = 0, rest = "", at = 1 }, source)
  local why
  if name == "-" then
    made.name, made.file = "standard input", io.stdin
  else
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
    made.store, why = io.open(name, "rb")
  else
    made.stream = stream.open(name)
    made.store, why = io.tmpfile()
    made.copied = 0
  end
  return made.store and made, why
end

-- The next piece, or nil at the end. What cannot be read twice is kept in the store.
local function pull(self)
  local data, why
  if self.stream then
    data, why = self.stream:read()
  else
    data, why = self.file:read(CHUNK) -- a pipe without luv: the others wait too
  end
  if why then
    failure.raise(("cannot read %s: %s"):format(self.name, why))
  elseif data and self.copied then
    self.store:seek("set", self.copied)
    local fine, problem = self.store:write(data)
    if not fine then
      failure.raise(("cannot keep %s: %s"):format(self.name, problem))
    end
    self.copied = self.copied + #data
  end
  return data
end

local function check_bits(text)
  return hash(text) & MASK
end

-- A line that was read, with so many bytes after it.
local function finish(self, text, terminator)
  if self.bytes >= LARGEST then
    failure.raise(("%s: larger than 1 TiB"):format(self.name))
  end
  local place <const> = self.bytes << HASH_BITS | check_bits(text)
  self.number = self.number + 1
  self.bytes = self.bytes + #text + terminator
  return text, place, self.number
end

--- The next line: its text, its place and its number; nil at the end. May wait.
---@async
---@return string? text
---@return integer? place
---@return integer? number
function source:next()
  local pieces = {}
  while true do
    local stop = self.rest:find("\n", self.at, true)
    local part = self.rest:sub(self.at, (stop or 0) - 1)
    if stop then
      self.at = stop + 1
      return finish(self, #pieces > 0 and table.concat(pieces) .. part or part, 1)
    elseif part ~= "" then
      pieces[#pieces + 1] = part
    end
    self.rest, self.at = not self.ended and pull(self) or "", 1
    if self.rest == "" then
      self.ended = true
      if #pieces == 0 then
        return nil
      end
      return finish(self, table.concat(pieces), 0)
    end
  end
end

--- The line at a place that next() gave. Raises a support.failure if another is there now.
---@param place integer
---@return string text
function source:again(place)
  self.store:seek("set", place >> HASH_BITS)
  local text = self.store:read("l")
  if not text or check_bits(text) ~= place & MASK then
    failure.raise(("%s was changed while it was read"):format(self.name))
  end
  return text
end

function source:close()
  if self.stream then
    self.stream:close()
  end
  if self.file ~= io.stdin then
    self.file:close()
  end
  self.store:close()
end

source.__close = source.close
source.LONGEST = LONGEST

return source
