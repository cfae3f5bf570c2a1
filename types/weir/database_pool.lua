-- types/weir/database_pool.lua - the annotations of bindings/weir/database/pool.lua, taken out by tools/types.lua; do not edit.
---@meta _

---@class weir.database.Lease
---@field value weir.database.Session while it is held
---@field held boolean
local Lease = {}

--- Give it back; what it left undone is undone. Waits.
---@async
function Lease:release() end

--- It is broken: close it.
function Lease:discard() end

--- From now on that task holds it.
---@param task weir.Task
function Lease:transfer(task) end

--- The calls of a connection use one that is borrowed for the call.
---@class weir.database.Pool: weir.Pool
---@field query async fun(self: weir.database.Pool, sql: weir.database.Sql, ...): table
---@field row async fun(self: weir.database.Pool, sql: weir.database.Sql, ...): table?
---@field value async fun(self: weir.database.Pool, sql: weir.database.Sql, ...): any
---@field exec async fun(self: weir.database.Pool, sql: string): integer?
---@field transaction async fun(self: weir.database.Pool, ...): ... options, if any, fn, its arguments
local Pool = {}

--- As pool:acquire, of weir.pool.
---@async
---@param options? { timeout?: number }
---@return weir.database.Lease
function Pool:acquire(options) end

--- As pool:try_acquire, of weir.pool.
---@return weir.database.Lease|false
---@return string? reason
function Pool:try_acquire() end

--- with(fn, ...) -> what fn(db, ...) returns, called with a connection on loan. Waits.
---@async
---@param fn async fun(db: weir.database.Session, ...): ...
---@param ... any
---@return any ...
function Pool:with(fn, ...) end

--- for row in pool:rows(sql, ...) do: the connection is on loan until the loop is left. Waits.
---@async
---@param ... any
---@return fun(): table?
function Pool:rows(...) end
