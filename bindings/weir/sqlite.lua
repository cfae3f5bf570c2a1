-- weir.sqlite - SQLite: queries on the thread pool, transactions, loops over rows.
--
-- The C half (weir.sqlite.sqlite3) never waits for a lock that another connection has: it answers BUSY, and the
-- task waits here, not a thread of the pool. Where it waits: each database file has a gate, a semaphore that the
-- connections of this program share. Who meets a lock queues there, first come, first served; only the one in
-- front tries again, with growing pauses, since the lock may be another program's. A transaction that begins as a
-- writer (mode "immediate" or "exclusive") holds the gate from before its BEGIN to its end, so that writers of one
-- program hand over to each other without a pause.
--
--     local db <close> = sqlite.open "orders.db"
--     for row in db:rows("SELECT * FROM item WHERE price > ?", 10) do print(row.name) end

local core <const> = require "weir.core"
local database <const> = require "weir.database"
local database_pool <const> = require "weir.database.pool"
local sqlite3 <const> = require "weir.sqlite.sqlite3"

local BUSY <const> = sqlite3.busy
local FIRST_PAUSE <const>, LAST_PAUSE <const> = 0.001, 0.05 -- seconds between two tries

-- --- gates ------------------------------------------------------------------------------------------
-- file -> semaphore, while a connection has it. A gate belongs to the runtime it was made in.
local gates <const> = setmetatable({}, { __mode = "v" })

local function is_ours(gate)
  return gate and pcall(gate.stats, gate)
end

local function gate_of(file)
  if file == "" then return nil end -- in memory or temporary: nobody else has it
  local gate = gates[file]
  if not is_ours(gate) then
    gate = core.semaphore { permits = 1, name = "writers of " .. file }
    gates[file] = gate
  end
  return gate
end

-- --- trying again -----------------------------------------------------------------------------------
-- Time to wait for a lock: until when, and whether it is the caller's own timeout that ends it.
local function patience(conn, timeout, start)
  if timeout and timeout < conn.busy_timeout then return start + timeout, true end
  return start + conn.busy_timeout, false
end

local function give_up(conn, op, is_timeout)
  if is_timeout then
    error(core.error("timeout", "sqlite:" .. op, "timed out while another connection had the lock",
      { name = conn.path }), 0)
  end
  sqlite3.raise(conn.handle)
end

local function enter_gate(conn, op, timeout, start)
  local deadline <const>, is_timeout <const> = patience(conn, timeout, start)
  local ok, permit = pcall(conn.gate.acquire, conn.gate, { timeout = math.max(0, deadline - core.now()) })
  if ok then return permit end
  if core.kind(permit) == "timeout" then give_up(conn, op, is_timeout) end
  error(permit, 0)
end

-- attempt(left) gave BUSY: try until it gives something else. Who has the writer's lock already, at its COMMIT, does
-- not queue: the one in front may be waiting for just that.
local function persist(conn, op, timeout, start, attempt)
  local must_queue <const> = conn.gate and not conn.has_gate and not sqlite3.is_writing(conn.handle)
  local permit <close> = must_queue and enter_gate(conn, op, timeout, start) or nil -- luacheck: ignore 211
  local deadline <const>, is_timeout <const> = patience(conn, timeout, start)
  local pause = FIRST_PAUSE
  while true do
    local result <const> = attempt(timeout and math.max(0, start + timeout - core.now()))
    if result ~= BUSY then return result end
    local left <const> = deadline - core.now()
    if left <= 0 then give_up(conn, op, is_timeout) end
    core.sleep(math.min(pause, left))
    pause = math.min(2 * pause, LAST_PAUSE)
  end
end

-- fn(handle, op, timeout, sql, ...): query, rows or prepare of the C half.
local function try(conn, op, timeout, fn, sql, ...)
  local start <const> = core.now()
  local result <const> = fn(conn.handle, op, timeout, sql, ...)
  if result ~= BUSY then return result end
  local params <const> = table.pack(...)
  return persist(conn, op, timeout, start, function(left)
    return fn(conn.handle, op, left, sql, table.unpack(params, 1, params.n))
  end)
