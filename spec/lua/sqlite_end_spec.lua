-- sqlite_end_spec.lua - weir.sqlite: queries that are given up, connections that go, and that nothing is left.
--
-- In real time, with threads. support.real sees to it after each that SQLite's memory is what it was, and that no
-- file is open.

local helper = require "support.helper"
local support = require "support.sqlite"
local weir = require "weir"

local sqlite = support.sqlite
local real, forever = support.real, support.forever

describe("weir.sqlite end #real", function()
  if not support.found then
    pending(support.missing)
    return
  end

  local function with_db(fn)
    return real(function(folder)
      local db <close> = sqlite.open(folder .. "/x.db")
      fn(db, folder)
    end)
  end

  -- Let a query that was just begun get as far as a thread, most of the time.
  local function a_moment() weir.sleep(0.003) end

  describe("a query that would run for ever", function()
    it("is interrupted by its timeout", with_db(function(db)
      for _, call in ipairs { "query", "row", "value" } do
        local err = helper.error("timeout", db[call], db, { sql = forever, timeout = 0.01 })
        assert.equal("sqlite:" .. call .. ": timed out", err.message)
      end
      helper.error("timeout", db.rows, db, { sql = forever, timeout = 0.01 })
      assert.equal(1, db:value("SELECT 1"))
    end))

    it("is interrupted by the deadline of a scope", with_db(function(db)
      for _, call in ipairs { "query", "row", "value", "exec", "rows" } do
        helper.error("timeout", weir.timeout, 0.01, db[call], db, forever)
        assert.equal(1, db:value("SELECT 1"))
      end
    end))

    it("is interrupted by a cancel, at once or later", with_db(function(db)
      for i = 1, 20 do
        local task = weir.spawn(db.query, db, forever)
        if i % 3 == 1 then a_moment() elseif i % 3 == 2 then weir.checkpoint() end
        task:cancel("enough")
        local ok, err = task:pawait()
        assert.is_false(ok)
        assert.equal("enough", err.reason)
        assert.equal(i, db:value("SELECT ?", i))
      end
    end))

    it("is interrupted in a transaction, which is rolled back", with_db(function(db)
      db:exec "CREATE TABLE t (x)"
      helper.error("timeout", weir.timeout, 0.01, function()
        db:transaction(function(tx)
          tx:exec "INSERT INTO t VALUES (1)"
          tx:query(forever)
        end)
      end)
      assert.equal(0, db:value("SELECT count(*) FROM t"))
      -- an interrupted write ends the transaction for SQLite, and must not go on without one
      local err = support.refused("SQLITE_ABORT_ROLLBACK", db.transaction, db, function(tx)
        tx:exec "INSERT INTO t VALUES (1)"
        helper.error("timeout", tx.query, tx, { sql = "INSERT INTO t " .. forever, timeout = 0.01 })
        tx:exec "INSERT INTO t VALUES (2)"
      end)
      assert.equal("sqlite:exec", err.op)
      assert.equal(0, db:value("SELECT count(*) FROM t"))
    end))

    it("is interrupted in a loop over rows, and the outer one goes on", with_db(function(db)
      local n = 0
      for row in db:rows(support.count_to(5000)) do
        n = n + 1
        if row.x % 1000 == 0 then
          helper.error("timeout", db.query, db, { sql = forever, timeout = 0.002 })
        end
      end
      assert.equal(5000, n)
    end))

    it("is interrupted while its rows come", with_db(function(db)
      local n = 0
      helper.error("timeout", function()
        for _ in db:rows { sql = support.count_to(1 << 40), timeout = 0.05 } do n = n + 1 end
      end)
      assert.truthy(n > 0)
      helper.error("timeout", db.query, db, { sql = support.count_to(1 << 40), timeout = 0.02 })
      local task = weir.spawn(function()
        for _ in db:rows(support.count_to(1 << 40)) do n = n + 1 end
      end)
      a_moment()
      task:cancel()
      task:pawait()
      assert.equal(1, db:value("SELECT 1"))
    end))

    it("keeps no thread from others once it was given up", with_db(function(db, folder)
      local others = {}
      for i = 1, 8 do others[i] = sqlite.open { path = folder .. "/x.db", readonly = true } end
      weir.race {
        function() weir.map(others, function(other) return other:query(forever) end) end,
        a_moment,
      }
      for _, other in ipairs(others) do
        assert.equal(1, other:value("SELECT 1"))
        other:close()
      end
      assert.equal(1, db:value("SELECT 1"))
    end))
  end)

  it("an interrupt never hits the query after it", with_db(function(db)
    local random = helper.random()
    for i = 1, 300 do
      local task = weir.spawn(db.query, db, support.count_to(random(1, 3000)))
      for _ = 1, random(0, 2) do weir.checkpoint() end
      if random(1, 4) == 1 then weir.sleep(random(1, 400) / 1e6) end
      task:cancel()
      task:pawait()
      assert.equal(i, db:value("SELECT ?", i))
    end
  end))

  it("the outcome of a transaction is what its caller was told, whenever the cancel comes", with_db(function(db)
    db:exec "CREATE TABLE t (x)"
    local random = helper.random()
    local committed, given_up = 0, 0
    for i = 1, 300 do
      local task = weir.spawn(db.transaction, db, { mode = "immediate" }, db.query, "INSERT INTO t VALUES (?)", i)
      for _ = 1, random(0, 12) do weir.checkpoint() end
      if random(1, 2) == 1 then weir.sleep(random(1, 500) / 1e6) end
      task:cancel()
      local ok = task:pawait()
      if ok then committed = committed + 1 else given_up = given_up + 1 end
      assert.equal(ok and 1 or 0, db:value("SELECT count(*) FROM t WHERE x = ?", i))
    end
    assert.truthy(given_up > 0)
    assert.equal(committed, db:value("SELECT count(*) FROM t"))
  end))

  it("connections work beside each other", with_db(function(_, folder)
    -- each holds a read lock and waits for the others to have theirs: one after the other would never end
    local n, resumes = 0, {}
    weir.each({ 1, 2, 3, 4 }, function()
      local db <close> = sqlite.open(folder .. "/x.db")
      for _ in db:rows(support.count_to(5000)) do
        n = n + 1
        if n < 4 then
          weir.await(function(resume) resumes[#resumes + 1] = resume end)
        else
          for _, resume in ipairs(resumes) do resume() end
        end
        break
      end
    end)
    assert.equal(4, n)
  end))

  it("tasks that share a connection take turns, first come, first served", with_db(function(db)
    local order = {}
    local tasks = {}
    for i = 1, 20 do
      tasks[i] = weir.spawn(function()
        local got = db:value("SELECT ?", i)
        order[#order + 1] = got
      end)
    end
    for i = 1, 20 do tasks[i]:await() end
    for i = 1, 20 do assert.equal(i, order[i]) end
  end))

  describe("closing", function()
    it("ends what runs, with `closed` for who waits", real(function(folder)
      local db = sqlite.open(folder .. "/x.db")
      local tasks = {}
      local calls <const> = { "query", "value", "exec" }
      for i, call in ipairs(calls) do
        tasks[i] = weir.spawn(pcall, db[call], db, forever)
      end
      a_moment()
      db:close()
      for i = 1, 3 do
        local ok, err = tasks[i]:await()
        assert.is_false(ok)
        assert.equal("closed", weir.kind(err))
        assert.equal("sqlite:" .. calls[i], err.op) -- ran, or waited for its turn
        assert.truthy((err.reason or err.message):find("the connection is closed", 1, true), err.message)
      end
      assert.equal(0, support.open_files(folder))
    end))

    it("ends a loop and a transaction of another task", real(function(folder)
      local db = sqlite.open(folder .. "/x.db")
      db:exec "CREATE TABLE t (x)"
      local task = weir.spawn(pcall, db.transaction, db, function(tx)
        tx:exec "INSERT INTO t VALUES (1)"
        for _ in tx:rows(support.count_to(1 << 40)) do end -- luacheck: ignore
      end)
      a_moment()
      db:close()
      local ok, err = task:await()
      assert.is_false(ok)
      assert.equal("closed", weir.kind(err))
      local again <close> = sqlite.open(folder .. "/x.db")
      assert.equal(0, again:value("SELECT count(*) FROM t"))
    end))

    it("in one's own loop or transaction is possible", real(function(folder)
      local db = sqlite.open(folder .. "/x.db")
      helper.error("closed", function()
        for _ in db:rows(support.count_to(5000)) do db:close() end
      end)
      db = sqlite.open(folder .. "/x.db")
      helper.error("closed", db.transaction, db, function() db:close() end)
    end))

    it("happens in a cancelled task, too", real(function(folder)
      local is_open
      local task = weir.spawn(function()
        local db <close> = sqlite.open(folder .. "/x.db") -- luacheck: ignore
        is_open = true
        weir.sleep(100)
      end)
      support.wait_until(function() return is_open end, "the connection")
      task:cancel()
      task:pawait()
      assert.equal(0, support.open_files(folder))
    end))

    it("writes the log back, also after an interrupt", real(function(folder)
      local db = sqlite.open(folder .. "/x.db")
      db:exec "CREATE TABLE t (x); INSERT INTO t VALUES (1)"
      local task = weir.spawn(pcall, db.query, db, forever)
      a_moment()
      db:close()
      task:await()
      assert.equal("x.db\n", support.shell("ls " .. folder))
    end))

    it("while opening gives nothing", real(function(folder)
      for i = 1, 20 do
        local task = weir.spawn(sqlite.open, folder .. "/x.db")
        for _ = 1, i % 4 do weir.checkpoint() end
        if i > 10 then weir.sleep(i / 20000) end
        task:cancel()
        local ok, db = task:pawait()
        if ok then db:close() end
      end
      local ok, db = pcall(sqlite.open, { path = folder .. "/x.db", timeout = 0 }) -- the thread may be that fast
      if ok then db:close() else assert.equal("timeout", weir.kind(db)) end
    end))
  end)

  describe("a connection that is forgotten", function()
    it("is closed by the collector, without a wait", real(function(folder)
      for i = 1, 20 do
        local db = sqlite.open(folder .. "/x.db")
        if i % 2 == 0 then
          local _, rows = db:rows(support.count_to(5000))
          rows.loop.permit:release() -- or the task that goes on would be said to have leaked it
        end
        if i % 5 == 0 then db:prepare "SELECT 1" end
      end
      collectgarbage()
      collectgarbage()
      support.wait_until(function() return support.open_files(folder) == 0 end, "the end of the files")
    end))

    it("leaves a loop that was not left to the next statement", with_db(function(db)
      weir.spawn(function()
        pcall(weir.scope, function() -- the permit of the loop goes with the task; that is reported
          local next_row, rows = db:rows(support.count_to(5000))
          next_row(rows)
          rows.loop.permit:release()
        end)
      end):await()
      collectgarbage()
      collectgarbage()
      assert.equal(1, db:value("SELECT 1"))
    end))

    it("or never closed goes with the program", function()
      local folder <close> = support.folder()
      local output, code = helper.program(([[
        local weir = require "weir"
        local sqlite = require "weir.sqlite"
        weir.run(function()
          kept = sqlite.open(%q)
          kept:exec "CREATE TABLE t (x)"
          statement = kept:prepare "SELECT 1"
          next_row, rows = kept:rows(%q)
        end)
        io.write("done")
      ]]):format(folder.path .. "/x.db", support.count_to(5000)))
      assert.truthy(output:find("done$"), output)
      assert.equal(0, code)
      assert.equal("x.db\n", support.shell("ls " .. folder.path))
    end)
  end)

  it("a task that is killed in the middle of a query takes nothing with it but the connection", function()
    local folder <close> = support.folder()
    local output, code = helper.program(([[
      local weir = require "weir"
      local sqlite = require "weir.sqlite"
      weir.run(function()
        for _, sql in ipairs { %q, %q } do
          local db = sqlite.open(%q)
          local co
          local task = weir.spawn(function()
            co = coroutine.running()
            for _ in db:rows(sql) do weir.checkpoint() end
          end)
          weir.sleep(0.005)
          coroutine.close(co)
          task:cancel()
          task:pawait()
          db:close()
          print(db.closed)
        end
      end)
    ]]):format(support.count_to(1 << 40), support.forever, folder.path .. "/x.db"))
    assert.equal(0, code)
    assert.truthy(output:find("true\n.*true\n$"), output)
    assert.equal("x.db\n", support.shell("ls " .. folder.path))
  end)

  it("a million rows pass through bounded memory", with_db(function(db)
    local before = sqlite.memory_used()
    local most, n = 0, 0
    collectgarbage()
    for row in db:rows(support.count_to(1000000)) do
      n = n + row.x
      if row.x % 50000 == 0 then most = math.max(most, sqlite.memory_used()) end
    end
    assert.equal(500000500000, n)
    assert.truthy(most - before < 400000)
  end))

  it("a process that is killed leaves a database that can be read", real(function(folder)
    local path = folder .. "/x.db"
    local program = ([[
      local weir = require "weir"
      local sqlite = require "weir.sqlite"
      weir.run(function()
        local db = sqlite.open(%q)
        db:exec "CREATE TABLE t (x); CREATE TABLE u (x)"
        for i = 1, 1000000 do
          db:transaction(function(tx)
            tx:query("INSERT INTO t VALUES (?)", i)
            tx:query("INSERT INTO u VALUES (?)", i)
          end)
          if i == 200 then io.open(%q, "w"):close() end
        end
      end)
    ]]):format(path, folder .. "/ready")
    do
      local file <close> = assert(io.open(folder .. "/writer.lua", "w"))
      file:write(program)
    end
    os.execute(("LUA_PATH='%s' LUA_CPATH='%s' lua5.4 %s/writer.lua >%s/log 2>&1 & echo $! >%s/pid"):format(
      package.path, package.cpath, folder, folder, folder))
    local pid <close> = assert(io.open(folder .. "/pid"))
    support.wait_until(function()
      local file = io.open(folder .. "/ready")
      if file then file:close() end
      return file
    end, "the writer")
    os.execute("kill -9 " .. pid:read("l"))
    local db <close> = sqlite.open(path)
    assert.equal("ok", db:value("PRAGMA integrity_check"))
    local n = db:value("SELECT count(*) FROM t")
    assert.truthy(n >= 199)
    assert.equal(n, db:value("SELECT count(*) FROM u"))
    db:exec "INSERT INTO t VALUES (0)"
  end))

  it("running out of memory is an error, and the next statement runs", function()
    local output, code = helper.program(([[
      local weir = require "weir"
      local sqlite = require "weir.sqlite"
      local count_to = %q
      local errors = {}
      local function use(limit)
        local db <close> = sqlite.open(":memory:")
        db:exec("PRAGMA hard_heap_limit = " .. limit)
        db:exec "CREATE TABLE t (x UNIQUE)"
        db:query("INSERT INTO t " .. count_to)
        db:query("SELECT x FROM t")
        db:query("SELECT ?", ("x"):rep(100000))
        for row in db:rows("SELECT x FROM t ORDER BY x DESC") do if row.x == 10 then break end end
        local statement <close> = db:prepare "SELECT * FROM t WHERE x = ?"
        statement:row(5)
        db:transaction(function(tx) tx:exec "DELETE FROM t; CREATE TABLE u (y)" end)
      end
      weir.run(function()
        for limit = 2000000, 20000, -12500 do
          local ok, err = pcall(use, limit)
          if not ok then
            err = tostring(err)
            errors[#errors + 1] = err:find("not enough memory", 1, true) and "memory" or err
            collectgarbage()
          end
        end
      end)
      local others = {}
      for _, err in ipairs(errors) do if err ~= "memory" then others[#others + 1] = err end end
      print(#errors > 20, #others, others[1])
    ]]):format(support.count_to(3000)))
    assert.equal(0, code)
    assert.equal("true\t0\tnil\n", output)
  end)
end)
