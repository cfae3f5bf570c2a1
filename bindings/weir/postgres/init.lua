-- weir.postgres - PostgreSQL on libpq: queries, transactions, streams, COPY, notifications, pipelines.
--
-- The C half (weir.postgres.libpq) waits for the socket and for nothing else; what it shares with weir.sqlite
-- (one operation at a time, transactions, loops over rows) is weir.database. A command whose task gives it up is
-- cancelled on the server, in the background: the next one on that connection waits until this is over.
--
--     local db <close> = postgres.connect "postgres://app@db.example/shop"
--     for row in db:rows("select * from item where price > $1", 10) do print(row.name) end

local core <const> = require "weir.core"
local database <const> = require "weir.database"
local database_pool <const> = require "weir.database.pool"
local libpq <const> = require "weir.postgres.libpq"
local values <const> = require "weir.postgres.values"
local methods <const> = require "weir.postgres.methods"

---@class weir.postgres
---@field null any NULL, and JSON's null
---@field blob fun(bytes: string): table a binary string as a parameter
---@field version integer of libpq: 150018 is 15.18
local postgres = {
  null = values.null,
  blob = database.blob,
  json = values.json,
  array = values.array,
  identifier = values.identifier,
  version = libpq.version, -- of libpq: 150018 is 15.18
}

-- --- the driver: see weir.database ------------------------------------------------------------------
local driver <const> = {
  name = "postgres",
  interleaves = false,
  options = { isolation = true, readonly = true, deferrable = true },
  methods = methods,
  is_open = libpq.is_open,
  raise_closed = function(raw, op) libpq.raise(raw, op) end,
  query = libpq.query,
  exec = libpq.exec,
  rows = libpq.rows,
  next = libpq.next,
  finish = libpq.finish,
  prepare = libpq.prepare,
  release = libpq.release,
  close = libpq.close,
  kill = libpq.close,
  properties = {},
}

---@class weir.database.Session
---@field pid? integer PostgreSQL: of the process that serves it
---@field server_version? integer PostgreSQL
---@field tls? string PostgreSQL: the protocol, "TLSv1.3"
---@field host? string PostgreSQL
---@field port? string PostgreSQL
---@field user? string PostgreSQL
---@field database? string PostgreSQL

for _, name in ipairs { "pid", "server_version", "tls", "host", "port", "user", "database" } do
  driver.properties[name] = function(raw) return libpq.info(raw, name) end
end

local isolations <const> = {
  ["read committed"] = "READ COMMITTED", ["repeatable read"] = "REPEATABLE READ", serializable = "SERIALIZABLE",
}

function driver.check(op, options)
  if options.isolation ~= nil and not isolations[options.isolation] then
    core.expected(op, "isolation", '"read committed", "repeatable read" or "serializable"', options.isolation)
  end
  for _, name in ipairs { "readonly", "deferrable" } do
    if options[name] ~= nil and type(options[name]) ~= "boolean" then
      core.expected(op, name, "a boolean", options[name])
    end
  end
end

local function begin_text(options)
  local text = "BEGIN"
  if options.isolation then text = text .. " ISOLATION LEVEL " .. isolations[options.isolation] end
  if options.readonly ~= nil then text = text .. (options.readonly and " READ ONLY" or " READ WRITE") end
  if options.deferrable ~= nil then text = text .. (options.deferrable and " DEFERRABLE" or " NOT DEFERRABLE") end
  return text
end

function driver.begin(raw, tx, options)
  libpq.transact(raw, nil, tx.depth > 1 and "SAVEPOINT weir_" .. tx.depth or begin_text(options))
end

-- COMMIT of a transaction in which a statement failed is a rollback, and the server does not call it an error.
function driver.commit(raw, tx)
  if tx.depth > 1 then
    libpq.transact(raw, nil, "RELEASE SAVEPOINT weir_" .. tx.depth)
  elseif libpq.transact(raw, nil, "COMMIT") == "ROLLBACK" then
    error(core.error("query", "postgres:transaction",
      "rolled back instead of committed, since a statement in it had failed (25P02)", { sqlstate = "25P02" }), 0)
  end
end

function driver.rollback(raw, tx)
  if tx.depth == 1 then
    libpq.transact(raw, nil, "ROLLBACK") -- only a warning if there is none
  elseif tx.begun then
    local name <const> = "weir_" .. tx.depth
    libpq.transact(raw, nil, ("ROLLBACK TO SAVEPOINT %s; RELEASE SAVEPOINT %s"):format(name, name))
  end
end

function driver.in_transaction(raw)
  return libpq.status(raw) ~= "idle"
end

function driver.lost_transaction(op)
  error(core.error("closed", op, "the transaction was ended by a statement in it"), 0)
end

-- --- what a borrower leaves behind --------------------------------------------------------------------
local discards <const> = setmetatable({}, { __mode = "k" }) -- connections that are to forget everything

function driver.is_clean(raw)
  local listens <const>, has_set <const>, is_busy <const> = libpq.marks(raw)
  return not (listens or has_set or is_busy or discards[raw])