end

local function exec(conn, op, timeout, sql)
  local start <const> = core.now()
  local result, affected, offset = sqlite3.exec(conn.handle, op, timeout, sql)
  if result ~= BUSY then return result end
  local total = affected
  return persist(conn, op, timeout, start, function(left)
    result, affected, offset = sqlite3.exec(conn.handle, op, left, sql, offset)
    if result ~= BUSY then affected = result end
    if affected then total = (total or 0) + affected end
    return result == BUSY and BUSY or total
  end)
end

-- --- the driver: see weir.database ------------------------------------------------------------------
local driver = { name = "sqlite", interleaves = true, has_names = true, options = { mode = true }, methods = {} }

local modes <const> = { deferred = "BEGIN", immediate = "BEGIN IMMEDIATE", exclusive = "BEGIN EXCLUSIVE" }

function driver.is_open(conn) return sqlite3.is_open(conn.handle) end

function driver.in_transaction(conn) return sqlite3.in_transaction(conn.handle) end

function driver.query(conn, want, timeout, sql, ...)
  return try(conn, want, timeout, sqlite3.query, sql, ...)
end

function driver.exec(conn, timeout, sql) return exec(conn, "exec", timeout, sql) end

function driver.rows(conn, timeout, sql, ...)
  return try(conn, "rows", timeout, sqlite3.rows, sql, ...)
end

function driver.next(cursor) return cursor:next() end

function driver.finish(cursor) cursor:finish() end

function driver.prepare(conn, timeout, sql) return try(conn, "prepare", timeout, sqlite3.prepare, sql) end

function driver.release(_, handle) handle:close() end

function driver.check(op, options)
  if options.mode ~= nil and not modes[options.mode] then
    core.expected(op, "mode", '"deferred", "immediate" or "exclusive"', options.mode)
  end
end

function driver.begin(conn, tx, options)
  if tx.depth > 1 then
    exec(conn, "transaction", nil, "SAVEPOINT weir_" .. tx.depth)
    return
  end
  local mode <const> = options.mode or "deferred"
  if mode ~= "deferred" and conn.gate then
    tx.gate = enter_gate(conn, "transaction", nil, core.now())
    conn.has_gate = true
  end
  exec(conn, "transaction", nil, modes[mode])
end

-- A COMMIT that was given up has nevertheless come through, where no transaction is open afterwards.
function driver.commit(conn, tx)
  if tx.depth > 1 then
    exec(conn, "transaction", nil, "RELEASE weir_" .. tx.depth)
    return
  end
  local ok <const>, err <const> = pcall(exec, conn, "transaction", nil, "COMMIT")
  if not ok and (core.kind(err) == "query" or sqlite3.in_transaction(conn.handle)) then error(err, 0) end
end

function driver.rollback(conn, tx)
  if not sqlite3.in_transaction(conn.handle) then return end -- an error has done it already
  if tx.depth == 1 then
    exec(conn, "transaction", nil, "ROLLBACK")
  else
    local name <const> = "weir_" .. tx.depth
    local sql <const> = ("ROLLBACK TO %s; RELEASE %s"):format(name, name)
    if tx.begun then
      exec(conn, "transaction", nil, sql)
    else
      pcall(exec, conn, "transaction", nil, sql) -- there may be none of this name
    end
  end
end

function driver.ended(conn, tx)
  local permit <const> = tx.gate
  if not permit then return end
  tx.gate = false
  conn.has_gate = false
  permit:release()
end

function driver.lost_transaction(op)
  error(core.error("query", op, "the transaction has ended already: an error in it rolled it back, or a statement "
    .. "of its own (SQLITE_ABORT_ROLLBACK)", { code = "SQLITE_ABORT_ROLLBACK" }), 0)
end

