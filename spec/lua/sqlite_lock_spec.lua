-- sqlite_lock_spec.lua - connections of weir.sqlite that want the same lock: who waits, where, and for how long.
--
-- In real time with real files. Nothing is asserted on how long something took, but for what must not happen at all.

local helper = require "support.helper"
local support = require "support.sqlite"
local weir = require "weir"

local sqlite = support.sqlite
local refused, real = support.refused, support.real

describe("weir.sqlite lock #real", function()
  if not support.found then
    pending(support.missing)
    return
  end

  -- Two connections to one file with a table: fn(one, two, path).
  local function with_two(fn, options)
    return real(function(folder)
      local path = folder .. "/x.db"
      local function open()
        local o = { path = path }
        for k, v in pairs(options or {}) do o[k] = v end
        return sqlite.open(o)
      end
      local one <close> = open()
      local two <close> = open()
      one:exec "CREATE TABLE t (x)"
      fn(one, two, path)
    end)
  end

  local function insert(db, x) return db:query("INSERT INTO t VALUES (?)", x) end

  local function count(db) return db:value("SELECT count(*) FROM t") end

  it("is handed from writer to writer, first come, first served", with_two(function(one, two)
    local order = {}
    local function writer(db, name, pause)
      weir.sleep(pause)
      db:transaction({ mode = "immediate" }, function(tx)
        insert(tx, name)
        order[#order + 1] = name
        weir.sleep(0.01)
      end)
    end
    weir.all {
      function() writer(one, "a", 0) end,
      function() writer(two, "b", 0.003) end,
    }
    assert.same({ "a", "b" }, order)
    assert.equal(2, count(one))
  end))

  it("lost by a statement is tried for again", with_two(function(one, two)
    local task
    one:transaction({ mode = "immediate" }, function(tx)
      insert(tx, 1)
      task = weir.spawn(insert, two, 2)
      weir.sleep(0.02)
      assert.equal(1, count(tx))
    end)
    assert.equal(1, task:await().affected)
    assert.equal(2, count(one))
  end))

  it("lost by a script is tried for again where it stood", with_two(function(one, two)
    two:exec "CREATE TEMP TABLE log (x)"
    local task = weir.spawn(function()
      return two:exec "INSERT INTO log VALUES (1); INSERT INTO t VALUES (2); INSERT INTO log VALUES (3)"
    end)
    one:transaction({ mode = "immediate" }, function() weir.sleep(0.02) end)
    assert.equal(3, task:await())
    assert.equal(2, two:value("SELECT count(*) FROM log"))
  end))

  it("held against everybody keeps a loop over rows waiting, too", with_two(function(one, two)
    local task
    assert.equal(0, count(two))
    one:transaction({ mode = "exclusive" }, function(tx)
      insert(tx, 1)
      task = weir.spawn(function()
        local n = 0
        for _ in two:rows("SELECT * FROM t") do n = n + 1 end
        return n
      end)
      weir.sleep(0.02)
    end)
    assert.equal(1, task:await())
  end, { wal = false }))

  it("held against everybody keeps who opens and who prepares waiting, too", real(function(folder)
    local path = folder .. "/x.db"
    local one <close> = sqlite.open { path = path, wal = false }
    local two <close> = sqlite.open { path = path, wal = false }
    one:exec "CREATE TABLE t (x)"
    two:exec "BEGIN; CREATE TABLE u (x); ROLLBACK" -- the schema must be read again
    local opening, preparing
    one:transaction({ mode = "exclusive" }, function(tx)
      insert(tx, 1)
      opening = weir.spawn(sqlite.open, path)
      preparing = weir.spawn(two.prepare, two, "SELECT 1 FROM t")
      weir.sleep(0.02)
      assert.equal("waiting", opening.status)
      assert.equal("waiting", preparing.status)
    end)
    local statement <close> = preparing:await()
    assert.equal(1, statement:value())
    local three <close> = opening:await()
    assert.equal("wal", three:value("PRAGMA journal_mode"))
    assert.equal(1, count(three))
  end))

  it("that does not come within busy_timeout is SQLITE_BUSY", with_two(function(one, two)
    one:transaction({ mode = "immediate" }, function(tx)
      insert(tx, 1)
      local err = refused("SQLITE_BUSY", insert, two, 2)
      assert.equal("sqlite:query: database is locked (SQLITE_BUSY) in: INSERT INTO t VALUES (?)", err.message)
      refused("SQLITE_BUSY", two.exec, two, "DELETE FROM t")
      refused("SQLITE_BUSY", two.transaction, two, { mode = "immediate" }, print)
      assert.equal(0, count(two))
    end)
    insert(two, 2)
    assert.equal(2, count(two))
  end, { busy_timeout = 0.02 }))

  it("with a busy_timeout of 0 is tried for once", with_two(function(one, two)
    one:transaction({ mode = "immediate" }, function() refused("SQLITE_BUSY", insert, two, 2) end)
    insert(two, 2)
  end, { busy_timeout = 0 }))

  it("that does not come within the call's own timeout is `timeout`", with_two(function(one, two)
    one:transaction({ mode = "immediate" }, function()
      local err = helper.error("timeout", two.query, two, { sql = "INSERT INTO t VALUES (1)", timeout = 0.02 })
      assert.equal("sqlite:query: timed out while another connection had the lock", err.message)
      helper.error("timeout", weir.timeout, 0.02, insert, two, 2)
    end)
    insert(two, 2)
    assert.equal(1, count(two))
  end))

  it("is not waited for by who is cancelled", with_two(function(one, two)
    one:transaction({ mode = "immediate" }, function()
      local tasks = {}
      for i = 1, 3 do tasks[i] = weir.spawn(insert, two, i) end
      tasks[4] = weir.spawn(two.transaction, two, { mode = "immediate" }, insert, 4)
      weir.sleep(0.01)
      for i = 1, 4 do
        tasks[i]:cancel()
        assert.equal("cancelled", weir.kind(select(2, tasks[i]:pawait())))
      end
    end)
    insert(two, 2)
    assert.equal(1, count(one))
  end))

  it("that a snapshot stands in the way of is refused at once", with_two(function(one, two)
    local err = refused("SQLITE_BUSY_SNAPSHOT", two.transaction, two, function(tx)
      assert.equal(0, count(tx))
      insert(one, 1)
      insert(tx, 2)
    end)
    assert.equal("database is locked", err.detail)
    assert.equal(1, count(two))
    assert.is_false(two.in_transaction)
  end, { busy_timeout = 1000 }))

  it("that two readers keep from each other is refused to one", with_two(function(one, two)
    -- both have read: neither can commit while the other holds on (no write-ahead log)
    local go
    local task = weir.spawn(pcall, one.transaction, one, function(tx)
      count(tx)
      weir.await(function(resume) go = resume end)
      insert(tx, 1)
    end)
    support.wait_until(function() return go end, "the first reader")
    two:transaction(function(tx)
      count(tx)
      insert(tx, 2)
      go()
    end)
    local ok, err = task:await()
    assert.is_false(ok)
    assert.equal("SQLITE_BUSY", err.code)
    assert.equal(1, count(one))
  end, { wal = false }))

  it("at a COMMIT is waited for, and the transaction kept", with_two(function(one, two)
    for i = 1, 20 do insert(one, i) end
    local next_row, rows = two:rows("SELECT a.x FROM t AS a, t AS b, t AS c")
    next_row(rows)
    local task = weir.spawn(one.transaction, one, insert, 100)
    weir.sleep(0.02)
    assert.equal("waiting", task.status)
    rows:close()
    task:await()
    assert.equal(21, count(two))
  end, { wal = false }))

  it("at a COMMIT is not queued for behind who waits for the one that commits", with_two(function(one, two, path)
    for i = 1, 20 do insert(one, i) end
    local three <close> = sqlite.open { path = path, wal = false, busy_timeout = 2 }
    local next_row, rows = two:rows("SELECT a.x FROM t AS a, t AS b, t AS c")
    next_row(rows)
    local commits = weir.spawn(one.transaction, one, function(tx)
      insert(tx, 100)
      weir.sleep(0.03)
    end)
    weir.sleep(0.01)
    local begins = weir.spawn(three.transaction, three, { mode = "immediate" }, insert, 101)
    weir.sleep(0.06)
    assert.equal("waiting", commits.status) -- for the reader
    assert.equal("waiting", begins.status) -- for who commits, in the gate
    rows:close()
    commits:await()
    begins:await()
    assert.equal(22, count(two))
  end, { wal = false, busy_timeout = 2 }))

  it("is the file's, by whatever name", real(function(folder)
    local one <close> = sqlite.open(folder .. "/x.db")
    one:exec "CREATE TABLE t (x)"
    os.execute(("ln -s x.db %s/y.db"):format(folder))
    local two <close> = sqlite.open(folder .. "/../" .. folder:match("[^/]+$") .. "/y.db")
    local got, task = {}, nil
    one:transaction({ mode = "immediate" }, function()
      task = weir.spawn(two.transaction, two, { mode = "immediate" }, function() got[#got + 1] = "two" end)
      weir.sleep(0.01)
      got[#got + 1] = "one"
    end)
    task:await()
    assert.same({ "one", "two" }, got)
  end))

  it("goes round among many", real(function(folder)
    local path = folder .. "/x.db"
    local db <close> = sqlite.open(path)
    db:exec "CREATE TABLE counter (n); INSERT INTO counter VALUES (0)"
    weir.each({ 1, 2, 3, 4, 5, 6, 7, 8 }, function(i)
      local own <close> = sqlite.open(path)
      for k = 1, 20 do
        if (i + k) % 2 == 0 then
          own:query("UPDATE counter SET n = n + 1")
        else
          own:transaction({ mode = "immediate" }, function(tx)
            tx:query("UPDATE counter SET n = ?", tx:value("SELECT n FROM counter") + 1)
          end)
        end
      end
    end)
    assert.equal(160, db:value("SELECT n FROM counter"))
  end))

  -- The one that holds the lock and those that wait for it share one thread: a wait on the thread would be the end.
  it("is not waited for on a thread of the pool", function()
    local folder <close> = support.folder()
    local program = ([[
      local weir = require "weir"
      local sqlite = require "weir.sqlite"
      weir.run(function()
        local path = %q
        local db = sqlite.open { path = path, busy_timeout = 60 }
        db:exec "CREATE TABLE t (x)"
        local others = {}
        for i = 1, 8 do others[i] = sqlite.open { path = path, busy_timeout = 60 } end
        db:transaction({ mode = "immediate" }, function(tx)
          for i, other in ipairs(others) do
            weir.detach(function()
              if i %% 2 == 0 then
                other:query("INSERT INTO t VALUES (?)", i)
              else
                other:transaction({ mode = "immediate" }, other.query, "INSERT INTO t VALUES (?)", i)
              end
            end)
          end
          weir.sleep(0.05)
          for i = 1, 10 do tx:query("INSERT INTO t VALUES (0)") end
        end)
        while db:value("SELECT count(*) FROM t") < 18 do weir.sleep(0.001) end
        io.write("18 rows")
      end)
    ]]):format(folder.path .. "/x.db")
    local output, code = helper.program(program, support.interpreter(folder.path, "UV_THREADPOOL_SIZE=1"))
    assert.equal("18 rows", output)
    assert.equal(0, code)
  end)

  it("of another process is waited for", real(function(folder)
    local path = folder .. "/x.db"
    local db <close> = sqlite.open(path)
    db:exec "CREATE TABLE t (x)"
    os.execute(("mkfifo %s/ready %s/go"):format(folder, folder))
    local program = ([[
      local weir = require "weir"
      local sqlite = require "weir.sqlite"
      weir.run(function()
        local db <close> = sqlite.open(%q)
        db:transaction({ mode = "immediate" }, function(tx)
          tx:query("INSERT INTO t VALUES (1)")
          io.open(%q, "w"):write("x"):close()
          io.open(%q):read("a")
        end)
      end)
    ]]):format(path, folder .. "/ready", folder .. "/go")
    do
      local file <close> = assert(io.open(folder .. "/other.lua", "w"))
      file:write(program)
    end
    local other = assert(io.popen(("LUA_PATH='%s' LUA_CPATH='%s' lua5.4 %s/other.lua 2>&1"):format(
      package.path, package.cpath, folder)))
    assert.equal("x", assert(io.open(folder .. "/ready")):read("a"))
    local task = weir.spawn(insert, db, 2)
    weir.sleep(0.02)
    assert.equal("waiting", task.status)
    assert(io.open(folder .. "/go", "w")):write("x"):close()
    task:await()
    assert.equal("", other:read("a"))
    other:close()
    assert.equal(2, count(db))
  end))
end)
