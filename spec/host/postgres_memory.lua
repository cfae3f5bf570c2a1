-- host/postgres_memory.lua - weir.postgres with every allocation of Lua's refused in turn, run by failing_lua.
--
-- Each program runs on a real server, once per allocation that it makes: with that one refused, with the retry that
-- follows it too, and with all after it. It may fail in any way but one: afterwards its connection works, or is
-- closed and says so, and no socket is left. (libpq's own memory is not Lua's.)

-- luacheck: globals fail count
package.path = os.getenv("WEIR_SOURCE") .. "/spec/?.lua;" .. package.path

local server_of = require "support.postgres"
local weir = require "weir"
local found, postgres = pcall(require, "weir.postgres")
if not found or not server_of.found then
  print("needs libpq's module and PostgreSQL")
  os.exit(77)
end

local server <close> = server_of.start()
local options <const> = { host = server.dir, port = server.port, user = "weir", dbname = "postgres" }

local programs <const> = {
  connect = function()
    local other <close> = postgres.connect(options)
    other:query("select 1")
  end,
  query = function(db) db:query("select $1::int as a, '{1,NULL,\"x y\"}'::text[] as b", 7) end,
  value = function(db) db:value("select $1::text", postgres.array { 1, 2, { 3 } }) end,
  row = function(db) db:row("select '\\x0001'::bytea as y, 1.5::float8 as f") end, -- no json: cjson leaks then
  failure = function(db) pcall(db.query, db, "select 1 / $1::int", 0) end,
  rows = function(db)
    for row in db:rows("select g, 'text' as t from generate_series(1, 3) g") do
      if row.g == 2 then break end
    end
  end,
  prepared = function(db)
    local statement <close> = db:prepare("select $1::int")
    statement:value(1)
    statement:value(2)
  end,
  transaction = function(db)
    db:transaction(function(tx)
      tx:query("select 1")
      pcall(tx.transaction, tx, error, "undo")
    end)
  end,
  copy = function(db)
    db:exec("create temp table if not exists t (a int, b text)")
    db:copy_in("copy t from stdin", { { 1, "one" }, { 2, "two" } })
    for _ in db:copy_out("copy t to stdout") do break end -- luacheck: ignore 512
    db:exec("truncate t")
  end,
  pipeline = function(db)
    db:pipeline(function(p)
      for i = 1, 3 do p:query("select $1::int", i) end
      p:query("selec")
    end)
  end,
  notification = function(db)
    db:listen("news")
    db:notify("news", "x")
    db:notification(5)
    db:unlisten()
  end,
  notice = function(db) db:exec("drop table if exists no_such_table") end,
  timeout = function(db) pcall(db.query, db, { sql = "select pg_sleep(10)", timeout = 0.001 }) end,
}

local function sockets()
  local pipe <close> = assert(io.popen("ls -l /proc/$PPID/fd | grep -c socket:"))
  return tonumber(pipe:read("a"))
end

local function open()
  local all = { on_notice = function() end }
  for key, value in pairs(options) do all[key] = value end
  return weir.run(postgres.connect, all)
end

local function works(db)
  return db:value("select 1") == 1 and db:value("select count(*)::int from pg_prepared_statements where name <> ''")
end

local db = open()
local n_lost, n_refused = 0, 0

-- Run it, then see that what it leaves can be used, or says that it cannot.
local function try(program, what, nth, n)
  collectgarbage()
  collectgarbage("stop")
  fail(nth, n)
  pcall(weir.run, program, db)
  count()
  collectgarbage("restart")
  local ok, result = pcall(weir.run, works, db)
  if not ok then
    local kind <const> = weir.kind(result)
    assert(kind == "network" or kind == "lost" or kind == "closed", what .. tostring(result))
    assert(db.closed, what .. "not closed")
    n_lost = n_lost + 1
    db = open()
  end
end

local names = {}
for name in pairs(programs) do names[#names + 1] = name end
table.sort(names)

for _, name in ipairs(names) do
  local program <const> = programs[name]
  for _ = 1, 3 do weir.run(program, db) end -- what is made once is made
  collectgarbage()
  collectgarbage()
  local before <const> = sockets()
  collectgarbage("stop")
  fail(0, 0)
  weir.run(program, db)
  local total <const> = count()
  collectgarbage("restart")
  local step <const> = name == "timeout" and 3 or 1 -- each takes its time
  for _, n in ipairs { 1, 2, math.maxinteger } do
    for nth = 1, total, step do
      local what <const> = ("%s, %d from allocation %d of %d on refused: "):format(name, n, nth, total)
      try(program, what, nth, n)
      n_refused = n_refused + 1
    end
  end
  collectgarbage()
  collectgarbage()
  assert(sockets() <= before, name .. ": a socket is left")
  print(("%-12s %4d allocations"):format(name, total))
end
print(("%d connections were given up"):format(n_lost))
print(("figures: refused_allocations=%d"):format(n_refused))
