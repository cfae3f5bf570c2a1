-- postgres.lua - queries through weir.postgres: a pool of 10, 50 tasks that ask, one row each.
--
-- Usage: postgres.lua URL [N]. CPU time of this process for one query, and elapsed time; `prepared` is
-- the same with a prepared statement of each connection.

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local postgres = require "weir.postgres"
local weir = require "weir"

local url, n = arg[1], tonumber(arg[2]) or 20000
local text = "select $1::int + 1 as n"

local function run(query)
  local left = n
  weir.scope(function(scope)
    for _ = 1, 50 do
      scope:spawn(function()
        while left > 0 do
          left = left - 1
          local i = left
          assert(query(i)[1].n == i + 1)
        end
      end)
    end
  end)
end

local function measure(name, query)
  run(query) -- warm
  local cpu, wall = os.clock(), weir.now()
  run(query)
  bench.row(name, "weir", "ns", (os.clock() - cpu) * 1e9 / n, n)
  bench.row(name .. "_elapsed", "weir", "ns", (weir.now() - wall) * 1e9 / n, n)
end

weir.run(function()
  local pool <close> = postgres.pool { url = url, max = 10 }
  measure("pg_query", function(i) return pool:query(text, i) end)
  local statements = setmetatable({}, { __mode = "k" }) -- of each connection
  measure("pg_prepared", function(i)
    return pool:with(function(db)
      local statement = statements[db]
      if not statement then
        statement = db:prepare(text)
        statements[db] = statement
      end
      return statement:query(i)
    end)
  end)
end)
