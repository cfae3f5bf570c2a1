-- weir.postgres.methods - what a connection does beyond statements: COPY, pipelines, notifications.
--
-- A copy and a pipeline have the connection for themselves until they end, as a loop over rows has: they stand in
-- its place in the session (`loop`), so that whoever leaves one open in a transaction finds it closed.

local core <const> = require "weir.core"
local database <const> = require "weir.database"
local libpq <const> = require "weir.postgres.libpq"
local values <const> = require "weir.postgres.values"

---@class weir.database.Session
local methods <const> = {}

-- --- having the connection for oneself ----------------------------------------------------------------
-- Enter `self`'s session for `object`, whose close ends what it does. Waits. Returns what is left of the timeout.
-- Once the lock is there nothing is allocated that could be refused.
local function occupy(self, op, timeout, object)
  local loop <const> = { owner = coroutine.running(), permit = false, open = { [object] = true } }
  object.session, object.raw, object.loop = false, false, false
  local session <const>, permit <const>, left <const> = database.enter(self, op, timeout)
  loop.permit = permit
  object.session, object.raw, object.loop = session, session.raw, loop
  session.loop = loop
  return left
end

local function vacate(object)
  local loop <const> = object.loop
  object.loop = false
  if object.session.loop == loop then object.session.loop = nil end
  if loop.permit.held then loop.permit:release() end
end

-- End what `object` does before its end. Never waits; harmless at the end and a second time.
local function give_up(object)
  if not object.loop then return end
  if object.loop.owner ~= coroutine.running() then
    core.misuse("postgres:" .. object.op, "only the task that began it may close it")
  end
  libpq.abandon(object.raw)
  vacate(object)
end

-- The object's `close`: give_up, with a look at what it is called with.
local function closes(meta, op)
  return function(object)
    core.check_self(object, meta, op)
    give_up(object)
  end
end

local function check_open(object, meta, op, what)
  core.check_self(object, meta, op)
  if not object.loop then
    error(core.error("closed", "postgres:" .. object.op, what .. " has ended"), 0)
  end
end

local of_copy <const> = { sql = true, timeout = true }

-- sql, or {sql=, timeout=}
local function read_sql(op, sql)
  local timeout
  if type(sql) == "table" then
    core.check_options(sql, "postgres:" .. op, of_copy)
    sql, timeout = sql.sql, sql.timeout
    if timeout ~= nil then core.check_seconds(timeout, "postgres:" .. op, "timeout") end
  end
  if type(sql) ~= "string" then core.expected("postgres:" .. op, "sql", "a string", sql) end
  return sql, timeout
end

-- --- COPY in ------------------------------------------------------------------------------------------
---@class weir.postgres.CopyIn
---@field close fun(self: weir.postgres.CopyIn) undo it without waiting, unless it has ended
local CopyIn <const> = { op = "copy_in" }
local copy_in_meta <const> = { __index = CopyIn, __close = give_up, __name = "weir.postgres.copy_in" }

--- Data as the COPY's format has it, cut anywhere. Waits while the server is slower.
---@async
---@param chunk string
function CopyIn:write(chunk)
  check_open(self, copy_in_meta, "copy:write", "the copy")
  libpq.copy_write(self.raw, chunk)
end

--- A row, in the text format, which is COPY's own.
---@async
function CopyIn:row(...)
  check_open(self, copy_in_meta, "copy:row", "the copy")
  libpq.copy_write(self.raw, values.copy_line({ ... }, select("#", ...)))
end

--- All was written: the rows that were copied. Waits.
---@async
---@return integer
function CopyIn:finish()
  check_open(self, copy_in_meta, "copy:finish", "the copy")
  local guard <close> = self -- luacheck: ignore 211
  return libpq.copy_end(self.raw)
end

--- Have the server undo it. Waits.
---@async
---@param why? string
function CopyIn:abort(why)
  check_open(self, copy_in_meta, "copy:abort", "the copy")
  local guard <close> = self -- luacheck: ignore 211
  local ok <const>, err <const> = pcall(libpq.copy_end, self.raw, why or "aborted")
  if not ok and (core.kind(err) ~= "query" or err.sqlstate ~= "57014") then error(err, 0) end
end

--- The same without waiting, unless it has ended.
CopyIn.close = closes(copy_in_meta, "copy:close")

-- Closes a copy until it is handed over.
local guard_meta <const> = { __close = function(guard)
  if guard.copy then give_up(guard.copy) end
end }

