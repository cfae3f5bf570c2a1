-- postgres_transaction_spec.lua - transactions of weir.postgres: they commit, or nothing of them is left.

local client = require "support.postgres_client"
local helper = require "support.helper"
local weir = require "weir"

describe("weir.postgres transaction #real", function()
  if not client.found then
    pending(client.missing)
    return
  end

  local postgres = client.postgres
  local get = client.server(setup, teardown)

  local function with(fn)
    return client.with(get, function(db, server)
      db:exec("create temp table t (a int primary key)")
      fn(db, server)
      assert.equal("idle", db:value("select case when pg_current_xact_id_if_assigned() is null then 'idle' end"))
    end)
  end

  local function add(db, n) db:query("insert into t values ($1)", n) end
  local function all(db) return db:value("select coalesce(string_agg(a::text, ',' order by a), '') from t") end

  it("commits, and returns what its function returned", with(function(db)
    local results = table.pack(db:transaction(function(tx, ...)
      add(tx, 1)
      add(db, 2) -- the same task: the connection means its transaction
      return select("#", ...), nil, ...
    end, "a", nil))
    assert.same({ 2, nil, "a", nil, n = 4 }, results)
    assert.equal("1,2", all(db))
  end))

  it("rolls back when it fails, and passes the error on unchanged", with(function(db)
    local mine = {}
    local ok, err = pcall(db.transaction, db, function(tx)
      add(tx, 1)
      error(mine, 0)
    end)
    assert.is_false(ok)
    assert.is_true(err == mine)
    assert.equal("23505", helper.error("query", db.transaction, db, function(tx)
      add(tx, 1)
      add(tx, 1)
    end).sqlstate)
    assert.equal("", all(db))
  end))

  it("rolls back when it is cancelled or times out, wherever it stands", with(function(db)
    for _, body in ipairs {
      function(tx) tx:query("select pg_sleep(10)") end, function() weir.sleep(10) end,
      function(tx) for _ in tx:rows("select generate_series(1, 100000)") do weir.sleep(10) end end,
      function(tx) tx:transaction(function(inner) add(inner, 2) inner:query("select pg_sleep(10)") end) end,
      function(tx) local _ = tx:copy_in("copy t from stdin") weir.sleep(10) end,
    } do
      helper.error("timeout", weir.timeout, 0.03, db.transaction, db, function(tx)
        add(tx, 1)
        body(tx)
      end)
      local task = weir.spawn(db.transaction, db, function(tx)
        add(tx, 1)
        body(tx)
      end)
      weir.sleep(0.03)
      task:cancel("enough")
      local _, err = task:pawait()
      assert.same({ "cancelled", "enough" }, { weir.kind(err), err.reason })
      assert.equal("", all(db))
    end
  end))

  it("says so when a failed statement was swallowed and it cannot commit", with(function(db)
    local err = helper.error("query", db.transaction, db, function(tx)
      add(tx, 1)
      pcall(tx.query, tx, "select 1 / 0")
      assert.equal("25P02", helper.error("query", tx.query, tx, "select 1").sqlstate)
    end)
    assert.equal("25P02", err.sqlstate)
    assert.equal("", all(db))
  end))

  it("fails where its commit fails", with(function(db)
    db:exec("create temp table child (a int references t deferrable initially deferred)")
    local err = helper.error("query", db.transaction, db, function(tx)
      tx:query("insert into child values (7)")
    end)
    assert.equal("23503", err.sqlstate)
    assert.equal("postgres:transaction", err.op)
    assert.equal(0, db:value("select count(*) from child"))
  end))

  it("has savepoints inside", with(function(db)
    db:transaction(function(tx)
      add(tx, 1)
      pcall(tx.transaction, tx, function(inner)
        add(inner, 2)
        inner:transaction(function(third) add(third, 3) end)
        error("undo", 0)
      end)
      tx:transaction(function() add(db, 4) end)
      helper.error("query", tx.transaction, tx, function(inner) inner:query("select 1 / 0") end)
      add(tx, 5)
    end)
    assert.equal("1,4,5", all(db))
  end))

  it("has isolation, and may be read only", with(function(db)
    db:transaction({ isolation = "serializable", readonly = true, deferrable = true }, function(tx)
      assert.same({ "serializable", "on", "on" }, { tx:value("show transaction_isolation"),
        tx:value("show transaction_read_only"), tx:value("show transaction_deferrable") })
      local err = helper.error("query", tx.transaction, tx, function(inner) inner:exec("create table no (a int)") end)
      assert.equal("25006", err.sqlstate)
      assert.equal(1, tx:value("select 1"))
      helper.error("misuse", tx.transaction, tx, { readonly = false }, print)
    end)
  end))

  it("fails with 40001 where two cannot both be", client.with(get, function(db)
    db:exec("create table account (id int primary key, n int); insert into account values (1, 0)")
    local other <close> = postgres.connect(get():url())
    local err = helper.error("query", db.transaction, db, { isolation = "repeatable read" }, function(tx)
      tx:value("select n from account")
      other:query("update account set n = n + 1")
      tx:query("update account set n = n + 1")
    end)
    assert.equal("40001", err.sqlstate)
    assert.equal(1, db:value("select n from account"))
  end))

  it("keeps others out until it ends, and serves its own tasks one after another", with(function(db)
    local seen
    weir.scope(function(s)
      s:spawn(function()
        db:transaction(function(tx)
          weir.each({ 1, 2, 3 }, function(n) add(tx, n) end)
          weir.sleep(0.02)
        end)
      end)
      s:spawn(function() seen = all(db) end)
    end)
    assert.equal("1,2,3", seen)
  end))

  it("cannot be used after its end", with(function(db)
    local kept
    db:transaction(function(tx) kept = tx end)
    helper.error("closed", kept.query, kept, "select 1")
    helper.error("misuse", kept.close, kept)
    helper.error("closed", db.transaction, db, function(tx)
      tx:exec("commit")
      add(tx, 1)
    end)
    assert.equal("", all(db))
  end))

  it("loses nothing when it is cancelled at any of its waits", client.with(get, function(db)
    db:exec("create table bank (id int primary key, n int); insert into bank values (1, 100), (2, 0)")
    local watcher <close> = postgres.connect(get():url())
    -- Cancel after the n-th statement of the client is on its way, for every n and several pauses.
    for n = 1, 8 do
      for _, pause in ipairs { 0, 0.0002, 0.002 } do
        local count = 0
        local task = weir.spawn(db.transaction, db, function(tx)
          local function step(...)
            count = count + 1
            tx:query(...)
          end
          for _ = 1, 3 do
            step("update bank set n = n - 10 where id = 1")
            step("update bank set n = n + 10 where id = 2")
          end
        end)
        client.eventually(function() return count >= math.min(n, 6) or task.status == "done" end)
        weir.sleep(pause)
        task:cancel()
        task:pawait()
        assert.equal(100, watcher:value("select sum(n) from bank"))
        assert.equal(0, watcher:value("select sum(n) % 30 from bank where id = 2"))
        assert.equal(1, db:value("select 1"))
      end
    end
  end))

  it("serves who waits for it when its function returns, and tells who comes later", with(function(db)
    local second, late
    assert.equal("done", db:transaction(function(tx)
      weir.spawn(tx.value, tx, "select pg_sleep(0.02)")
      second = weir.spawn(tx.value, tx, "select 2")
      late = weir.spawn(function()
        weir.sleep(0.005)
        return pcall(tx.value, tx, "select 3")
      end)
      weir.checkpoint()
      return "done"
    end))
    assert.equal(2, second:await())
    local ok, err = late:await()
    assert.same({ false, "closed" }, { ok, weir.kind(err) })
    assert.equal("postgres:value: the transaction ends: its function has returned", tostring(err))
  end))
end)
