-- colon_spec.lua - every method of every type, called with a dot in place of the colon: misuse that says so.

local helper = require "support.helper"
local http = require "weir.http"
local postgres = require "weir.postgres"
local postgres_server = require "support.postgres"
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
      local _, rows <const> = db:rows "SELECT 1"
      check("rows", "close", rows.close)
      rows:close()
      for _, name in ipairs { "release", "discard", "transfer" } do check("lease", name, lease[name]) end
      for _, name in ipairs { "acquire", "try_acquire", "with", "query", "row", "value", "exec", "transaction", "rows",
                              "close", "drain", "stats", "resize" } do
        check("pool", name, pool[name])
      end
    end)
  end)
end)

describe("a method of PostgreSQL with a dot", function()
  if not postgres_server.found then return pending("needs PostgreSQL") end

  it("is misuse", function()
    local place <const> = postgres_server.start()
    local _ <close> = helper.closing(function() place:stop() end)
    weir.run(function()
      local db <close> = postgres.connect(place:url())
      for _, name in ipairs { "query", "rows", "copy_in", "copy_out", "pipeline", "listen", "unlisten", "notify",
                              "notification", "parameter", "close" } do
        check("connection", name, db[name])
      end
      db:exec("create temporary table t (n integer)")
      do
        local copy <close> = db:copy_in("copy t from stdin")
        for _, name in ipairs { "write", "row", "finish", "abort", "close" } do check("copy", name, copy[name]) end
      end
      local _, copy <const> = db:copy_out("copy t to stdout")
      check("copy", "close", copy.close)
      copy:close()
      db:pipeline(function(pipeline)
        for _, name in ipairs { "query", "sync", "close" } do check("pipeline", name, pipeline[name]) end
      end)
    end)
  end)
end)

describe("a method of HTTP with a dot", function()
  it("is misuse", function()
    weir.run(function()
      local server <close> = http.serve({}, function() return { status = 200, body = "[1]" } end)
      local client <close> = http.client()
      local response <const> = client:get { url = ("http://127.0.0.1:%d/"):format(server.port), stream = true }
      for _, name in ipairs { "get", "head", "post", "put", "patch", "delete", "request", "close", "is_open",
                              "stats" } do
        check("client", name, client[name])
      end
      for _, name in ipairs { "read", "chunks", "close", "json" } do check("response", name, response[name]) end
      for _, name in ipairs { "close", "drain", "stats" } do check("server", name, server[name]) end
      assert.equal(1, response:json()[1])
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

describe("the close of a connection", function()
  it("is told to who is in line as the end of his operation", function()
    weir.run(function()
      local db <const> = sqlite.open(":memory:")
      local busy <const> = weir.spawn(pcall, db.transaction, db, function() weir.await(nothing) end)
      weir.checkpoint()
      local in_line <const> = {}
      for _, name in ipairs { "query", "row", "value", "exec", "transaction", "rows" } do
        in_line[name] = weir.spawn(pcall, db[name], db, name == "transaction" and nothing or "SELECT 1")
      end
      weir.checkpoint()
      weir.spawn(db.close, db)
      for name, task in pairs(in_line) do
        local ok <const>, err <const> = task:await()
        assert.is_false(ok)
        assert.equal("closed", weir.kind(err))
        assert.equal("sqlite:" .. name, err.op)
        assert.equal("semaphore:acquire", err.cause.op)
      end
      busy:cancel()
      busy:pawait()
    end)
  end)
end)