local function write_item(copy, item)
  if type(item) == "table" then
    copy:write(values.copy_line(item, item.n or #item))
  else
    copy:write(item)
  end
end

--- COPY ... FROM STDIN. With a source (a string, an array, or a function that gives items until nil; items are
--- strings, or tables that are rows): what it gives, and the rows copied. Without: a writer, closable. Waits.
---@async
---@param sql string|{ sql: string, timeout?: number }
---@param source? string|table|fun(): string|table|nil
---@return integer|weir.postgres.CopyIn
function methods:copy_in(sql, source)
  local text <const>, timeout <const> = read_sql("copy_in", sql)
  local kind <const> = type(source)
  if source ~= nil and kind ~= "string" and kind ~= "table" then
    core.check_function(source, "postgres:copy_in", "source")
  end
  local copy <const> = setmetatable({}, copy_in_meta)
  local guard <close> = setmetatable({ copy = copy }, guard_meta)
  local left <const> = occupy(self, "copy_in", timeout, copy)
  libpq.copy_in(copy.raw, left, text)
  if source == nil then
    guard.copy = nil
    return copy
  elseif kind == "string" then
    copy:write(source)
  elseif kind == "table" and not (getmetatable(source) or {}).__call then
    for i = 1, source.n or #source do write_item(copy, source[i]) end
  else
    for item in source do write_item(copy, item) end
  end
  return copy:finish()
end

-- --- COPY out -----------------------------------------------------------------------------------------
local CopyOut <const> = { op = "copy_out" }

local copy_out_meta <const> = { __index = CopyOut, __close = give_up, __name = "weir.postgres.copy_out" }

local function next_chunk(copy)
  if not copy.loop then return nil end
  local chunk <const> = libpq.copy_read(copy.raw)
  if chunk == nil then vacate(copy) end
  return chunk
end

CopyOut.close = closes(copy_out_meta, "copy:close")

--- for line in db:copy_out(sql) do: COPY ... TO STDOUT, as fast as the loop goes. Waits.
---@async
---@param sql string|{ sql: string, timeout?: number }
function methods:copy_out(sql)
  local text <const>, timeout <const> = read_sql("copy_out", sql)
  local copy <const> = setmetatable({}, copy_out_meta)
  local guard <close> = setmetatable({ copy = copy }, guard_meta)
  local left <const> = occupy(self, "copy_out", timeout, copy)
  libpq.copy_out(copy.raw, left, text)
  guard.copy = nil
  return next_chunk, copy, nil, copy
end

-- --- pipelines ----------------------------------------------------------------------------------------
---@class weir.postgres.Pipeline
---@field close fun(self: weir.postgres.Pipeline) give up the rest, without waiting
local Pipeline <const> = { op = "pipeline" }
local pipeline_meta <const> = { __index = Pipeline, __close = give_up, __name = "weir.postgres.pipeline" }

--- Send a statement, a text or a prepared one, and go on. Returns its number in the list of outcomes.
---@async
---@return integer
function Pipeline:query(sql, ...)
  check_open(self, pipeline_meta, "pipeline:query", "the pipeline")
  if type(sql) == "table" and sql.session then
    if sql.session.raw ~= self.raw then
      core.misuse("postgres:pipeline", "the statement must be of this connection")
    end
    sql = sql.handle or error(core.error("closed", "postgres:pipeline", "the statement is closed"), 0)
  end
  return libpq.pipeline_add(self.raw, sql, ...)
end

--- A point up to which all that went before is committed, and from which it goes on after an error.
function Pipeline:sync()
  check_open(self, pipeline_meta, "pipeline:sync", "the pipeline")
  libpq.pipeline_sync(self.raw)
end

Pipeline.close = closes(pipeline_meta, "pipeline:close")

--- pipeline([{timeout=},] fn, ...): statements that fn(p, ...) sends with p:query, without waiting for one before the
--- next. Returns their outcomes in order, results or errors, with `n`. Between two syncs they are one transaction:
--- after an error the rest is not run (`err.aborted`). Waits.
---@async
function methods:pipeline(options, fn, ...)
  if type(options) ~= "table" then return self:pipeline({}, options, fn, ...) end
  core.check_options(options, "postgres:pipeline", { timeout = true })
  core.check_function(fn, "postgres:pipeline", "fn")
  local timeout <const> = options.timeout
  if timeout ~= nil then core.check_seconds(timeout, "postgres:pipeline", "timeout") end
  local p <close> = setmetatable({}, pipeline_meta)
  libpq.pipeline(self.raw, occupy(self, "pipeline", timeout, p))
  fn(p, ...)
  return libpq.pipeline_end(p.raw)
end

-- --- notifications ------------------------------------------------------------------------------------
local function each_channel(word, op, ...)
  local texts <const> = {}
  for i = 1, select("#", ...) do
    local channel <const> = select(i, ...)
    if type(channel) ~= "string" or channel == "" then
      core.expected("postgres:" .. op, "channel", "a string that is not empty", channel)
    end
    texts[i] = word .. " " .. values.identifier(channel)
  end
  return table.concat(texts, "; ")
end

--- Subscribe to channels. In a transaction: from its end on. Waits.
---@async
function methods:listen(...)
  if select("#", ...) == 0 then core.expected("postgres:listen", "channel", "a string that is not empty", nil) end
  self:exec(each_channel("LISTEN", "listen", ...))
end

--- Unsubscribe from channels, or from all. Waits.
---@async
function methods:unlisten(...)
  self:exec(select("#", ...) == 0 and "UNLISTEN *" or each_channel("UNLISTEN", "unlisten", ...))
end

--- Send a notification. In a transaction: when it commits. Waits.
---@async
---@param channel string
---@param payload? string
function methods:notify(channel, payload)
  if type(channel) ~= "string" or channel == "" then
    core.expected("postgres:notify", "channel", "a string that is not empty", channel)
  elseif payload ~= nil and type(payload) ~= "string" then
    core.expected("postgres:notify", "payload", "a string", payload)
  end
  self:query("select pg_notify($1, $2)", channel, payload or "")
end

--- The next notification, {channel=, payload=, pid=}. Others may use the connection meanwhile. Waits.
---@async
---@param timeout? number
---@return { channel: string, payload: string, pid: integer }
function methods:notification(timeout)
  return libpq.notification(self.raw, timeout)
end

-- --- the rest -----------------------------------------------------------------------------------------
--- What the server says of one of its settings ("TimeZone", "server_version" ...), or nil.
---@param name string
---@return string?
function methods:parameter(name)
  if type(name) ~= "string" then core.expected("postgres:parameter", "name", "a string", name) end
  return libpq.parameter(self.raw, name)
end

return methods
