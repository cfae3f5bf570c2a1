-- weir.database.pool - a weir.pool of connections: what M.pool of weir.sqlite and weir.postgres makes.
--
-- All of weir.pool, and the calls of a connection besides, each of which borrows one for as long as it takes. A
-- connection goes back as it came: one with a transaction that a statement began, a loop that was not left, what the
-- driver calls unclean, or an error that is not a statement's, goes back as suspect and is reset by the pool's check
-- (in a task of the pool's, within check_timeout) before anybody else gets it, or is destroyed. One that is closed, or
-- was lost while nobody had it, is destroyed.
--
-- Of a driver (see weir.database), both optional:
--   is_clean(raw)      false: there is something of the last borrower left for `reset`
--   reset(raw)         waits; see to it, and to whether the server is still there; raises if not

local core <const> = require "weir.core"

local pack <const>, unpack <const> = table.pack, table.unpack

local database_pool <const> = {}

-- What belongs to weir.pool; all else is the connection's.
local of_pool <const> = {
  max = true, min = true, name = true, order = true, acquire_timeout = true, create_timeout = true,
  check_timeout = true, destroy_timeout = true, idle_timeout = true, max_lifetime = true, jitter = true,
  max_uses = true, check_idle = true, keep_alive = true, dial_stagger = true, max_dials = true, open_after = true,
  backoff = true, max_backoff = true, max_waiting = true, shed = true, leak_after = true, on_leak = true,
}

-- --- connections that come back ---------------------------------------------------------------------
local function is_clean(db)
  local driver <const>, raw <const> = db.driver, db.raw
  return not (db.loop or driver.in_transaction(raw)) and (not driver.is_clean or driver.is_clean(raw))
end

local function reset(db)
  local driver <const>, raw <const> = db.driver, db.raw
  if driver.in_transaction(raw) then driver.rollback(raw, { depth = 1, begun = true }) end
  if driver.reset then driver.reset(raw) end
end

-- The pool's check: of what was long idle, and of what is suspect.
local function check(db)
  if db.closed or db.loop then return false end
  db.lock:with(reset, db) -- nobody has it, unless somebody kept what was lent
  return not db.closed
end

local function fail() error("to be checked", 0) end

-- Give it back as suspect: what an error does that leaves the block of a lease.
local function suspect(lease)
  pcall(function()
    local block <close> = lease -- luacheck: ignore 211
    fail()
  end)
end

-- End the loan of `db`: good, suspect or broken.
local function give_back(lease, db)
  if db.closed then
    lease:discard()
  elseif is_clean(db) then
    lease:release()
  else
    suspect(lease)
  end
end

-- End a loan whose block was left, maybe by an error: after one of a statement it is as good as before.
local function return_after(lease, err)
  if err == nil or core.kind(err) == "query" then give_back(lease, lease.value) else suspect(lease) end
end

-- Metatables, by which a method knows what it is called with.
local pool_meta, lease_meta

-- Raise unless `self` is a pool (or lease) of connections: pool.query("...") passes the text for it.
local function check_self(self, meta, name)
  if getmetatable(self) == meta then return end
  local kind <const> = meta == pool_meta and "pool" or "lease"
  core.misuse(name, ("is a method of a %s: %s:%s(...), with a colon"):format(kind, kind, name))
end

-- A connection on loan. One that was lost while it was idle is nobody's failure: the next one, or a new one.
local function borrow(pool, options)
  local lease = pool:acquire(options)
  while lease.value.closed do
    lease:discard()
    lease = pool:acquire(options)
  end
  return lease
end

-- --- leases -----------------------------------------------------------------------------------------
---@class weir.database.Lease
---@field value weir.database.Session while it is held
---@field held boolean
local Lease <const> = {}

--- Give it back; what it left undone is undone. Waits.
---@async
function Lease:release()
  check_self(self, lease_meta, "release")
  local lease <const> = self.lease
  if lease.held then give_back(lease, lease.value) else lease:release() end -- the latter says what is wrong
end

--- It is broken: close it.
function Lease:discard()
  check_self(self, lease_meta, "discard")
  self.lease:discard()
end

--- From now on that task holds it.
---@param task weir.Task
function Lease:transfer(task)
  check_self(self, lease_meta, "transfer")
  self.lease:transfer(task)
end

lease_meta = {
  __name = "weir.database.lease",
  __index = function(self, key) return Lease[key] or self.lease[key] end,
  __close = function(self, err)
    if self.lease.held then return_after(self.lease, err) end
  end,
  __tostring = function(self) return tostring(self.lease) end,
}

-- --- pools ------------------------------------------------------------------------------------------
--- The calls of a connection use one that is borrowed for the call.
---@class weir.database.Pool: weir.Pool
---@field query async fun(self: weir.database.Pool, sql: weir.database.Sql, ...): table
---@field row async fun(self: weir.database.Pool, sql: weir.database.Sql, ...): table?
---@field value async fun(self: weir.database.Pool, sql: weir.database.Sql, ...): any
---@field exec async fun(self: weir.database.Pool, sql: string): integer?
---@field transaction async fun(self: weir.database.Pool, ...): ... options, if any, fn, its arguments
local Pool <const> = {}

--- As pool:acquire, of weir.pool.
---@async
---@param options? { timeout?: number }
---@return weir.database.Lease
function Pool:acquire(options)
  check_self(self, pool_meta, "acquire")
  return setmetatable({ lease = borrow(self.pool, options) }, lease_meta)
end

--- As pool:try_acquire, of weir.pool.
---@return weir.database.Lease|false
---@return string? reason
function Pool:try_acquire()
  check_self(self, pool_meta, "try_acquire")
  local lease, why = self.pool:try_acquire()
  while lease and lease.value.closed do
    lease:discard()
    lease, why = self.pool:try_acquire()
  end
  if not lease then return false, why end
  return setmetatable({ lease = lease }, lease_meta)
end

local function call(self, fn, ...)
  local lease <const> = borrow(self.pool)
  local guard <close> = setmetatable({ lease = lease }, lease_meta) -- luacheck: ignore 211
  local db <const> = lease.value
  local results <const> = pack(fn(db, ...))
  give_back(lease, db)
  return unpack(results, 1, results.n)
end

--- with(fn, ...) -> what fn(db, ...) returns, called with a connection on loan. Waits.
---@async
---@param fn async fun(db: weir.database.Session, ...): ...
---@param ... any
---@return any ...
function Pool:with(fn, ...)
  check_self(self, pool_meta, "with")
  core.check_function(fn, "pool:with", "fn")
  return call(self, fn, ...)
end

for _, name in ipairs { "query", "row", "value", "exec", "transaction" } do
  local function method(db, ...) return db[name](db, ...) end
  --- As of a connection, on one that is borrowed for the call.
  Pool[name] = function(self, ...)
    check_self(self, pool_meta, name)
    return call(self, method, ...)
  end
end

-- A loop over rows, and the lease that it has until it is left.
local Loan <const> = {}

local function close_loan(loan, err)
  local lease <const> = loan.lease
  if not lease then return end
  loan.rows:close()
  loan.lease = nil
  return_after(lease, err)
end

-- Give up what was not read, and the connection. Waits. Harmless a second time.
function Loan:close() close_loan(self) end

local loan_meta <const> = { __index = Loan, __close = close_loan, __name = "weir.database.rows" }

local function next_row(loan)
  if not loan.lease then return nil end
  local row <const> = loan.step(loan.rows)
  if row == nil then close_loan(loan) end
  return row
end

--- for row in pool:rows(sql, ...) do: the connection is on loan until the loop is left. Waits.
---@async
---@param ... any
---@return fun(): table?
function Pool:rows(...)
  check_self(self, pool_meta, "rows")
  local lease <const> = borrow(self.pool)
  local loan <const> = setmetatable({ lease = lease }, loan_meta)
  local guard <close> = setmetatable({}, { -- luacheck: ignore 211
    __close = function(_, err)
      if not loan.rows then return_after(lease, err) end
    end,
  })
  loan.step, loan.rows = lease.value:rows(...)
  return next_row, loan, nil, loan
end

pool_meta = {
  __name = "weir.database.pool",
  __index = function(self, key)
    local method <const> = Pool[key]
    if method then return method end
    local inner <const> = rawget(self, "pool")
    local value <const> = inner[key]
    if type(value) ~= "function" then return value end
    return function(holder, ...)
      check_self(holder, pool_meta, key)
      return value(inner, ...)
    end
  end,
  __close = function(self)
    local pool <close> = self.pool -- luacheck: ignore 211
  end,
  __tostring = function(self) return tostring(self.pool) end,
}

--- Make a pool. `options` is the user's table: what is not weir.pool's goes to `read`.
---@param op string for messages
---@param options table
---@param defaults table of the pool
---@param read fun(options: table): (async fun(): weir.database.Session), string? checks the connection's options;
---  -> what connects, and a name for the pool
---@return weir.database.Pool
function database_pool.new(op, options, defaults, read)
  if type(options) ~= "table" then core.expected(op, "options", "a table", options) end
  local own <const>, rest <const> = { check = check, destroy = function(db) db:close() end }, {}
  for key, value in pairs(defaults) do own[key] = value end
  for key, value in pairs(options) do
    if of_pool[key] then own[key] = value else rest[key] = value end
  end
  if options.max == nil and math.type(options.min) == "integer" and defaults.max then
    own.max = math.max(defaults.max, options.min)
  end
  local name
  own.create, name = read(rest)
  own.name = own.name or name
  return setmetatable({ pool = core.pool(own) }, pool_meta)
end

return database_pool
