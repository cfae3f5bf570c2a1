-- types/weir/database.lua - the annotations of bindings/weir/database.lua, taken out by tools/types.lua; do not edit.
---@meta _

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
local Session = {}

--- Run statements separated by `;`, without parameters. Waits.
---@async
---@param sql string
---@return integer? affected rows changed by all of them
function Session:exec(sql) end

--- for row in db:rows(sql, ...) do: rows as they are needed. Leaving the loop ends the query.
---@async
---@param sql weir.database.Sql
---@param ... any
---@return fun(): table?
function Session:rows(sql, ...) end

---@class weir.database.Statement
---@field query async fun(self: weir.database.Statement, ...): table
---@field row async fun(self: weir.database.Statement, ...): table?
---@field value async fun(self: weir.database.Statement, ...): any
local Statement = {}

--- As of the connection, without the text.
---@async
---@param ... any
---@return fun(): table?
function Statement:rows(...) end

--- Give it back. Never waits. Harmless a second time.
function Statement:close() end

--- Compile a statement once, for many uses. Closable. Waits.
---@async
---@param sql string
---@return weir.database.Statement
function Session:prepare(sql) end

--- transaction([options,] fn, ...) -> what fn(db, ...) returns, after COMMIT. An error or a cancel rolls back and
--- passes on. Inside another one: a savepoint. Waits.
---@async
---@param options table
---@param ... any fn, and its arguments
---@return any ...
---@overload async fun(self: weir.database.Session, fn: (async fun(db: weir.database.Session, ...): ...), ...): ...
function Session:transaction(options, ...) end

--- End what runs, fail who waits with `closed`, and close. Harmless a second time. Waits, also in a cancelled task.
---@async
function Session:close() end
