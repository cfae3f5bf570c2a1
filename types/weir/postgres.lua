-- types/weir/postgres.lua - the annotations of bindings/weir/postgres/init.lua, taken out by tools/types.lua; do not edit.
---@meta weir.postgres

---@class weir.postgres
---@field null any NULL, and JSON's null
---@field blob fun(bytes: string): table a binary string as a parameter
---@field version integer of libpq: 150018 is 15.18
local postgres = {}

---@class weir.database.Session
---@field pid? integer PostgreSQL: of the process that serves it
---@field server_version? integer PostgreSQL
---@field tls? string PostgreSQL: the protocol, "TLSv1.3"
---@field host? string PostgreSQL
---@field port? string PostgreSQL
---@field user? string PostgreSQL
---@field database? string PostgreSQL

---@class weir.postgres.Options
---@field url? string "postgres://user@host/database?...", or libpq's "host=... dbname=..."
---@field timeout? number seconds for all of it: names, every address, TLS, signing in
---@field on_notice? fun(notice: table) {severity=, sqlstate=, message=, detail=, hint=, context=}; must not wait
---@field numeric? "string"|"number" how numeric comes; "string" unless said
---@field cancel_timeout? number seconds that the server may take to end a cancelled command; 5 unless said
---@field name? string for messages
---@field [string] string|number|boolean|nil any other: a keyword of libpq

--- Open a connection. Waits.
---@async
---@param options string|weir.postgres.Options a URL, or options
---@return weir.database.Session
function postgres.connect(options) end

---@class weir.postgres.PoolOptions: weir.postgres.Options, weir.PoolOpts
---@field discard? boolean every connection that comes back forgets all (DISCARD ALL); else what is known to be left

--- A weir.pool of connections, with the calls of a connection besides.
---@param options weir.postgres.PoolOptions
---@return weir.database.Pool
function postgres.pool(options) end

return postgres
