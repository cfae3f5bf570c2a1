-- sqlite_pool_spec.lua - weir.sqlite's pools: calls that borrow, what comes back, readers beside a writer.

local helper = require "support.helper"
local support = require "support.sqlite"
local weir = require "weir"

local sqlite = support.sqlite
local real, virtual = support.real, support.virtual

describe("weir.sqlite pool", function()
  if not support.found then
    pending(support.missing)
    return
  end

  local threads <const> = math.tointeger(tonumber(os.getenv("UV_THREADPOOL_SIZE") or "")) or 4

  -- A pool on a database in memory, which connections share while one is open: fn(pool).
  local n = 0
  local function with_pool(fn, options)
    return virtual(function()
      n = n + 1
      local o = { path = ("file:pool%d?mode=memory&cache=shared"):format(n), wal = false, name = "p", min = 1 }
      for k, v in pairs(options or {}) do o[k] = v end
      local pool <close> = sqlite.pool(o)
      pool:exec "CREATE TABLE t (x UNIQUE)"
      fn(pool)
    end)
  end

  it("has the calls of a connection", with_pool(function(pool)
    assert.equal(1, pool:query("INSERT INTO t VALUES (?)", 1).affected)
    assert.equal(1, pool:exec "INSERT INTO t VALUES (2)")
    assert.same({ x = 2 }, pool:row("SELECT x FROM t WHERE x > ?", 1))
    assert.equal(2, pool:value { sql = "SELECT count(*) FROM t" })
    local sum = 0
    for row in pool:rows("SELECT x FROM t") do sum = sum + row.x end
    assert.equal(3, sum)
    assert.same({ 7, nil, 9, n = 3 }, table.pack(pool:transaction(function(tx)
      tx:exec "INSERT INTO t VALUES (3)"
      return 7, nil, 9
    end)))
    pool:transaction({ mode = "immediate" }, function(tx, x) tx:query("INSERT INTO t VALUES (?)", x) end, 4)
    assert.equal(4, pool:with(function(db, sql) return db:value(sql) end, "SELECT count(*) FROM t"))
    local lease <close> = pool:acquire()
    assert.equal(4, lease.value:value("SELECT count(*) FROM t"))
  end))

  it("is a weir.pool", with_pool(function(pool)
    assert.equal("p", pool.name)
    assert.equal(threads, pool.max)
    assert.equal(0, pool.active)
    local lease = pool:acquire { timeout = 1 }
    assert.is_true(lease.held)
    assert.equal(1, pool.active)
    assert.truthy(tostring(pool):find("^weir.pool p%(1 of %d+ leased"))
    assert.truthy(tostring(lease):find("^weir.lease p%("))
    assert.is_false(pool:is_idle())
    lease:release()
    helper.error("misuse", lease.release, lease)
    helper.error("misuse", function() return lease.value end)
    pool:resize { max = 2 }
    assert.equal(2, pool.max)
    lease = pool:try_acquire()
    local other = pool:acquire()
    assert.same({ false, "busy" }, { pool:try_acquire() })
    local err = helper.error("timeout", pool.acquire, pool, { timeout = 0.1 })
    assert.truthy(err.message:find("pool 'p': timed out after 0.1 s: 2 of 2 leased", 1, true))
    other:discard()
    lease:release()
    assert.equal(1, pool:stats().evicted.discarded)
    pool:drain()
    helper.error("closed", pool.query, pool, "SELECT 1")
  end))

  it("serves many tasks with few connections", with_pool(function(pool)
    weir.each({ n = 100 }, function(_, i) pool:query("INSERT INTO t VALUES (?)", i) end)
    assert.equal(100, pool:value("SELECT count(*) FROM t"))
    assert.truthy(pool.total <= 4)
  end, { max = 4 }))

  describe("a connection that comes back", function()
    local function lend(pool, fn) return pcall(pool.with, pool, fn) end

    it("with an open transaction is rolled back first", with_pool(function(pool)
      local first
      lend(pool, function(db)
        first = db
        db:exec "BEGIN; INSERT INTO t VALUES (1)"
      end)
      weir.sleep(1)
      assert.is_false(first.in_transaction)
      assert.is_false(first.closed)
      assert.equal(0, pool:value("SELECT count(*) FROM t"))
      assert.equal(1, pool:stats().checks)
      local lease = pool:acquire()
      lease.value:exec "BEGIN; INSERT INTO t VALUES (1)"
      lease:release()
      weir.sleep(1)
      assert.equal(0, pool:value("SELECT count(*) FROM t"))
      do
        local block <close> = pool:acquire()
        block.value:exec "BEGIN"
      end
      weir.sleep(1)
      assert.equal(3, pool:stats().checks)
    end, { max = 1, check_idle = math.huge }))

    it("by an error is checked, but not by one of a statement", with_pool(function(pool)
      lend(pool, function() error("no") end)
      pcall(pool.query, pool, "SELECT nothing")
      pcall(function()
        local lease <close> = pool:acquire() -- luacheck: ignore
        error("no")
      end)
      pcall(function() for _ in pool:rows(support.count_to(5000)) do error("no") end end)
      pcall(pool.rows, pool, "SELECT nothing")
      weir.sleep(1)
      assert.equal(3, pool:stats().checks)
      assert.equal(0, pool.active)
    end, { check_idle = math.huge }))

    it("with a loop that was not left is destroyed", with_pool(function(pool)
      lend(pool, function(db)
        local next_row, rows = db:rows(support.count_to(5000))
        next_row(rows)
        rows.loop.permit:release() -- or the task that goes on would be said to have leaked it
      end)
      weir.sleep(1)
      assert.equal(1, pool:stats().evicted.check)
      assert.equal(1, pool:value("SELECT 1"))
    end, { min = 2 }))

    it("closed is destroyed", with_pool(function(pool)
      lend(pool, function(db) db:close() end)
      local lease = pool:acquire()
      lease.value:close()
      lease:release()
      weir.sleep(1)
      assert.equal(2, pool:stats().evicted.discarded)
      assert.equal(1, pool:value("SELECT 1"))
    end, { min = 2 }))
  end)

  describe("a loop over rows", function()
    it("has the connection until it is left", with_pool(function(pool)
      for row in pool:rows(support.count_to(5000)) do
        assert.equal(1, pool.active)
        if row.x == 10 then break end
      end
      assert.equal(0, pool.active)
      local next_row, rows = pool:rows(support.count_to(2))
      assert.equal(1, next_row(rows).x)
      assert.equal(2, next_row(rows).x)
      assert.is_nil(next_row(rows))
      assert.equal(0, pool.active)
      assert.is_nil(next_row(rows))
      rows:close()
      next_row, rows = pool:rows(support.count_to(5000))
      assert.equal(1, next_row(rows).x)
      rows:close()
      assert.is_nil(next_row(rows))
      assert.equal(0, pool.active)
    end))

    it("that is cancelled gives it back", with_pool(function(pool)
      local task = weir.spawn(function()
        for _ in pool:rows(support.count_to(5000)) do weir.sleep(1) end
      end)
      weir.sleep(5.5)
      assert.equal(1, pool.active)
      task:cancel()
      task:pawait()
      weir.sleep(1)
      assert.equal(0, pool.active)
      assert.equal(1, pool:value("SELECT 1"))
    end))
  end)

  it("checks its options when it is made", virtual(function()
    local function misuse(text, options)
      local err = helper.error("misuse", sqlite.pool, options)
      assert.truthy(err.message:find(text, 1, true), err.message)
    end
    misuse("sqlite.pool: 'options' must be a table, got string", "x.db")
    misuse("sqlite.pool: 'path' must be a string, got nil", {})
    misuse("sqlite.pool: unknown option 'check'", { path = "x", check = print })
    for _, path in ipairs {
      ":memory:", "", "file::memory:", "file:", "file:?cache=shared", "file:x?mode=memory", "file:x?a=b&mode=memory",
    } do
      misuse("sqlite.pool: 'path' must be one that connections can share", { path = path })
    end
    for _, path in ipairs {
      "file::memory:?cache=shared", "file:x?cache=shared&mode=memory", "file:x", "mode=memory",
    } do
      sqlite.pool({ path = path }):close()
    end
    misuse("weir.pool: 'max' must be a positive integer", { path = "x", max = 0 })
  end))

  it("has room for one where the threads are said to be none", function()
    local folder <close> = support.folder()
    local output, code = helper.program([[
      local weir = require "weir"
      local sqlite = require "weir.sqlite"
      weir.run(function() io.write(sqlite.pool({ path = "x" }).max) end)
    ]], support.interpreter(folder.path, "UV_THREADPOOL_SIZE=0"))
    assert.equal("1", output)
    assert.equal(0, code)
  end)

  it("gives what went wrong when it cannot connect", virtual(function()
    local pool <close> = sqlite.pool { path = "/nowhere/at/all/x.db" }
    local err = support.refused("SQLITE_CANTOPEN", pool.query, pool, "SELECT 1")
    assert.truthy(err.message:find("there is no folder '/nowhere/at/all'", 1, true))
  end))

  it("keeps its word under a cancel at every wait", function()
    local function work()
      n = n + 1
      local pool <close> = sqlite.pool {
        path = ("file:pool%d?mode=memory&cache=shared"):format(n), wal = false, max = 2, min = 1, dial_stagger = 0,
      }
      pool:exec "CREATE TABLE IF NOT EXISTS t (x)"
      weir.scope(function(s)
        for i = 1, 3 do
          s:spawn(pcall, pool.transaction, pool, { mode = "immediate" }, function(tx)
            tx:query("INSERT INTO t VALUES (?)", i)
            weir.checkpoint()
          end)
        end
        s:spawn(pcall, function()
          for _ in pool:rows("SELECT x FROM t") do weir.checkpoint() end
        end)
      end)
    end
    assert.truthy(helper.cancel_everywhere(work) > 20)
  end)

  describe("on a file #real", function()
    it("lets readers read while a writer writes", real(function(folder)
      local path = folder .. "/x.db"
      local writer <close> = sqlite.pool { path = path, max = 1, name = "writer" }
      writer:exec "CREATE TABLE t (x)"
      local readers <close> = sqlite.pool { path = path, readonly = true, name = "readers" }
      weir.scope(function(s)
        local done = false
        s:spawn(function()
          for i = 1, 50 do
            writer:transaction({ mode = "immediate" }, function(tx)
              tx:query("INSERT INTO t VALUES (?)", 2 * i - 1)
              tx:query("INSERT INTO t VALUES (?)", 2 * i)
            end)
          end
          done = true
        end)
        for _ = 1, 4 do
          s:spawn(function()
            repeat
              assert.equal(0, readers:value("SELECT count(*) % 2 FROM t"))
            until done
          end)
        end
      end)
      assert.equal(100, readers:value("SELECT count(*) FROM t"))
      support.refused("SQLITE_READONLY", readers.exec, readers, "DELETE FROM t")
    end))

    it("lets its writers take turns", real(function(folder)
      local pool <close> = sqlite.pool { path = folder .. "/x.db" }
      pool:exec "CREATE TABLE counter (n); INSERT INTO counter VALUES (0)"
      weir.each({ n = 200 }, function()
        pool:transaction({ mode = "immediate" }, function(tx)
          tx:query("UPDATE counter SET n = ?", tx:value("SELECT n FROM counter") + 1)
        end)
      end)
      assert.equal(200, pool:value("SELECT n FROM counter"))
    end))

    it("closes its files when it is forgotten", real(function(folder)
      do
        local pool = sqlite.pool { path = folder .. "/x.db" }
        pool:exec "CREATE TABLE t (x)"
        assert.truthy(support.open_files(folder) > 0)
      end
      weir.sleep(0)
      collectgarbage()
      collectgarbage()
      support.wait_until(function() return support.open_files(folder) == 0 end, "the end of the files")
    end))
  end)
end)