function driver.close(conn) sqlite3.close(conn.handle) end

function driver.kill(conn) sqlite3.kill(conn.handle) end

---@class weir.database.Session
---@field changes? integer SQLite: rows changed by the last statement that changed some
---@field in_transaction? boolean SQLite

driver.properties = {
  changes = function(conn) return sqlite3.changes(conn.handle) end,
  in_transaction = driver.in_transaction,
}

--- Copy the database as it is now into a new file, compacted, while others go on (VACUUM INTO). What is left of a
--- copy that failed is removed. Waits.
---@async
---@param path string of a file that is not there
function driver.methods.backup(db, path)
  local op <const> = "sqlite:backup"
  if type(path) ~= "string" then core.expected(op, "path", "a string", path) end
  if path == "" or path == ":memory:" or path:find("^file:") or path:find("\0", 1, true) then
    core.expected(op, "path", "the path of a file", path)
  end
  local session <const>, permit <close> = database.enter(db, "backup") -- luacheck: ignore 211
  try(session.raw, "backup", nil, sqlite3.backup, path)
end

-- --- open -------------------------------------------------------------------------------------------
---@class (exact) weir.sqlite.Options
---@field path string a file, ":memory:", "" for a temporary one, or a URI "file:..."
---@field readonly? boolean
---@field create? boolean false: the file must be there
---@field busy_timeout? number seconds to wait for a lock that another connection has; 5
---@field wal? boolean false leaves the journal mode as it is; true: WAL
---@field synchronous? "off"|"normal"|"full"|"extra" "normal" with WAL, else "full"
---@field foreign_keys? boolean false does not enforce them
---@field statements? integer compiled statements that are kept; 64
---@field timeout? number seconds that opening may take

local of_open <const> = {
  path = true, readonly = true, create = true, busy_timeout = true, wal = true, synchronous = true,
  foreign_keys = true, statements = true, timeout = true,
}
local synchronous <const> = { off = true, normal = true, full = true, extra = true }

local OPEN <const> = "sqlite.open"

local function read_options(op, options)
  if type(options) == "string" then options = { path = options } end
  if type(options) ~= "table" then core.expected(op, "options", "a table, or the path alone", options) end
  core.check_options(options, op, of_open)
  local function check_flag(name, unless)
    local value <const> = options[name]
    if value == nil then return unless end
    if type(value) ~= "boolean" then core.expected(op, name, "a boolean", value) end
    return value
  end
  local path <const> = options.path
  if type(path) ~= "string" then core.expected(op, "path", "a string", path) end
  if path:find("\0", 1, true) then core.misuse(op, "'path' must have no NUL in it") end
  local readonly <const> = check_flag("readonly", false)
  local o <const> = {
    path = path,
    readonly = readonly,
    create = check_flag("create", not readonly),
    wal = check_flag("wal", true),
    foreign_keys = check_flag("foreign_keys", true),
    busy_timeout = core.check_seconds(options.busy_timeout, op, "busy_timeout", 5),
    timeout = options.timeout,
    statements = options.statements == 0 and 0 or core.check_count(options.statements, op, "statements", 64),
    synchronous = options.synchronous,
  }
  if o.timeout ~= nil then core.check_seconds(o.timeout, op, "timeout") end
  if o.synchronous ~= nil and not synchronous[o.synchronous] then
    core.expected(op, "synchronous", '"off", "normal", "full" or "extra"', o.synchronous)
  end
  if readonly and options.create then core.misuse(op, "a database that is opened to be read is not created") end
  return o
end

local function set_up(conn, o, file, left)
  local is_wal = false
  if o.wal and not o.readonly and file ~= "" then
    local mode <const> = try(conn, "open", left(), sqlite3.query, "PRAGMA journal_mode = WAL")[1].journal_mode
    is_wal = mode == "wal"
    if not is_wal then
      error(core.error("query", "sqlite:open", ("'%s' cannot have a write-ahead log, its journal stays '%s'; open it "
        .. "with wal = false"):format(o.path, mode), { code = "SQLITE_ERROR" }), 0)
    end
  end
  exec(conn, "open", left(), ("PRAGMA foreign_keys = %s; PRAGMA synchronous = %s"):format(
    o.foreign_keys and "ON" or "OFF", o.synchronous or is_wal and "normal" or "full"))
