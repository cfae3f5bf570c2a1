-- webhooks.journal - what was done, as JSON lines that are only ever added to.
--
--   {"id":"e1","attempt":1}                                 written before each attempt
--   {"id":"e1","attempt":1,"error":"HTTP 503"}              after it, if another will follow
--   {"id":"e1","delivered":200,"attempts":2}                after the last, one of these two
--   {"id":"e1","failed":"HTTP 404","attempts":1}
--
-- Each record is one write to the system and survives this process, however it ends; fsync is never
-- called, so a machine that dies may lose the last of them. A line that is cut (the last, after a
-- crash in the middle of a write) says nothing and does no harm: the next record begins on a line of
-- its own. Read again, an id is done, or its last attempt ended, or it was in flight.

local json = require "weir.json"

local lines = require "support.lines"
local failure = require "webhooks.failure"

local journal = {}
journal.__index = journal

local NOT_THERE <const> = 2 -- ENOENT, the same on every system

-- What the records of a journal come to: put into `self`. Returns what is wrong if it cannot be read.
local function replay(self, file)
  local in_flight, torn = {}, 0
  local line, why = file:read("L")
  while line do
    local fine, record = pcall(json.decode, line)
    if not fine or type(record) ~= "table" or type(record.id) ~= "string" then
      torn = torn + 1
    elseif record.delivered or record.failed then
      self.done[record.id] = record.delivered and "delivered" or "failed"
      self.delivered = self.delivered + (record.delivered and 1 or 0)
      self.failed = self.failed + (record.failed and 1 or 0)
      in_flight[record.id] = nil
    else
      in_flight[record.id] = record.error == nil or nil
    end
    line, why = file:read("L")
  end
  for _ in pairs(in_flight) do
    self.in_flight = self.in_flight + 1
  end
  self.torn = torn
  return why
end

-- Read the journal that is there, if it is to be gone on with. Returns what is wrong.
local function read_old(self, path, resume)
  local old <close>, why, code = io.open(path, "rb")
  if not old then
    return (resume or code ~= NOT_THERE) and why or nil
  end
  local _, unreadable = old:read(0)
  if unreadable then -- a folder can be opened, but not read
    return ("%s: %s"):format(path, unreadable)
  elseif old:seek("end") == 0 then
    return nil
  elseif not resume then
    return path .. " is there already: --resume goes on with it"
  end
  old:seek("set", 0)
  why = replay(self, old)
  return why and ("%s: %s"):format(path, why)
end

---@param path string? nil: nothing is kept
---@param resume boolean? go on with the one that is there
---@return table? journal nil if it cannot be opened
---@return string? why
function journal.open(path, resume)
  local made = setmetatable({ done = {}, delivered = 0, failed = 0, in_flight = 0, torn = 0, file = nil }, journal)
  if not path then
    return made
  end
  local problem = read_old(made, path, resume)
  if problem then
    return nil, problem
  end
  local file, why = lines.open(path, "ab")
  if not file then
    return nil, why
  end
  made.file = file
  return made
end

local function write(self, id, rest, ...)
  if self.file then
    failure.write(self.file, ('{"id":%s,%s}\n'):format(lines.encode(id), rest:format(...)))
  end
end

---@param id string
---@param attempt integer
function journal:begin(id, attempt)
  write(self, id, '"attempt":%d', attempt)
end

--- The attempt failed and another will follow.
function journal:again(id, attempt, message)
  write(self, id, '"attempt":%d,"error":%s', attempt, lines.encode(message))
end

--- The last outcome of a delivery; `answer` as webhooks.delivery makes it.
function journal:finish(id, answer, attempts)
  self.done[id] = answer.ok and "delivered" or "failed"
  if answer.ok then
    write(self, id, '"delivered":%d,"attempts":%d', answer.status, attempts)
  else
    write(self, id, '"failed":%s,"attempts":%d', lines.encode(answer.message), attempts)
  end
end

--- Can it be gone on with?
function journal:is_kept()
  return self.file ~= nil
end

function journal:close()
  if self.file then
    self.file:close()
  end
end

journal.__close = journal.close

return journal
