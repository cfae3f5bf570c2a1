-- webhooks.journal - what was done, as JSON lines that are only ever added to.
--
--   {"source":"deliveries.jsonl","begins":"9f3c..."}        before all others: what the deliveries are from
--   {"id":"e1","attempt":1}                                 before each attempt
--   {"id":"e1","attempt":1,"error":"HTTP 503"}              after it, if another will follow
--   {"id":"e1","delivered":200,"attempts":2,"line":"..."}   after the last, one of these two
--   {"id":"e1","failed":"HTTP 404","attempts":1,"line":"..."}
--
-- Each record is one write to the system and survives this process, however it ends; fsync is never
-- called, so a machine that dies may lose the last of them. A line that is cut (the last, after a
-- crash in the middle of a write) says nothing and does no harm: the next record begins on a line of
-- its own. Read again, an id is done, or its last attempt ended, or it was in flight. "begins" and
-- "line" are hashes, of the source's first line and of the delivery's: what was done for another line
-- with the same id is not done. A journal is locked as long as it is open.

local json = require "weir.json"

local failure = require "support.failure"
local hash = require "support.hash"
local lines = require "support.lines"
local shell = require "support.shell"

local journal = {}
journal.__index = journal

local NOT_THERE <const> = 2 -- ENOENT, the same on every system

local function replay_record(self, in_flight, record)
  local id <const> = record.id
  if type(record.source) == "string" and type(record.begins) == "string" then
    self.source, self.begins = record.source, record.begins
    self.lines = {} -- another source that was meant: what was done before counts by its id
  elseif type(id) ~= "string" then
    return false
  elseif record.delivered or record.failed then
    self.done[id] = record.delivered and "delivered" or "failed"
    self.lines[id] = type(record.line) == "string" and tonumber(record.line, 16) or nil
    self.delivered = self.delivered + (record.delivered and 1 or 0)
    self.failed = self.failed + (record.failed and 1 or 0)
    in_flight[id] = nil
  else
    in_flight[id] = record.error == nil or nil
  end
  return true
end

-- What the records of a journal come to: put into `self`. Returns what is wrong if it cannot be read.
local function replay(self, file)
  local in_flight = {}
  local line, why = file:read("L")
  while line do
    local fine, record = pcall(json.decode, line)
    if not fine or type(record) ~= "table" or not replay_record(self, in_flight, record) then
      self.torn = self.torn + 1
    end
    line, why = file:read("L")
  end
  for _ in pairs(in_flight) do
    self.in_flight = self.in_flight + 1
  end
  return why
end

-- Read the journal that is there, if it is to be gone on with. Returns what is wrong.
local function read_old(self, path, resume)
  local old <close>, why = io.open(path, "rb")
  if not old then
    return why
  elseif old:seek("end") == 0 then
    return nil
  elseif not resume then
    return path .. " is there already: --resume goes on with it"
  end
  old:seek("set", 0)
  why = replay(self, old)
  return why and ("%s: %s"):format(path, why)
end

-- Is there a file that can be gone on with? Returns what is wrong if there is not.
local function look(path, resume)
  local old <close>, why, code = io.open(path, "rb")
  if not old then
    return (resume or code ~= NOT_THERE) and why or nil
  end
  local _, unreadable = old:read(0)
  return unreadable and ("%s: %s"):format(path, unreadable) -- a folder can be opened, but not read
end

---@param path string? nil: nothing is kept
---@param resume boolean? go on with the one that is there
---@return table? journal nil if it cannot be opened, or another run has it
---@return string? why if there is a journal: what the operator is to be told
function journal.open(path, resume)
  local made = setmetatable({ path = path, done = {}, lines = {}, source = nil, begins = nil, delivered = 0, failed = 0,
    in_flight = 0, torn = 0, file = nil, held = nil }, journal)
  if not path then
    return made
  end
  local problem = look(path, resume)
  if problem then
    return nil, problem
  end
  local held, why = io.open(path, "ab") -- the only handle on it now, so the one that is locked
  if not held then
    return nil, why
  end
  local locked, note = shell.lock(path)
  problem = locked == false and path .. ": another run is using it" or read_old(made, path, resume)
  if not problem then
    made.file, problem = lines.open(path, "ab")
  end
  if problem then
    held:close()
    return nil, problem
  end
  made.held = held
  return made, locked == nil and ("cannot lock %s: %s"):format(path, note) or nil
end

local function write(self, id, rest, ...)
  if self.file then
    self.file:write(('{"id":%s,%s}\n'):format(lines.encode(id), rest:format(...)))
  end
end

--- Whether this source is the one that the journal was begun with; a journal that was not begun is.
--- Other than that the source can have changed: grown, or with lines mended that were not done.
---@param name string
---@param first string its first line that is not empty
---@param is_meant boolean it is another one, and so it is to be
function journal:begin_source(name, first, is_meant)
  local begins <const> = ("%016x"):format(hash(first))
  if not self.file or (self.begins == begins and not is_meant) then
    return
  elseif self.begins and not is_meant then
    failure.raise(("--resume: %s was begun with %s, and %s is another source: its first line is not the same; "
      .. "--other-source says that it is meant"):format(self.path, self.source, name))
  end
  self.begins, self.source, self.lines = begins, name, {}
  self.file:write(('{"source":%s,"begins":"%s"}\n'):format(lines.encode(name), begins))
end

--- What became of a delivery before this run: "delivered", "failed" or nil.
---@param id string
---@param text string its line
---@param name string the source, for an error
---@return string?
function journal:outcome(id, text, name)
  local outcome <const>, line <const> = self.done[id], self.lines[id]
  if outcome and line and line ~= hash(text) then
    failure.raise(("--resume: '%s' was %s with another line than %s has for it now; --other-source goes by ids alone")
      :format(id, outcome, name))
  end
  return outcome
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
---@param text string its line
function journal:finish(id, answer, attempts, text)
  if answer.ok then
    write(self, id, '"delivered":%d,"attempts":%d,"line":"%016x"', answer.status, attempts, hash(text))
  else
    write(self, id, '"failed":%s,"attempts":%d,"line":"%016x"', lines.encode(answer.message), attempts, hash(text))
  end
end

--- Can it be gone on with?
function journal:is_kept()
  return self.file ~= nil
end

function journal:close()
  if self.file then
    self.file:close()
    self.held:close()
  end
end

journal.__close = journal.close

return journal
