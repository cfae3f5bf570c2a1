-- types/weir/sqlite.lua - the annotations of bindings/weir/sqlite.lua, taken out by tools/types.lua; do not edit.
---@meta weir.sqlite

---@class weir.database.Session
---@field changes? integer SQLite: rows changed by the last statement that changed some
---@field in_transaction? boolean SQLite

---@class weir.database.Session
local Session = {}

--- Copy the database as it is now into a new file, compacted, while others go on (VACUUM INTO). What is left of a
--- copy that failed is removed. Waits.
---@async
---@param path string of a file that is not there
function Session.backup(db, path) end

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

---@class (exact) weir.sqlite.PoolOptions: weir.sqlite.Options, weir.PoolOpts

---@class weir.sqlite
---@field open async fun(options: string|weir.sqlite.Options): weir.database.Session a path, or options
---@field connect async fun(options: string|weir.sqlite.Options): weir.database.Session the same
---@field pool fun(options: weir.sqlite.PoolOptions): weir.database.Pool
---@field blob fun(bytes: string): table a binary string as a parameter
---@field null any NULL in `params`
---@field version string of SQLite
---@field memory_used fun(): integer bytes that SQLite has, in all
local sqlite = {}

return sqlite