end

-- As DISCARD ALL, but what is known not to be there; an empty statement at least, to hear from the server.
function driver.reset(raw)
  local listens <const>, has_set <const> = libpq.marks(raw)
  if discards[raw] then
    libpq.exec(raw, nil, "DISCARD ALL")
  else
    libpq.exec(raw, nil, (has_set and "SET SESSION AUTHORIZATION DEFAULT; RESET ALL;" or "")
      .. (listens and "UNLISTEN *" or ""))
  end
  libpq.unmark(raw)
end

-- --- connecting -------------------------------------------------------------------------------------
---@class weir.postgres.Options
---@field url? string "postgres://user@host/database?...", or libpq's "host=... dbname=..."
---@field timeout? number seconds for all of it: names, every address, TLS, signing in
---@field on_notice? fun(notice: table) {severity=, sqlstate=, message=, detail=, hint=, context=}; must not wait
---@field numeric? "string"|"number" how numeric comes; "string" unless said
---@field cancel_timeout? number seconds that the server may take to end a cancelled command; 5 unless said
---@field name? string for messages
---@field [string] string|number|boolean|nil any other: a keyword of libpq

local OP <const> = "postgres.connect"
local ours <const> = {
  url = "string", timeout = "number", on_notice = "function", numeric = "string", cancel_timeout = "number",
  name = "string",
}
-- libpq's defaults that are not ours. A silent peer is given up after half a minute; weir's text is UTF-8.
local defaults <const> = { client_encoding = "UTF8", fallback_application_name = "weir", tcp_user_timeout = "30000" }

local keywords -- libpq's, found when first needed

local function check_options(op, options)
  keywords = keywords or libpq.keywords()
  for key, value in pairs(options) do
    local kind <const> = type(value)
    if type(key) ~= "string" then
      core.misuse(op, "options must have names, got one that is a %s", type(key))
    elseif ours[key] then
      if kind ~= ours[key] then core.expected(op, key, "a " .. ours[key], value) end
    elseif not keywords[key] then
      core.misuse(op, "unknown option '%s'", key)
    elseif kind ~= "string" and kind ~= "boolean" and math.type(value) ~= "integer" then
      core.expected(op, key, "a string, an integer or a boolean", value)
    end
    if kind == "string" and value:find("\0", 1, true) then
      core.misuse(op, "'%s' must be a string without NUL bytes", key)
    end
  end
  if options.numeric ~= nil and options.numeric ~= "string" and options.numeric ~= "number" then
    core.expected(op, "numeric", '"string" or "number"', options.numeric)
  end
  for _, name in ipairs { "timeout", "cancel_timeout" } do
    if options[name] ~= nil then core.check_seconds(options[name], op, name) end
  end
  if options.url and options.dbname then core.misuse(op, "'dbname' and 'url' exclude each other") end
end

-- libpq's keywords in an order in which later ones win: our defaults, the URL, the other options.
local function to_keywords(options)
  local keys <const>, texts <const> = {}, {}
  local function add(key, value)
    keys[#keys + 1] = key
    texts[#texts + 1] = value == true and "1" or value == false and "0" or tostring(value)
  end
  for key, value in pairs(defaults) do add(key, value) end
  if options.url then add("dbname", options.url) end
  for key, value in pairs(options) do
    if not ours[key] then add(key, value) end
  end
  return keys, texts
end

-- A function that connects, and the checked options.
local function dialler(op, options)
  if type(options) == "string" then
    options = { url = options }
  elseif type(options) ~= "table" then
    core.expected(op, "options", "a URL or a table", options)
  end
  check_options(op, options)
  local keys <const>, texts <const> = to_keywords(options)
  local request <const> = {
    keys = keys, values = texts, timeout = options.timeout, grace = math.min(options.cancel_timeout or 5, 1e9),
    on_notice = options.on_notice, numeric_as_number = options.numeric == "number",
  }
  local name <const> = options.name
  return function()
    local raw <const> = libpq.connect(request)
    return database.connection(driver, raw, name), raw
  end
end

--- Open a connection. Waits.
---@async
---@param options string|weir.postgres.Options a URL, or options
---@return weir.database.Session
function postgres.connect(options)
  return (dialler(OP, options)())
end

---@class weir.postgres.PoolOptions: weir.postgres.Options, weir.PoolOpts
---@field discard? boolean every connection that comes back forgets all (DISCARD ALL); else what is known to be left

--- A weir.pool of connections, with the calls of a connection besides.
---@param options weir.postgres.PoolOptions
---@return weir.database.Pool
function postgres.pool(options)
  local op <const> = "postgres.pool"
  return database_pool.new(op, options, {}, function(rest)
    local discard <const> = rest.discard
    if discard ~= nil and type(discard) ~= "boolean" then core.expected(op, "discard", "a boolean", discard) end
    rest.discard = nil
    local dial <const> = dialler(op, rest)
    return function()
      local db <const>, raw <const> = dial()
      if discard then discards[raw] = true end
      return db
    end, "postgres"
  end)
end

return postgres
