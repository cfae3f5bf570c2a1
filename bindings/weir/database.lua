-- weir.database - what weir.sqlite and weir.postgres share: the lock of a connection, transactions, loops.
--
-- A session is a connection (depth 0) or a transaction open in one (depth 1; deeper ones are savepoints). Each has
-- a lock, a semaphore of one permit: one operation at a time, first come, first served, and a deadlock is named
-- as any other. A transaction holds the lock of the session around it until it ends; in it any task may use the
-- handle that its function got, and the task it runs in may go on using the outer one, which means the innermost.
-- A loop over rows holds the lock until it is left; the task in the loop may use the session in between, where
-- the driver can do that.
--
-- A driver is a table (raw: its connection; every function that waits may raise, and leaves `raw` usable or closed):
--   name          "sqlite": names operations "sqlite:query"
--   has_names     whether a table, as the one parameter, is a table of parameters by name
--   interleaves   whether other statements can run while rows are being read
--   is_open(raw)                                   can it be used
--   query(raw, want, timeout, sql, ...)            waits; want: "query", "row", "value" -> what that returns
--   exec(raw, timeout, sql)                        waits; -> affected
--   rows(raw, timeout, sql, ...) -> cursor         waits
--   next(cursor) -> row or nil                     waits
--   finish(cursor)                                 waits, in a shield: give up what was not read; harmless at the end
--   prepare(raw, timeout, sql) -> handle           waits; `sql` in the calls above may be a handle
--   release(raw, handle)                           never waits
--   options       {name = true}: what db:transaction takes;   check(op, options) raises misuse
--   begin(raw, tx, options), commit(raw, tx), rollback(raw, tx)   wait; tx.depth is 1 or a savepoint's, rollback comes
--                 also after a begin that failed (tx.begun is nil then), and in a shield
--   ended(raw, tx)                                 the transaction is over, in whatever way; never waits, optional
--   in_transaction(raw)                            false: the server ended it, whatever we think
--   lost_transaction(op)                           raises the error that says so
--   raise_closed(raw, op)                          optional: raises why it cannot be used, where the driver knows
--   close(raw)                                     waits, in a shield: ends what is running
--   kill(raw)                                      frees, never waits
--   properties    {name = function(raw)}: fields of a connection;   methods: functions of a connection

local core <const> = require "weir.core"

local is_free <const> = core.is_free

local running <const> = coroutine.running -- a task's identity while it is alive
local pack <const>, unpack <const> = table.pack, table.unpack

local MAX_PARAMS <const> = 65535 -- of a statement: PostgreSQL's, SQLite's is half of it
local GRACE <const> = 5 -- seconds that ending a query, a transaction or a connection may take after a cancel

local database = {}

-- --- values -----------------------------------------------------------------------------------------
local blob_meta <const> = { __name = "weir.database.blob" }

--- A binary string as a parameter.
---@param bytes string
function database.blob(bytes)
  if type(bytes) ~= "string" then
    core.expected("blob", "bytes", "a string", bytes)
  end
  return setmetatable({ bytes }, blob_meta)
end

--- The beginning of a statement in one line, for messages.
---@param sql string
---@return string
function database.head(sql)
  local line = sql:sub(1, 400):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
  return #line > 80 and line:sub(1, 77) .. "..." or line
end

-- --- sessions ---------------------------------------------------------------------------------------
---@class (exact) weir.database.Query
---@field sql string
---@field params? any[]|table<string, any> a list, with n where some may be nil; SQLite: or by name
---@field timeout? number seconds

---@alias weir.database.Sql string|weir.database.Query

---@class weir.database.Session
---@field query async fun(self: weir.database.Session, sql: weir.database.Sql, ...): table all rows, by column name
---@field row async fun(self: weir.database.Session, sql: weir.database.Sql, ...): table? the first row
---@field value async fun(self: weir.database.Session, sql: weir.database.Sql, ...): any its first column
---@field closed boolean
---@field name string|false
---@field package driver table
---@field package raw userdata|table
---@field package root weir.database.Session the connection
---@field package lock any a semaphore
---@field package depth integer
---@field package child? weir.database.Session the transaction that is open in it
---@field package owner? thread whose transaction it is
---@field package loop? table the loops over rows that are open in it, all of one task
---@field package ended? string why it cannot be used any more
local Session <const> = {}

-- Metatables by what they belong to, so that a method knows what it is called with.
local kinds <const> = {}

-- Raise unless `self` is of `kind`: db.query("...") passes the text for the connection.
local function check_self(self, kind, name)
  if getmetatable(self) == kinds[kind] then return end
  core.misuse(name, ("is a method of a %s: %s:%s(...), with a colon"):format(kind,
    kind == "connection" and "db" or kind, name))