end

-- What SQLite says of a file that it could open and not read, with the file's name.
local function name_file(err, path)
  if core.kind(err) ~= "query" or err.message:find(path, 1, true) then error(err, 0) end
  error(core.error("query", "sqlite:open", ("cannot open '%s': %s (%s)"):format(path, err.detail, err.code),
    { code = err.code, detail = err.detail }), 0)
end

local guard_meta <const> = {
  __close = function(guard)
    if guard.handle then sqlite3.kill(guard.handle) end
  end,
}

-- As `o`, checked options, says.
local function connect(o)
  local start <const> = core.now()
  local function left() return o.timeout and math.max(0, start + o.timeout - core.now()) end
  local guard <close> = setmetatable({}, guard_meta)
  local handle <const> = sqlite3.open(o.path, o.readonly, o.create, o.timeout, o.statements)
  guard.handle = handle
  local file <const> = sqlite3.file(handle)
  local conn <const> = {
    handle = handle, path = o.path, busy_timeout = o.busy_timeout, gate = gate_of(file), has_gate = false,
  }
  local ok <const>, err <const> = pcall(set_up, conn, o, file, left)
  if not ok then name_file(err, o.path) end
  guard.handle = nil
  return database.connection(driver, conn, o.path)
end

--- Open a database. Waits.
---@async
---@param options string|weir.sqlite.Options a path, or a table
---@return weir.database.Session
local function open(options)
  return connect(read_options(OPEN, options))
end

-- --- pools ------------------------------------------------------------------------------------------
local POOL <const> = "sqlite.pool"

-- More connections than threads only wait for each other, and there is no server to be spared or to go away.
local pool_defaults <const> = {
  max = math.max(1, math.tointeger(tonumber(os.getenv("UV_THREADPOOL_SIZE") or "")) or 4), dial_stagger = 0.001,
  max_lifetime = math.huge,
}

-- Would each connection have a database of its own?
local function is_private(path)
  if path == ":memory:" or path == "" then return true end
  local name <const>, query <const> = path:match("^file:([^?#]*)%??([^#]*)")
  return name and (name == "" or name == ":memory:" or query:find("mode=memory", 1, true))
    and not (name ~= "" and query:find("cache=shared", 1, true))
end

---@class (exact) weir.sqlite.PoolOptions: weir.sqlite.Options, weir.PoolOpts

--- A weir.pool of connections to one database, with the calls of a connection besides.
---@param options weir.sqlite.PoolOptions
---@return weir.database.Pool
local function pool(options)
  return database_pool.new(POOL, options, pool_defaults, function(rest)
    local o <const> = read_options(POOL, rest)
    if is_private(o.path) then
      core.misuse(POOL, "'path' must be one that connections can share, but each would have a database of its own; "
        .. '"file:name?mode=memory&cache=shared" is one in memory')
    end
    return function() return connect(o) end, "sqlite " .. o.path
  end)
end

---@class weir.sqlite
---@field open async fun(options: string|weir.sqlite.Options): weir.database.Session a path, or options
---@field connect async fun(options: string|weir.sqlite.Options): weir.database.Session the same
---@field pool fun(options: weir.sqlite.PoolOptions): weir.database.Pool
---@field blob fun(bytes: string): table a binary string as a parameter
---@field null any NULL in `params`
---@field version string of SQLite
---@field memory_used fun(): integer bytes that SQLite has, in all
return {
  open = open,
  connect = open,
  pool = pool,
  blob = database.blob,
  null = sqlite3.null,
  version = sqlite3.version,
  memory_used = sqlite3.memory_used,
}
