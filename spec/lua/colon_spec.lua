-- colon_spec.lua - every method of every type, called with a dot in place of the colon: misuse that says so.

local helper = require "support.helper"
local sqlite = require "weir.sqlite"
local weir = require "weir"

local function nothing() end

-- What a dot passes for the object: nothing, a first argument of whatever type, something like an object.
local passed <const> = {
  table.pack(), table.pack("text"), table.pack(1), table.pack(nothing), table.pack({}), table.pack(io.stdout, nothing),
}

-- Every call of `method` must raise misuse that names it.
local function check(type_name, name, method)
  for _, args in ipairs(passed) do
    local err = helper.error("misuse", method, table.unpack(args, 1, args.n))
    assert.matches("colon", err.message, 1, true)
    assert.truthy(tostring(err.op):find(name, 1, true), ("%s.%s is called %s"):format(type_name, name, err.op))
  end
end

-- The methods of a type of the library's C half: __index is they, or a function that has them as an upvalue.
local function methods_of(meta)
  local index <const> = rawget(meta, "__index")
  if type(index) == "table" then return index end
  for i = 1, math.huge do
    local name <const>, value <const> = debug.getupvalue(index, i)
    if not name then return {} end
    if type(value) == "table" then return value end
  end
end

local names <const> = { "task", "scope", "semaphore", "permit", "limit", "bucket", "reservation", "pool", "lease",
                        "cache", "batch" }

describe("a method with a dot", function()
  for _, name in ipairs(names) do
    it("is misuse: weir." .. name, helper.virtual(function()
      local n = 0
      for method, fn in pairs(methods_of(debug.getregistry()["weir." .. name])) do
        n = n + 1
        check(name, method, fn)
      end
      assert.truthy(n > 0)
    end))
  end

  it("is misuse: weir.keyed", helper.virtual(function()
    local keyed <const> = weir.keyed(function() return weir.semaphore(1) end)
    for _, name in ipairs { "with", "take", "peek", "forget", "pairs", "stats" } do
      check("weir.keyed", name, keyed[name])
    end
  end))

  it("is misuse: a database", function()
    weir.run(function()
      local pool <close> = sqlite.pool { path = "file:colon?mode=memory&cache=shared", max = 1 }
      local lease <close> = pool:acquire()
      local db <const> = lease.value
      local statement <close> = db:prepare "SELECT 1"
      for _, name in ipairs { "query", "row", "value", "exec", "rows", "prepare", "transaction", "close", "backup" } do
        check("connection", name, db[name])
      end
      for _, name in ipairs { "query", "row", "value", "rows", "close" } do
        check("statement", name, statement[name])
      end
      for _, name in ipairs { "release", "discard", "transfer" } do check("lease", name, lease[name]) end
      for _, name in ipairs { "acquire", "try_acquire", "with", "query", "row", "value", "exec", "transaction", "rows",
                              "close", "drain", "stats", "resize" } do
        check("pool", name, pool[name])
      end
    end)
  end)
end)

describe("a timeout that a connection is too busy for", function()
  it("names the connection's operation", function()
    weir.run(function()
      local db <close> = sqlite.open(":memory:")
      local busy <const> = weir.spawn(db.transaction, db, function() weir.await(nothing) end)
      weir.checkpoint()
      for _, name in ipairs { "query", "row", "value" } do
        local err = helper.error("timeout", db[name], db, { sql = "SELECT 1", timeout = 0.001 })
        assert.equal("sqlite:" .. name, err.op)
        assert.equal("semaphore:acquire", err.cause.op)
      end
      busy:cancel()
      pcall(busy.await, busy)
    end)
  end)
end)