end

-- The session that a call of task `me` on `session` means: the innermost transaction that is its own.
local function innermost(session, me)
  local child = session.child
  while child and child.owner == me do
    session = child
    child = session.child
  end
  return session
end

local function raise_unusable(session, op, why)
  local driver <const> = session.driver
  op = driver.name .. ":" .. op
  if not why and driver.raise_closed then driver.raise_closed(session.raw, op) end
  error(core.error("closed", op, why or "the connection is closed", { name = session.root.name or nil }), 0)
end

local function check_usable(session, op)
  local driver <const> = session.driver
  local why <const> = session.root.ended or session.ended
  if why or not driver.is_open(session.raw) then raise_unusable(session, op, why) end
  if session.depth > 0 and not driver.in_transaction(session.raw) then
    driver.lost_transaction(driver.name .. ":" .. op)
  end
end

-- The same before the lock is asked for, which serves nobody new once the transaction ends.
local function check_enter(session, op)
  if session.ending and not session.ended then
    error(core.error("closed", session.driver.name .. ":" .. op, "the transaction ends: its function has returned"), 0)
  end
  check_usable(session, op)
end

-- Is task `me` in a loop over rows of this session? Then it has the lock.
local function in_loop(session, me, op)
  local loop <const> = session.loop
  if not loop or loop.owner ~= me or not loop.permit.held then return false end
  if not session.driver.interleaves then
    core.misuse(session.driver.name .. ":" .. op, "a loop over rows (or a copy ...) is open on this connection; "
      .. "leave it first, or use another connection")
  end
  return true
end

--- The connection cannot be used any more: free it without waiting.
local function kill(session, why)
  local root <const> = session.root
  root.ended = root.ended or why
  root.driver.kill(root.raw)
  root.lock:close(why)
end

-- --- statements -------------------------------------------------------------------------------------
local of_query <const> = { sql = true, timeout = true, params = true }

local function query_locked(session, want, timeout, sql, ...)
  check_usable(session, want)
  return session.driver.query(session.raw, want, timeout, sql, ...)
end

-- What is left of `timeout` seconds since `start`.
local function left(timeout, start)
  return timeout and math.max(0, timeout - (core.now() - start))
end

-- The lock, waited for at most `timeout` seconds: what is over then, or closed, is the caller's operation.
local function lock_within(session, op, timeout)
  local lock <const> = session.lock
  local ok <const>, got <const> = pcall(lock.acquire, lock, timeout and { timeout = timeout })
  if ok then return got end
  local kind <const> = core.kind(got)
  if kind ~= "timeout" and kind ~= "closed" then error(got, 0) end
  local text <const> = kind == "closed" and tostring(got.reason or "the connection is closed")
    or ("timed out after %g s: another operation has the connection, %d waiting"):format(timeout, lock.waiting)
  error(core.error(kind, session.driver.name .. ":" .. op, text, { name = session.root.name or nil, cause = got }), 0)
end

-- fn(session, ...) with the lock, which others have.
local function in_line(session, op, fn, ...)
  local permit <close> = lock_within(session, op) -- luacheck: ignore 211
  return fn(session, ...)
end

-- fn(session, ...) with the lock. Where it is free, which it nearly always is, without a permit of one's own.
local function with_lock(session, op, fn, ...)
  if is_free(session.lock) then return session.lock:with(fn, session, ...) end
  return in_line(session, op, fn, ...)
end

local function query(session, want, sql, ...)
  local me <const> = running()
  session = innermost(session, me)
  check_enter(session, want)
  if in_loop(session, me, want) then
    return session.driver.query(session.raw, want, nil, sql, ...)
  end
  if is_free(session.lock) then return session.lock:with(query_locked, session, want, nil, sql, ...) end
  return in_line(session, want, query_locked, want, nil, sql, ...)
end

-- The lock as a permit, or nothing if the task has it by its loop.
local function acquire(session, me, op, timeout)
  if in_loop(session, me, op) then return nil end
  local permit <const> = lock_within(session, op, timeout)
  local ok, err = pcall(check_usable, session, op)
  if not ok then
    permit:release()
    error(err, 0)
  end
  return permit
end

--- For a driver's own methods: the session that the running task means, locked by the permit that comes with it, and
--- what is left of `timeout`. Waits.
function database.enter(session, op, timeout)
  local me <const>, start <const> = running(), core.now()
  session = innermost(session, me)
  check_enter(session, op)
  return session, acquire(session, me, op, timeout), left(timeout, start)
end

