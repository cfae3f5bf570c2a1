-- sqlite_transaction_spec.lua - transactions of weir.sqlite: who is in them, how they end, savepoints.
--
-- On virtual time, where an operation is done on the spot: so every order of the tasks can be tried, and a cancel
-- at every wait, with the real SQLite.

local helper = require "support.helper"
local support = require "support.sqlite"
local weir = require "weir"

local sqlite = support.sqlite
local refused, virtual = support.refused, support.virtual

describe("weir.sqlite transaction", function()
  if not support.found then
    pending(support.missing)
    return
  end

  local function with_table(fn)
    return virtual(function()
      local db <close> = sqlite.open(":memory:")
      db:exec "CREATE TABLE t (x INTEGER UNIQUE)"
      fn(db)
      assert.is_false(db.in_transaction)
    end)
  end

  local function all(db)
    local list = {}
    for row in db:rows("SELECT x FROM t ORDER BY x") do list[#list + 1] = row.x end
    return table.concat(list, " ")
  end

  local function insert(db, x) return db:query("INSERT INTO t VALUES (?)", x) end

  it("commits and returns what its function returns", with_table(function(db)
    local results = table.pack(db:transaction(function(tx, a, ...)
      assert.is_true(db.in_transaction)
      insert(tx, a)
      return nil, select("#", ...), a, nil
    end, 1, nil, nil))
    assert.same({ n = 4, nil, 2, 1, nil }, results)
    assert.equal("1", all(db))
    assert.equal(0, db:transaction(function(...) return select("#", ...) - 1 end))
  end))

  it("rolls back after an error, which passes unchanged", with_table(function(db)
    local err = { "mine" }
    local ok, got = pcall(db.transaction, db, function(tx)
      insert(tx, 1)
      error(err)
    end)
    assert.is_false(ok)
    assert.equal(err, got)
    assert.equal("", all(db))
    local why = refused("SQLITE_CONSTRAINT_UNIQUE", db.transaction, db, function(tx)
      insert(tx, 1)
      insert(tx, 1)
    end)
    assert.truthy(why.traceback:find("sqlite_transaction_spec.lua", 1, true))
    assert.equal("", all(db))
  end))

  it("goes on after an error that its function caught", with_table(function(db)
    db:transaction(function(tx)
      insert(tx, 1)
      refused("SQLITE_CONSTRAINT_UNIQUE", insert, tx, 1)
      insert(tx, 2)
    end)
    assert.equal("1 2", all(db))
  end))

  it("rolls back after a cancel, and after a deadline", with_table(function(db)
    for _, how in ipairs { "cancel", "deadline" } do
      local task = weir.spawn(function()
        weir.timeout(how == "deadline" and 1 or 100, function()
          db:transaction(function(tx)
            insert(tx, 1)
            weir.sleep(10)
          end)
        end)
      end)
      weir.sleep(0.5)
      if how == "cancel" then task:cancel("enough") end
      local ok, err = task:pawait()
      assert.is_false(ok)
      assert.equal(how == "cancel" and "cancelled" or "timeout", weir.kind(err))
      assert.equal("", all(db))
    end
  end))

  it("does not commit what was cancelled when its function returned", with_table(function(db)
    local task
    task = weir.spawn(function()
      db:transaction(function(tx)
        insert(tx, 1)
        task:cancel()
      end)
    end)
    assert.equal("cancelled", weir.kind(select(2, task:pawait())))
    assert.equal("", all(db))
  end))

  it("excludes other tasks, and not the one it runs in", with_table(function(db)
    local order = {}
    weir.all {
      function()
        db:transaction(function(tx)
          insert(tx, 1)
          insert(db, 2)
          weir.sleep(1)
          local seen = all(db)
          order[#order + 1] = "one: " .. seen
        end)
      end,
      function()
        weir.sleep(0.5)
        local seen = all(db)
        order[#order + 1] = "two: " .. seen
      end,
    }
    assert.same({ "one: 1 2", "two: 1 2" }, order)
  end))

  it("is open to the tasks that its function spawns, by its handle", with_table(function(db)
    db:transaction(function(tx)
      weir.each({ 1, 2, 3, 4, 5 }, function(x)
        insert(tx, x)
        weir.sleep(1 / x)
        assert.is_true(tx:value("SELECT count(*) FROM t") > 0)
      end)
      assert.equal("1 2 3 4 5", all(tx))
    end)
    assert.equal("1 2 3 4 5", all(db))
  end))

  it("that would wait for itself by another task is a deadlock", with_table(function(db)
    local err = helper.error("deadlock", db.transaction, db, function()
      weir.all { function() insert(db, 1) end }
    end)
    assert.truthy(err.message:find("sqlite :memory:", 1, true))
    assert.equal("", all(db))
  end))

  it("is over with its function, and so is its handle", with_table(function(db)
    local kept
    db:transaction(function(tx) kept = tx end)
    local err = helper.error("closed", insert, kept, 1)
    assert.equal("sqlite:query: the transaction has ended", err.message)
    assert.is_true(kept.closed)
    assert.is_false(db.closed)
    helper.error("closed", kept.transaction, kept, print)
    helper.error("misuse", kept.close, kept)
  end))

  it("waits for what other tasks still do in it", with_table(function(db)
    local late, never
    db:transaction(function(tx)
      weir.detach(function()
        tx:transaction(function(inner)
          insert(inner, 1)
          weir.sleep(1)
          insert(inner, 2)
        end)
        late = true
        never = pcall(insert, tx, 3)
      end)
      weir.sleep(0.5)
    end)
    assert.is_true(late)
    assert.is_false(never)
    assert.equal("1 2", all(db))
  end))

  describe("inside another one", function()
    it("is a savepoint", with_table(function(db)
      db:transaction(function(tx)
        insert(tx, 1)
        tx:transaction(function(inner) insert(inner, 2) end)
        local ok = pcall(tx.transaction, tx, function(inner)
          insert(inner, 3)
          inner:transaction(function(innermost)
            insert(innermost, 4)
            insert(db, 5) -- the innermost of this task
          end)
          assert.equal("1 2 3 4 5", all(inner))
          error("only this one")
        end)
        assert.is_false(ok)
        assert.is_true(db.in_transaction)
        db:transaction(function() insert(db, 6) end)
      end)
      assert.equal("1 2 6", all(db))
    end))

    it("goes with the outer one", with_table(function(db)
      pcall(db.transaction, db, function(tx)
        tx:transaction(function(inner) insert(inner, 1) end)
        error("all of it")
      end)
      assert.equal("", all(db))
    end))

    it("takes no options", with_table(function(db)
      db:transaction(function(tx)
        helper.error("misuse", tx.transaction, tx, { mode = "immediate" }, print)
        tx:transaction({}, insert, 1)
      end)
      assert.equal("1", all(db))
    end))

    it("keeps the outer one waiting, if it is another task's", with_table(function(db)
      db:transaction(function(tx)
        weir.spawn(function()
          tx:transaction(function(inner)
            insert(inner, 1)
            weir.sleep(1)
            insert(inner, 2)
          end)
        end)
        weir.checkpoint()
        assert.equal("1 2", all(tx))
      end)
    end))
  end)

  describe("that SQLite ended", function()
    it("takes no further statement", with_table(function(db)
      insert(db, 1)
      local err = refused("SQLITE_ABORT_ROLLBACK", db.transaction, db, function(tx)
        insert(tx, 2)
        refused("SQLITE_CONSTRAINT_UNIQUE", tx.query, tx, "INSERT OR ROLLBACK INTO t VALUES (1)")
        insert(tx, 3)
      end)
      assert.equal("sqlite:query", err.op)
      assert.equal("1", all(db))
    end))

    it("does not count as committed", with_table(function(db)
      refused("SQLITE_ABORT_ROLLBACK", db.transaction, db, function(tx)
        insert(tx, 2)
        pcall(tx.query, tx, "INSERT OR ROLLBACK INTO t VALUES (2)")
      end)
      refused("SQLITE_ABORT_ROLLBACK", db.transaction, db, function(tx) tx:exec "ROLLBACK" end)
      assert.equal("", all(db))
    end))

    it("ends those inside it too", with_table(function(db)
      refused("SQLITE_ABORT_ROLLBACK", db.transaction, db, function(tx)
        pcall(tx.transaction, tx, function(inner) inner:exec "ROLLBACK" end)
        insert(tx, 1)
      end)
      assert.equal("", all(db))
    end))
  end)

  it("is refused while one is open that a statement began", with_table(function(db)
    db:exec "BEGIN"
    insert(db, 1)
    local err = helper.error("misuse", db.transaction, db, print)
    assert.truthy(err.message:find("begun by a statement", 1, true))
    assert.is_true(db.in_transaction)
    db:exec "COMMIT"
    assert.equal("1", all(db))
  end))

  it("checks its arguments", with_table(function(db)
    local wrong <const> = { {}, { 1 }, { {}, 1 }, { { mode = "exclusiv" }, print }, { { isolation = 1 }, print } }
    for _, arguments in ipairs(wrong) do
      local err = helper.error("misuse", db.transaction, db, table.unpack(arguments))
      assert.equal("sqlite:transaction", err.op)
    end
  end))

  it("may be of any mode", with_table(function(db)
    for i, mode in ipairs { "deferred", "immediate", "exclusive" } do
      db:transaction({ mode = mode }, insert, i)
    end
    assert.equal("1 2 3", all(db))
  end))

  it("fails at its end where a deferred constraint does, and is rolled back", with_table(function(db)
    db:exec [[
      CREATE TABLE child (x REFERENCES t (x) DEFERRABLE INITIALLY DEFERRED);
    ]]
    local err = refused("SQLITE_CONSTRAINT_FOREIGNKEY", db.transaction, db, function(tx)
      tx:query("INSERT INTO child VALUES (7)")
    end)
    assert.equal("sqlite:transaction", err.op)
    assert.equal(0, db:value("SELECT count(*) FROM child"))
  end))

  it("closes the loops that its function left open", with_table(function(db)
    for i = 1, 100 do insert(db, i) end
    db:transaction(function(tx)
      local next_row, rows = tx:rows("SELECT a.x FROM t AS a, t AS b")
      next_row(rows)
      tx:exec "DELETE FROM t WHERE x = 1"
    end)
    assert.equal(99, db:value("SELECT count(*) FROM t"))
    pcall(db.transaction, db, function(tx)
      local next_row, rows = tx:rows("SELECT a.x FROM t AS a, t AS b")
      next_row(rows)
      tx:exec "DELETE FROM t"
      error("no")
    end)
    assert.equal(99, db:value("SELECT count(*) FROM t"))
  end))

  it("can begin in a loop over rows", with_table(function(db)
    for i = 1, 5 do insert(db, i) end
    for row in db:rows("SELECT x FROM t WHERE x <= 5") do
      db:transaction(function(tx) insert(tx, 10 * row.x) end)
    end
    assert.equal("1 2 3 4 5 10 20 30 40 50", all(db))
  end))

  it("that a killed coroutine left closes the connection, which is all it can do", function()
    local output, code = helper.program [[
      local weir = require "weir"
      local sqlite = require "weir.sqlite"
      weir.run(function()
        local db = sqlite.open(":memory:")
        local co
        local task = weir.spawn(function()
          co = coroutine.running()
          db:transaction(function(tx)
            tx:exec "CREATE TABLE t (x)"
            weir.sleep(10)
          end)
        end)
        while not db.in_transaction do weir.sleep(0.001) end
        coroutine.close(co)
        task:cancel()
        task:pawait()
        local ok, err = pcall(db.query, db, "SELECT 1")
        print(db.closed, err.kind, err.message)
      end)
    ]]
    assert.equal(0, code)
    assert.truthy(output:find("ended and still held a permit of 'sqlite :memory:'", 1, true), output)
    assert.truthy(output:find("true%s+closed%s+sqlite:query: a transaction could not be rolled back"), output)
  end)

  -- --- every order, every cancel --------------------------------------------------------------------
  local function transfer(db, from, to, n)
    db:transaction(function(tx)
      local have = tx:value("SELECT n FROM account WHERE id = ?", from)
      if have < n then error("too little") end
      weir.checkpoint()
      tx:query("UPDATE account SET n = n - ? WHERE id = ?", n, from)
      tx:transaction(function(inner) inner:query("UPDATE account SET n = n + ? WHERE id = ?", n, to) end)
    end)
  end

  local function bank()
    local db <close> = sqlite.open(":memory:")
    db:exec "CREATE TABLE account (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO account VALUES (1, 10), (2, 10)"
    local check <close> = helper.closing(function() -- luacheck: ignore
      local ok, sum, open = pcall(weir.shield, function()
        return db:value("SELECT sum(n) FROM account"), db.in_transaction
      end)
      if not ok then error(sum, 0) end
      if sum ~= 20 or open then error(("the sum is %d, open: %s"):format(sum, tostring(open))) end
    end)
    weir.scope(function(s)
      s:spawn(pcall, transfer, db, 1, 2, 3)
      s:spawn(pcall, transfer, db, 2, 1, 15)
      for row in db:rows("SELECT n FROM account") do assert(row.n) end
    end)
  end

  it("keeps its word in every order", function()
    assert.truthy(helper.explore(bank) > 10)
  end)

  it("keeps its word under a cancel at every wait", function()
    local before = helper.run(function() return sqlite.memory_used() end)
    assert.truthy(helper.cancel_everywhere(bank) > 10)
    collectgarbage()
    collectgarbage()
    assert.truthy(sqlite.memory_used() <= before)
  end)

  it("keeps its word when memory runs out", function()
    assert.truthy(helper.fail_allocations(bank) > 3)
  end)
end)
