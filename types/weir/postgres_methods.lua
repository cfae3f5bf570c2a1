-- types/weir/postgres_methods.lua - the annotations of bindings/weir/postgres/methods.lua, taken out by tools/types.lua; do not edit.
---@meta _

---@class weir.database.Session
local Session = {}

---@class weir.postgres.CopyIn
---@field close fun(self: weir.postgres.CopyIn) undo it without waiting, unless it has ended
local CopyIn = {}

--- Data as the COPY's format has it, cut anywhere. Waits while the server is slower.
---@async
---@param chunk string
function CopyIn:write(chunk) end

--- A row, in the text format, which is COPY's own.
---@async
function CopyIn:row(...) end

--- All was written: the rows that were copied. Waits.
---@async
---@return integer
function CopyIn:finish() end

--- Have the server undo it. Waits.
---@async
---@param why? string
function CopyIn:abort(why) end

--- COPY ... FROM STDIN. With a source (a string, an array, or a function that gives items until nil; items are
--- strings, or tables that are rows): what it gives, and the rows copied. Without: a writer, closable. Waits.
---@async
---@param sql string|{ sql: string, timeout?: number }
---@param source? string|table|fun(): string|table|nil
---@return integer|weir.postgres.CopyIn
function Session:copy_in(sql, source) end

--- for line in db:copy_out(sql) do: COPY ... TO STDOUT, as fast as the loop goes. Waits.
---@async
---@param sql string|{ sql: string, timeout?: number }
function Session:copy_out(sql) end

---@class weir.postgres.Pipeline
---@field close fun(self: weir.postgres.Pipeline) give up the rest, without waiting
local Pipeline = {}

--- Send a statement, a text or a prepared one, and go on. Returns its number in the list of outcomes.
---@async
---@return integer
function Pipeline:query(sql, ...) end

--- A point up to which all that went before is committed, and from which it goes on after an error.
function Pipeline:sync() end

--- pipeline([{timeout=},] fn, ...): statements that fn(p, ...) sends with p:query, without waiting for one before the
--- next. Returns their outcomes in order, results or errors, with `n`. Between two syncs they are one transaction:
--- after an error the rest is not run (`err.aborted`). Waits.
---@async
function Session:pipeline(options, fn, ...) end

--- Subscribe to channels. In a transaction: from its end on. Waits.
---@async
function Session:listen(...) end

--- Unsubscribe from channels, or from all. Waits.
---@async
function Session:unlisten(...) end

--- Send a notification. In a transaction: when it commits. Waits.
---@async
---@param channel string
---@param payload? string
function Session:notify(channel, payload) end

--- The next notification, {channel=, payload=, pid=}. Others may use the connection meanwhile. Waits.
---@async
---@param timeout? number
---@return { channel: string, payload: string, pid: integer }
function Session:notification(timeout) end

--- What the server says of one of its settings ("TimeZone", "server_version" ...), or nil.
---@param name string
---@return string?
function Session:parameter(name) end