local function check_sql(session, op, sql)
  check_self(session, "connection", op)
  if type(sql) ~= "string" then
    core.expected(session.driver.name .. ":" .. op, "sql", "a string", sql)
  end
end

-- {sql=, timeout=, params=}: the three, checked.
local function read_options(session, op, options)
  check_self(session, "connection", op)
  op = session.driver.name .. ":" .. op
  core.check_options(options, op, of_query)
  if type(options.sql) ~= "string" then core.expected(op, "sql", "a string", options.sql) end
  if options.timeout ~= nil then core.check_seconds(options.timeout, op, "timeout") end
  local params <const> = options.params
  if params ~= nil and type(params) ~= "table" then core.expected(op, "params", "a table", params) end
  local n <const> = params and (params.n or #params) or 0
  if math.type(n) ~= "integer" or n < 0 or n > MAX_PARAMS then
    core.expected(op, "params.n", ("an integer from 0 to %d"):format(MAX_PARAMS), n)
  end
  if params and params.n == nil and n == 0 and next(params) ~= nil then
    if not session.driver.has_names then
      core.misuse(op, "'params' must be a list: parameters have numbers here ($1, $2), not names")
    end
    return options.sql, options.timeout, { params }, 1
  end
  return options.sql, options.timeout, params or {}, n
end

local function query_with(session, want, options)
  local sql <const>, timeout <const>, params <const>, n <const> = read_options(session, want, options)
  local me <const>, start <const> = running(), core.now()
  session = innermost(session, me)
  check_enter(session, want)
  local permit <close> = acquire(session, me, want, timeout) -- luacheck: ignore 211
  return session.driver.query(session.raw, want, left(timeout, start), sql, unpack(params, 1, n))
end

for _, want in ipairs { "query", "row", "value" } do
  --- query(sql, ...) -> rows, row(sql, ...) -> the first one or nil, value(sql, ...) -> its first column or nil.
  Session[want] = function(self, sql, ...)
    if type(sql) == "table" then return query_with(self, want, sql) end
    check_sql(self, want, sql)
    return query(self, want, sql, ...)
  end
end

local function exec_locked(session, timeout, sql)
  check_usable(session, "exec")
  return session.driver.exec(session.raw, timeout, sql)
end

--- Run statements separated by `;`, without parameters. Waits.
---@async
---@param sql string
---@return integer? affected rows changed by all of them
function Session:exec(sql)
  check_sql(self, "exec", sql)
  local me <const> = running()
  local session <const> = innermost(self, me)
  check_enter(session, "exec")
  if in_loop(session, me, "exec") then return session.driver.exec(session.raw, nil, sql) end
  return with_lock(session, "exec", exec_locked, nil, sql)
end

-- --- loops over rows --------------------------------------------------------------------------------
-- {session, cursor, loop}: an entry of loop.open, until it is closed.
local Rows <const> = {}
local rows_meta <const> = { __index = Rows, __name = "weir.database.rows" }

local function leave(rows)
  local loop <const> = rows.loop
  loop.open[rows] = nil
  if next(loop.open) == nil then
    if rows.session.loop == loop then rows.session.loop = false end
    if loop.permit.held then loop.permit:release() end
  end
end

--- Give up what was not read. Waits, also in a cancelled task. Harmless a second time.
function Rows:close()
  core.check_self(self, rows_meta, "rows:close")
  local cursor <const> = self.cursor
  if not cursor then return end
  local session <const> = self.session
  if self.loop.owner ~= running() then
    core.misuse(session.driver.name .. ":rows", "only the task that reads the rows may close them")
  end
  self.cursor = nil
  local ok <const>, err <const> = pcall(core.shield, GRACE, session.driver.finish, cursor)
  if not ok then kill(session, "a query could not be ended: " .. tostring(err)) end
  leave(self)
end

rows_meta.__close = Rows.close

local function next_row(rows)
  local cursor <const> = rows.cursor
  if not cursor then return nil end
  local row <const> = rows.session.driver.next(cursor)
  if row == nil and rows.loop.owner == running() then rows:close() end -- else who began it will
  return row
end

-- Gives the lock back unless a cursor came of it.
local guard_meta <const> = {
  __close = function(guard)
    local rows <const> = guard.rows
    if rows.loop and not rows.cursor then leave(rows) end
  end,
}

-- What is allocated is there before the lock is, so that it is not lost where memory is.
local function rows_with(session, sql, timeout, ...)
  local me <const>, start <const> = running(), core.now()
  session = innermost(session, me)
  check_enter(session, "rows")
  local rows <const> = setmetatable({ session = session, loop = false, cursor = false }, rows_meta)
  local loop <const> = { owner = me, permit = false, open = { [rows] = true } }
  local guard <close> = setmetatable({ rows = rows }, guard_meta) -- luacheck: ignore 211
  loop.permit = acquire(session, me, "rows", timeout)
  rows.loop = loop.permit and loop or session.loop
  rows.loop.open[rows] = true
  session.loop = rows.loop
  rows.cursor = session.driver.rows(session.raw, left(timeout, start), sql, ...)
  return next_row, rows, nil, rows
end

--- for row in db:rows(sql, ...) do: rows as they are needed. Leaving the loop ends the query.
---@async
---@param sql weir.database.Sql
---@param ... any
---@return fun(): table?
function Session:rows(sql, ...)
  if type(sql) == "table" then
    local text <const>, timeout <const>, params <const>, n <const> = read_options(self, "rows", sql)
    return rows_with(self, text, timeout, unpack(params, 1, n))
  end
  check_sql(self, "rows", sql)
  return rows_with(self, sql, nil, ...)
end

-- Loops that the running task left open and did not close: at the end of its transaction.
local function close_loops(session)
  local loop <const> = session.loop
  if loop and loop.owner == running() then
    for rows in pairs(loop.open) do rows:close() end
  end
end

-- --- prepared statements ----------------------------------------------------------------------------
---@class weir.database.Statement
---@field query async fun(self: weir.database.Statement, ...): table
---@field row async fun(self: weir.database.Statement, ...): table?
---@field value async fun(self: weir.database.Statement, ...): any
local Statement <const> = {}

local function handle_of(statement, op)
  check_self(statement, "statement", op)
  local handle <const> = statement.handle
  if not handle then
    error(core.error("closed", statement.session.driver.name .. ":" .. op, "the statement is closed"), 0)
  end
  return handle
end

for _, want in ipairs { "query", "row", "value" } do
  --- As of the connection, without the text.
  Statement[want] = function(self, ...)
    local handle <const> = handle_of(self, want)
    return query(self.session, want, handle, ...)
  end
end

--- As of the connection, without the text.
---@async
---@param ... any
---@return fun(): table?
function Statement:rows(...)
  local handle <const> = handle_of(self, "rows")
  return rows_with(self.session, handle, nil, ...)
end

--- Give it back. Never waits. Harmless a second time.
function Statement:close()
  check_self(self, "statement", "close")
  local handle <const> = self.handle
  if not handle then return end
  self.handle = nil
  self.session.driver.release(self.session.raw, handle)
end

local statement_meta <const> = {
  __index = Statement, __close = Statement.close, __gc = Statement.close, __name = "weir.database.statement",
}
kinds.statement = statement_meta

--- Compile a statement once, for many uses. Closable. Waits.
---@async
---@param sql string
---@return weir.database.Statement
function Session:prepare(sql)
  check_sql(self, "prepare", sql)
  local me <const> = running()
  local session <const> = innermost(self, me)
  check_enter(session, "prepare")
  local permit <close> = acquire(session, me, "prepare") -- luacheck: ignore 211
  local statement <const> = setmetatable({ session = session }, statement_meta)
  statement.handle = session.driver.prepare(session.raw, nil, sql)
  return statement
end

-- --- transactions -----------------------------------------------------------------------------------
local new_session

-- Where there is no memory for it, the drain refuses who comes; a connection must not stay in a transaction for that.
local function close_lock(tx, why) pcall(tx.lock.close, tx.lock, why) end

local function end_transaction(tx)
  tx.ended = "the transaction has ended"
  if tx.parent.child == tx then tx.parent.child = false end
  if tx.driver.ended then tx.driver.ended(tx.raw, tx) end
  close_lock(tx, tx.ended)
end

local function rollback(tx)
  tx.lock:drain() -- others may still be in the middle of a statement
  tx.driver.rollback(tx.raw, tx)
end

-- A block with a transaction in it is left: roll back, unless it was committed.
local function close_transaction(tx)
  if tx.ended then return end
  close_lock(tx, "the transaction is rolled back")
  local ok <const>, err <const> = pcall(close_loops, tx)
  local done, why = ok, err
  if ok and tx.driver.is_open(tx.raw) then
    done, why = pcall(core.shield, GRACE, rollback, tx)
  end
  end_transaction(tx)
  if not done then kill(tx, "a transaction could not be rolled back: " .. tostring(why)) end
end

local function commit(tx)
  close_loops(tx)
  tx.ending = true
  tx.lock:drain()
  core.checkpoint() -- a cancel that has come rolls back; from here on the outcome will be known
  check_usable(tx, "transaction")
  core.shield(GRACE, tx.driver.commit, tx.raw, tx)
  end_transaction(tx)
end

local function run_transaction(session, options, fn, ...)
  local driver <const> = session.driver
  check_usable(session, "transaction")
  if session.depth == 0 and driver.in_transaction(session.raw) then
    core.misuse(driver.name .. ":transaction", "a transaction that was begun by a statement is still open")
  end
  local tx <close> = new_session(session)
  driver.begin(tx.raw, tx, options)
  tx.begun = true
  local results <const> = pack(fn(tx, ...))
  commit(tx)
  return unpack(results, 1, results.n)
end

local function transaction(self, options, fn, ...)
  local op <const> = self.driver.name .. ":transaction"
  core.check_options(options, op, self.driver.options)
  core.check_function(fn, op, "fn")
  self.driver.check(op, options)
  local me <const> = running()
  local session <const> = innermost(self, me)
  check_enter(session, "transaction")
  if session.depth > 0 and next(options) ~= nil then
    core.misuse(op, "a transaction inside another one (a savepoint) takes no options")
  end
  if in_loop(session, me, "transaction") then return run_transaction(session, options, fn, ...) end
  return with_lock(session, "transaction", run_transaction, options, fn, ...)
end

--- transaction([options,] fn, ...) -> what fn(db, ...) returns, after COMMIT. An error or a cancel rolls back and
--- passes on. Inside another one: a savepoint. Waits.
---@async
---@param options table
---@param ... any fn, and its arguments
---@return any ...
---@overload async fun(self: weir.database.Session, fn: (async fun(db: weir.database.Session, ...): ...), ...): ...
function Session:transaction(options, ...)
  check_self(self, "connection", "transaction")
  if type(options) ~= "table" then return transaction(self, {}, options, ...) end
  return transaction(self, options, ...)
end

-- --- ends -------------------------------------------------------------------------------------------
--- End what runs, fail who waits with `closed`, and close. Harmless a second time. Waits, also in a cancelled task.
---@async
function Session:close()
  check_self(self, "connection", "close")
  local root <const> = self.root
  if root ~= self then
    core.misuse(self.driver.name .. ":close", "a transaction ends with its function")
  end
  if root.ended then return end
  root.ended = "the connection is closed"
  pcall(root.lock.close, root.lock, root.ended) -- a forgotten pool closes what may have been collected with it
  if not pcall(core.shield, GRACE, root.driver.close, root.raw) then root.driver.kill(root.raw) end
end

-- The driver's methods, each behind a look at what it is called with.
local guarded <const> = setmetatable({}, { __mode = "k" })

local function guard(name, method)
  local with_check = guarded[method]
  if not with_check then
    with_check = function(self, ...)
      check_self(self, "connection", name)
      return method(self, ...)
    end
    guarded[method] = with_check
  end
  return with_check
end

local session_meta <const> = {
  __name = "weir.database.connection",
  __index = function(self, key)
    local method <const> = Session[key]
    if method then return method end
    if key == "closed" then
      return (self.root.ended or self.ended or not self.driver.is_open(self.raw)) and true or false
    end
    local property <const> = self.driver.properties[key]
    if property then return property(self.raw) end
    local special <const> = self.driver.methods[key]
    return special and guard(key, special)
  end,
  __close = function(self)
    if self.depth == 0 then self:close() else close_transaction(self) end
  end,
  __tostring = function(self)
    return ("weir.%s %s(%s%s)"):format(self.driver.name, self.depth > 0 and "transaction " or "", self.root.name or "",
      self.closed and ", closed" or "")
  end,
}

kinds.connection = session_meta

-- Fields that may be absent are set: __index is for methods.
function new_session(parent)
  local tx <const> = setmetatable({
    driver = parent.driver, raw = parent.raw, root = parent.root, parent = parent, depth = parent.depth + 1,
    owner = running(), child = false, loop = false, ended = false, ending = false, begun = false,
    name = parent.root.name,
    lock = core.semaphore { permits = 1, name = parent.driver.name .. " transaction" },
  }, session_meta)
  parent.child = tx
  return tx
end

--- Make the connection object of `raw`.
---@param driver table see the head of this file
---@param raw any
---@param name? string for messages
---@return weir.database.Session
function database.connection(driver, raw, name)
  local db = {
    driver = driver, raw = raw, depth = 0, child = false, loop = false, ended = false, ending = false,
    name = name or false,
    lock = core.semaphore { permits = 1, name = name and driver.name .. " " .. name or driver.name },
  }
  db.root = db
  return setmetatable(db, session_meta)
end

return database
