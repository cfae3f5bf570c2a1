-- dbpool.database - the two databases behind one face: a table of accounts, short queries, long ones.
--
-- open(given) makes the table (weir_dbpool) and measures how long a report must count to take
-- --report-ms; closing what it returns removes the table, or the file that it made. Connections
-- come from pools that the scenarios make with base:pool().

local weir = require "weir"

local database = {}
database.__index = database

local ACCOUNTS <const> = 10000
local FIRST <const> = 100000 -- what the first measured report counts to

local kinds = {}

kinds.sqlite = {
  name = "SQLite",
  short = "select balance from weir_dbpool where id = ?1",
  long = [[with recursive n(i) as (select 1 union all select i + 1 from n where i < ?1)
    select count(*) from n where i % 7 <> 3]],
  fill = [[create table weir_dbpool (id integer primary key, balance integer not null);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < %d)
    insert into weir_dbpool select i, i * 7919 %% 1000 from n]],
}

kinds.postgres = {
  name = "PostgreSQL",
  short = "select balance from weir_dbpool where id = $1",
  long = "select count(*) from generate_series(1, $1::bigint) as n(i) where i % 7 <> 3",
  fill = [[create table weir_dbpool (id integer primary key, balance integer not null);
    insert into weir_dbpool select i, i * 7919 %% 1000 from generate_series(1, %d) as n(i)]],
}

-- What the pools and the connection are opened with.
local function target_of(given)
  if given.postgres then
    return "postgres", require "weir.postgres", { url = given.postgres }, nil
  end
  local made = not given.path and os.tmpname() or nil
  return "sqlite", require "weir.sqlite", { path = given.path or made }, made
end

-- How far a report counts to take `ms`: the shortest of three measurements decides.
local function measure(self, db, ms)
  local best = math.huge
  for _ = 1, 3 do
    local began <const> = weir.now()
    db:value(self.kind.long, FIRST)
    best = math.min(best, weir.now() - began)
    weir.checkpoint()
  end
  return math.max(1, math.floor(FIRST * ms / 1000 / best))
end

local function drop(self)
  if self.made then
    for _, suffix in ipairs { "", "-wal", "-shm" } do
      os.remove(self.made .. suffix)
    end
    return
  end
  local db <close> = self.module.connect(self.target)
  db:exec "drop table if exists weir_dbpool"
end

---@async
---@param given table as dbpool.options makes it
function database.open(given)
  local kind, module, target, made = target_of(given)
  local self = setmetatable({ kind = kinds[kind], module = module, target = target, made = made }, database)
  local fine, problem = pcall(function()
    local db <close> = module.connect(target)
    db:exec(("drop table if exists weir_dbpool; " .. self.kind.fill):format(ACCOUNTS))
    self.count = measure(self, db, given.report_ms)
    local began <const> = weir.now()
    for i = 1, 50 do
      db:value(self.kind.short, i)
    end
    self.short_seconds = (weir.now() - began) / 50
  end)
  if not fine then
    pcall(drop, self)
    error(problem, 0)
  end
  return self
end

--- A pool of `max` connections.
function database:pool(name, max)
  local options = { name = name, max = max }
  for key, value in pairs(self.target) do
    options[key] = value
  end
  return self.module.pool(options)
end

--- What an API request asks. `n` says which account.
---@async
function database:short(db, n)
  return db:value(self.kind.short, n % ACCOUNTS + 1)
end

--- What a report asks.
---@async
function database:long(db)
  return db:value(self.kind.long, self.count)
end

function database:__close()
  weir.shield(5, pcall, drop, self)
end

return database
