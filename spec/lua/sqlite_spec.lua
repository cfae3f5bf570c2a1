-- sqlite_spec.lua - weir.sqlite: what goes in and comes out. Databases in memory, on virtual time.

local helper = require "support.helper"
local support = require "support.sqlite"
local weir = require "weir"

local sqlite = support.sqlite
local refused, virtual = support.refused, support.virtual

describe("weir.sqlite", function()
  if not support.found then
    pending(support.missing)
    return
  end

  -- An `it` body with a database in memory: fn(db).
  local function with_db(fn)
    return virtual(function()
      local db <close> = sqlite.open(":memory:")
      fn(db)
    end)
  end

  local function with_table(fn)
    return with_db(function(db)
      db:exec [[
        CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, UNIQUE (name));
        INSERT INTO item (name, price) VALUES ('nut', 0.5), ('bolt', 1.25), ('nail', NULL);
      ]]
      fn(db)
    end)
  end

  describe("query", function()
    it("gives rows by column name, their number and the columns", with_table(function(db)
      local rows = db:query("SELECT id, name, price FROM item ORDER BY id")
      assert.equal(3, rows.n)
      assert.equal(3, #rows)
      assert.same({ "id", "name", "price" }, rows.columns)
      assert.same({ id = 1, name = "nut", price = 0.5 }, rows[1])
      assert.same({ id = 3, name = "nail" }, rows[3])
      assert.is_nil(rows.affected)
      assert.is_nil(rows.last_id)
    end))

    it("gives columns and no rows where there are none", with_table(function(db)
      local rows = db:query("SELECT id, name FROM item WHERE id > ?", 100)
      assert.equal(0, rows.n)
      assert.same({ "id", "name" }, rows.columns)
    end))

    it("says how many rows were changed, and the id of the last one", with_table(function(db)
      local result = db:query("INSERT INTO item (name) VALUES (?), (?)", "rod", "pin")
      assert.equal(2, result.affected)
      assert.equal(5, result.last_id)
      assert.equal(0, result.n)
      assert.same({}, result.columns)
      assert.equal(2, db.changes)
      assert.equal(4, db:query("UPDATE item SET price = 2 WHERE id > 1").affected)
      assert.equal(0, db:query("DELETE FROM item WHERE id = 77").affected)
      assert.equal(4, db.changes)
    end))

    it("gives what RETURNING returns, and counts as well", with_table(function(db)
      local result = db:query("INSERT INTO item (name) VALUES ('rod'), ('pin') RETURNING id, name")
      assert.same({ { id = 4, name = "rod" }, { id = 5, name = "pin" } }, { result[1], result[2] })
      assert.equal(2, result.affected)
      assert.equal(5, result.last_id)
      assert.equal(6, db:value("INSERT INTO item (name) VALUES ('cog'), ('cam') RETURNING id"))
      assert.equal(7, db:value("SELECT max(id) FROM item"))
      assert.equal(2, db.changes)
    end))

    it("takes more rows than one batch holds", with_db(function(db)
      local rows = db:query(support.count_to(5000))
      assert.equal(5000, rows.n)
      for i = 1, 5000 do assert(rows[i].x == i) end
      rows = db:query("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 50) "
        .. "SELECT x, zeroblob(10000) AS b FROM c")
      assert.equal(50, rows.n)
      assert.equal(10000, #rows[50].b)
    end))

    it("counts what RETURNING changed over several batches", with_db(function(db)
      db:exec "CREATE TABLE t (x)"
      local result = db:query("INSERT INTO t " .. support.count_to(3000) .. " RETURNING x")
      assert.equal(3000, result.n)
      assert.equal(3000, result.affected)
    end))

    it("keeps the last of two columns of one name, and lists both", with_db(function(db)
      local rows = db:query("SELECT 1 AS a, 2 AS a")
      assert.same({ a = 2 }, rows[1])
      assert.same({ "a", "a" }, rows.columns)
    end))

    it("takes options in a table", with_table(function(db)
      local rows = db:query { sql = "SELECT ? AS a, ? AS b, ? AS c", params = { 1, nil, nil, n = 3 }, timeout = 5 }
      assert.same({ { a = 1 } }, { rows[1] })
      assert.equal(2, db:value { sql = "SELECT ?", params = { 2 } })
      assert.equal("bolt", db:row({ sql = "SELECT name FROM item WHERE id = 2" }).name)
    end))

    it("sees a table that was changed since the statement was compiled", with_table(function(db)
      local sql = "SELECT * FROM item WHERE id = 1"
      assert.is_nil(db:row(sql).size)
      db:exec "ALTER TABLE item ADD COLUMN size INTEGER DEFAULT 7"
      assert.equal(7, db:row(sql).size)
    end))
  end)

  describe("row and value", function()
    it("give the first row, and its first column", with_table(function(db)
      assert.same({ id = 1, name = "nut" }, db:row("SELECT id, name FROM item ORDER BY id"))
      assert.equal("nut", db:value("SELECT name, id FROM item ORDER BY id"))
    end))

    it("give nil where there is none", with_table(function(db)
      assert.is_nil(db:row("SELECT * FROM item WHERE id = 9"))
      assert.is_nil(db:value("SELECT id FROM item WHERE id = 9"))
      assert.is_nil(db:value("DELETE FROM item"))
    end))

    it("read no more than that", with_db(function(db)
      assert.equal(1, db:value("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"))
    end))
  end)

  describe("a value", function()
    local function there_and_back(db, value)
      local row = db:row("SELECT ? AS v, typeof(?1) AS t", value)
      return row.v, row.t
    end

    it("is an integer of 64 bits", with_db(function(db)
      for _, n in ipairs { 0, 1, -1, 1 << 53, (1 << 53) + 1, math.maxinteger, math.mininteger } do
        local v, t = there_and_back(db, n)
        assert.equal(n, v)
        assert.equal("integer", math.type(v))
        assert.equal("integer", t)
      end
    end))

    it("is a float, to the last bit", with_db(function(db)
      for _, x in ipairs { 0.1, -0.0, 1.0, 1e308, 5e-324, math.pi, math.huge, -math.huge } do
        local v, t = there_and_back(db, x)
        assert.equal(("%a"):format(x), ("%a"):format(v))
        assert.equal("float", math.type(v))
        assert.equal("real", t)
      end
    end))

    it("that is not a number becomes NULL, as SQLite has it", with_db(function(db)
      assert.is_nil((there_and_back(db, 0 / 0)))
    end))

    it("is text, NULs, bad UTF-8 and all", with_db(function(db)
      for _, s in ipairs { "", "a", "a\0b", "\0", "ü€😀", "\xff\xfe", ("x"):rep(1000000) } do
        local v, t = there_and_back(db, s)
        assert.is_true(v == s)
        assert.equal("text", t)
      end
    end))

    it("is a blob, and comes back as a string", with_db(function(db)
      for _, s in ipairs { "", "\0\1\2", ("\xff\0"):rep(100000) } do
        local v, t = there_and_back(db, sqlite.blob(s))
        assert.is_true(v == s)
        assert.equal("blob", t)
      end
    end))

    it("is a boolean, stored as 0 or 1", with_db(function(db)
      assert.equal(1, (there_and_back(db, true)))
      assert.equal(0, (there_and_back(db, false)))
    end))

    it("is nil, also at the end, or sqlite.null", with_db(function(db)
      local row = db:row("SELECT ? IS NULL AS a, ? AS b, ? IS NULL AS c", nil, 1, nil)
      assert.same({ a = 1, b = 1, c = 1 }, row)
      assert.equal(1, db:value { sql = "SELECT ? IS NULL", params = { sqlite.null } })
    end))

    it("is taken as the column has it", with_db(function(db)
      db:exec "CREATE TABLE t (i INTEGER, r REAL, s TEXT, b)"
      db:query("INSERT INTO t VALUES (?, ?, ?, ?)", "12", 3, 4, "5")
      local row = db:row("SELECT * FROM t")
      assert.same({ i = 12, r = 3.0, s = "4", b = "5" }, row)
      assert.equal("float", math.type(row.r))
    end))

    it("of another type is misuse", with_db(function(db)
      for _, v in ipairs { setmetatable({}, {}), print, io.stdout, coroutine.create(print) } do
        local err = helper.error("misuse", db.query, db, "SELECT 1, ?", v)
        assert.truthy(err.message:find("parameter 1 must be nil, a boolean, a number, a string or a blob, got "))
      end
      assert.equal(1, db:value("SELECT 1"))
      helper.error("misuse", sqlite.blob, 12)
    end))
  end)

  describe("exec", function()
    it("runs several statements and says what they changed", with_table(function(db)
      assert.equal(4, db:exec "UPDATE item SET price = 1; ; DELETE FROM item WHERE id = 1; -- the end")
      assert.is_nil(db:exec "SELECT 1")
      assert.is_nil(db:exec "")
      assert.equal(0, db:exec "CREATE TABLE other (x)")
    end))

    it("stops at the statement that fails", with_table(function(db)
      local script = "DELETE FROM item WHERE id = 1; DELETE FRM item; DELETE FROM item"
      local err = refused("SQLITE_ERROR", db.exec, db, script)
      assert.equal("sqlite:exec", err.op)
      assert.equal(39, err.position)
      assert.truthy(err.message:find("in: DELETE FRM item", 1, true))
      assert.equal(2, db:value("SELECT count(*) FROM item"))
    end))

    it("takes no parameters", with_table(function(db)
      local err = helper.error("misuse", db.exec, db, "DELETE FROM item WHERE id = ?")
      assert.truthy(err.message:find("exec takes no parameters", 1, true))
    end))
  end)

  describe("rows", function()
    it("gives one after the other", with_table(function(db)
      local names = {}
      for row in db:rows("SELECT name FROM item WHERE id > ? ORDER BY id", 1) do names[#names + 1] = row.name end
      assert.same({ "bolt", "nail" }, names)
    end))

    it("gives as many as there are", with_db(function(db)
      local n = 0
      for row in db:rows(support.count_to(20000)) do
        n = n + 1
        assert(row.x == n)
      end
      assert.equal(20000, n)
    end))

    it("can be left, and the connection goes on", with_db(function(db)
      for round = 1, 3 do
        local seen = 0
        for row in db:rows(support.count_to(100000)) do
          seen = row.x
          if seen == 1000 * round then break end
        end
        assert.equal(1000 * round, seen)
        assert.equal(round, db:value("SELECT ?", round))
      end
      assert.is_false(pcall(function()
        for _ in db:rows(support.count_to(100000)) do error("enough") end
      end))
      assert.equal(1, db:value("SELECT 1"))
    end))

    it("can be nested, and the connection used in between", with_table(function(db)
      local seen = {}
      for a in db:rows("SELECT id FROM item ORDER BY id") do
        for b in db:rows("SELECT id FROM item ORDER BY id") do
          seen[#seen + 1] = a.id .. b.id
          if b.id == 2 then break end
        end
        db:query("UPDATE item SET price = price + 1 WHERE id = ?", a.id)
      end
      assert.equal("11 12 21 22 31 32", table.concat(seen, " "))
      assert.equal(2.25, db:value("SELECT price FROM item WHERE id = 2"))
    end))

    it("can be taken by hand", with_db(function(db)
      local next_row, rows = db:rows(support.count_to(3))
      assert.equal(1, next_row(rows).x)
      assert.equal(2, next_row(rows).x)
      assert.equal(3, next_row(rows).x)
      assert.is_nil(next_row(rows))
      assert.is_nil(next_row(rows))
      rows:close()
      rows:close()
      next_row, rows = db:rows(support.count_to(10000))
      assert.equal(1, next_row(rows).x)
      rows:close()
      assert.is_nil(next_row(rows))
      assert.equal(1, db:value("SELECT 1"))
    end))

    it("is closed by the task that reads alone", with_db(function(db)
      local _, rows <close> = db:rows(support.count_to(10000))
      local err = helper.error("misuse", weir.all, { function() rows:close() end })
      assert.truthy(err.message:find("only the task that reads", 1, true))
    end))

    it("commits what it changed when it is left", with_db(function(db)
      db:exec "CREATE TABLE t (x)"
      for row in db:rows("INSERT INTO t " .. support.count_to(2000) .. " RETURNING x") do
        if row.x == 2 then break end
      end
      assert.equal(2000, db:value("SELECT count(*) FROM t"))
      assert.is_false(db.in_transaction)
    end))

    it("lets others run between two rows", with_db(function(db)
      local done = false
      weir.spawn(function() done = true end)
      for _ in db:rows(support.count_to(1000)) do -- luacheck: ignore
        if done then break end
      end
      assert.is_true(done)
    end))
  end)

  describe("a prepared statement", function()
    it("runs again and again", with_table(function(db)
      local by_id <close> = db:prepare "SELECT * FROM item WHERE id = ?"
      assert.equal("nut", by_id:row(1).name)
      assert.equal("bolt", by_id:query(2)[1].name)
      assert.equal(3, by_id:value(3))
      for row in by_id:rows(1) do assert.equal("nut", row.name) end
    end))

    it("can run inside itself", with_table(function(db)
      local above <close> = db:prepare "SELECT id FROM item WHERE id > ? ORDER BY id"
      local seen = {}
      for a in above:rows(0) do
        for b in above:rows(a.id) do seen[#seen + 1] = a.id .. b.id end
      end
      assert.equal("12 13 23", table.concat(seen, " "))
    end))

    it("that is wrong is refused when it is prepared", with_db(function(db)
      local err = refused("SQLITE_ERROR", db.prepare, db, "SELECT * FROM nowhere")
      assert.equal("sqlite:prepare", err.op)
      assert.equal(1, db:value("SELECT 1"))
    end))

    it("is of no use once it is closed, or its connection is", with_table(function(db)
      local statement = db:prepare "SELECT 1"
      statement:close()
      statement:close()
      helper.error("closed", statement.value, statement)
      local other = sqlite.open(":memory:")
      statement = other:prepare "SELECT 1"
      other:close()
      helper.error("closed", statement.value, statement)
      statement:close()
    end))

    it("may be forgotten", with_table(function(db)
      for i = 1, 200 do
        db:prepare("SELECT " .. i)
        if i % 50 == 0 then collectgarbage() end
      end
      assert.equal(1, db:value("SELECT 1"))
    end))
  end)

  describe("the cache of statements", function()
    -- How much more memory 900 statements take once 100 are known.
    local function growth(statements)
      return helper.run(function()
        local options = { path = ":memory:", statements = statements }
        local db <close> = sqlite.open(options)
        for round = 1, 3 do
          for i = 1, 100 do assert(db:value(("SELECT %d + ?"):format(i), round) == i + round) end
        end
        local used = sqlite.memory_used()
        for i = 101, 1000 do db:value(("SELECT %d + 1"):format(i)) end
        return sqlite.memory_used() - used
      end)
    end

    it("is bounded", function()
      assert.truthy(growth(5000) > 900 * 500)
      assert.truthy(growth(10) < 20000)
      assert.truthy(growth(0) < 20000)
    end)

    it("does not keep what could not be compiled", with_db(function(db)
      for i = 1, 100 do refused("SQLITE_ERROR", db.query, db, "SELECT * FROM t" .. i) end
      db:exec "CREATE TABLE t1 (x)"
      assert.equal(0, db:query("SELECT * FROM t1").n)
    end))
  end)

  describe("an error", function()
    it("names SQLite's code, the constraint and the statement", with_table(function(db)
      local err = refused("SQLITE_CONSTRAINT_UNIQUE", db.query, db, "INSERT INTO item (name)\n  VALUES (?)", "nut")
      assert.equal("sqlite:query: UNIQUE constraint failed: item.name (SQLITE_CONSTRAINT_UNIQUE) in: "
        .. "INSERT INTO item (name) VALUES (?)", err.message)
      assert.equal("sqlite:query", err.op)
      assert.equal("item.name", err.constraint)
      assert.equal("UNIQUE constraint failed: item.name", err.detail)
      assert.truthy(err.traceback:find("sqlite_spec.lua", 1, true))
      err = refused("SQLITE_CONSTRAINT_PRIMARYKEY", db.query, db, "INSERT INTO item (id, name) VALUES (1, 'x')")
      assert.equal("item.id", err.constraint)
      err = refused("SQLITE_CONSTRAINT_NOTNULL", db.query, db, "INSERT INTO item (id) VALUES (8)")
      assert.equal("item.name", err.constraint)
    end))

    it("names a check, a foreign key and a trigger", with_db(function(db)
      db:exec [[
        CREATE TABLE a (id INTEGER PRIMARY KEY, n CONSTRAINT positive CHECK (n > 0));
        CREATE TABLE b (a REFERENCES a);
        CREATE TRIGGER no AFTER DELETE ON a BEGIN SELECT raise(ABORT, 'stays'); END;
        INSERT INTO a VALUES (1, 1);
      ]]
      local err = refused("SQLITE_CONSTRAINT_CHECK", db.query, db, "INSERT INTO a VALUES (2, 0)")
      assert.equal("positive", err.constraint)
      refused("SQLITE_CONSTRAINT_FOREIGNKEY", db.query, db, "INSERT INTO b VALUES (?)", 5)
      assert.equal("stays", refused("SQLITE_CONSTRAINT_TRIGGER", db.query, db, "DELETE FROM a").detail)
    end))

    it("says where in the text", with_db(function(db)
      local err = refused("SQLITE_ERROR", db.query, db, "SELECT 1 FROM nowhere")
      assert.is_nil(err.position)
      err = refused("SQLITE_ERROR", db.query, db, "SELECT 1 + nothing")
      assert.equal(12, err.position)
    end))

    it("shows the beginning of a long statement, and no half of a letter", with_db(function(db)
      local err = refused("SQLITE_ERROR", db.query, db, "SELECT x, '" .. ("ü"):rep(500) .. "'")
      local head = err.message:match("in: (.*)$")
      assert.truthy(#head < 100)
      assert.truthy(head:find("üü...", 1, true))
      assert.truthy(utf8.len(head))
    end))

    it("in a later batch ends the query", with_db(function(db)
      db:exec "CREATE TABLE t (j)"
      db:query("INSERT INTO t " .. support.count_to(3000):gsub("SELECT x FROM",
        "SELECT CASE x WHEN 2500 THEN 'no' ELSE '{}' END FROM"))
      refused("SQLITE_ERROR", db.query, db, "SELECT json(j) FROM t")
      local n = 0
      refused("SQLITE_ERROR", function()
        for _ in db:rows("SELECT json(j) FROM t") do n = n + 1 end
      end)
      assert.truthy(n > 1000 and n < 2500)
      assert.equal(1, db:value("SELECT 1"))
    end))

    it("of the caller's names what was expected", with_db(function(db)
      local function misuse(text, ...)
        local err = helper.error("misuse", ...)
        assert.truthy(err.message:find(text, 1, true), err.message)
      end
      misuse("sqlite:query: parameters wanted: 2, got: 1, in: SELECT ?, ?", db.query, db, "SELECT ?, ?", 1)
      misuse("sqlite:row: parameters wanted: 0, got: 2, in: SELECT 1", db.row, db, "SELECT 1", 1, nil)
      misuse("sqlite:query: one statement at a time", db.query, db, "SELECT 1; SELECT 2")
      misuse("sqlite:query: there is no statement in '-- nothing'", db.query, db, "-- nothing")
      misuse("sqlite:value: 'sql' must be a string, got number 12", db.value, db, 12)
      misuse("sqlite:query: 'sql' must have no NUL", db.query, db, "SELECT 1\0")
      misuse("sqlite:query: unknown option 'tiemout'", db.query, db, { sql = "SELECT 1", tiemout = 1 })
      misuse("sqlite:query: 'sql' must be a string, got nil", db.query, db, {})
      misuse("sqlite:query: 'timeout' must be a number", db.query, db, { sql = "SELECT 1", timeout = -1 })
      misuse("sqlite:query: 'params' must be a table", db.query, db, { sql = "SELECT 1", params = 1 })
      misuse("sqlite:query: 'params.n' must be an integer", db.query, db, { sql = "SELECT 1", params = { n = 1.5 } })
      misuse("sqlite:row: 'params.n' must be an integer", db.row, db, { sql = "SELECT 1", params = { n = 1 << 40 } })
      misuse("query: is a method of a connection: db:query(...), with a colon", db.query, "SELECT 1")
      misuse("exec: is a method of a connection: db:exec(...), with a colon", db.exec, "SELECT 1")
      misuse("rows: is a method of a connection: db:rows(...), with a colon", db.rows)
      misuse("sqlite:exec: 'sql' must be a string", db.exec, db, nil)
      misuse("sqlite:rows: 'sql' must be a string", db.rows, db, nil)
      misuse("sqlite:prepare: 'sql' must be a string", db.prepare, db, nil)
      assert.equal(1, db:value("SELECT 1; -- and no more"))
    end))
  end)

  describe("open", function()
    it("checks its options", virtual(function()
      local function misuse(text, options)
        local err = helper.error("misuse", sqlite.open, options)
        assert.truthy(err.message:find(text, 1, true), err.message)
      end
      misuse("sqlite.open: 'options' must be a table, or the path alone, got nil", nil)
      misuse("sqlite.open: 'path' must be a string, got nil", {})
      misuse("sqlite.open: 'path' must have no NUL", "a\0b")
      misuse("sqlite.open: unknown option 'pth'", { pth = "x" })
      misuse("sqlite.open: 'busy_timeout' must be a number", { path = "", busy_timeout = "5" })
      misuse("sqlite.open: 'readonly' must be a boolean", { path = "", readonly = 1 })
      misuse("sqlite.open: 'statements' must be a positive integer", { path = "", statements = -1 })
      misuse('sqlite.open: \'synchronous\' must be "off", "normal", "full" or "extra"', { path = "", synchronous = 1 })
      misuse("sqlite.open: a database that is opened to be read", { path = "", readonly = true, create = true })
      misuse("sqlite.open: 'timeout' must be", { path = "", timeout = 0 / 0 })
    end))

    it("sets foreign keys, and synchronous by the journal", virtual(function()
      local db <close> = sqlite.open(":memory:")
      assert.equal(1, db:value("PRAGMA foreign_keys"))
      assert.equal(2, db:value("PRAGMA synchronous"))
      local other <close> = sqlite.connect { path = "", foreign_keys = false, synchronous = "off" }
      assert.equal(0, other:value("PRAGMA foreign_keys"))
      assert.equal(0, other:value("PRAGMA synchronous"))
    end))

    it("shows what it is as text", virtual(function()
      local db = sqlite.open(":memory:")
      assert.equal("weir.sqlite (:memory:)", tostring(db))
      assert.is_false(db.closed)
      db:transaction(function(tx) assert.equal("weir.sqlite transaction (:memory:)", tostring(tx)) end)
      db:close()
      assert.equal("weir.sqlite (:memory:, closed)", tostring(db))
      assert.is_true(db.closed)
      assert.truthy(sqlite.version:find("^3%.%d+%.%d+$"))
    end))

    it("is a wait, for tasks alone", function()
      local output, code = helper.program [[
        local sqlite = require "weir.sqlite"
        local ok, err = pcall(sqlite.open, ":memory:")
        io.write(require("weir").kind(err), " ", tostring(err))
      ]]
      assert.equal(0, code)
      assert.truthy(output:find("^misuse sqlite:open: must be called inside a task"))
    end)
  end)

  describe("a closed connection", function()
    it("refuses everything with `closed`", virtual(function()
      local db = sqlite.open(":memory:")
      db:close()
      db:close()
      for _, call in ipairs { db.query, db.row, db.value, db.exec, db.rows, db.prepare } do
        local err = helper.error("closed", call, db, "SELECT 1")
        assert.truthy(err.message:find("the connection is closed", 1, true))
        assert.equal(":memory:", err.name)
      end
      helper.error("closed", db.transaction, db, print)
      helper.error("closed", db.backup, db, "/tmp/never")
      assert.is_false(db.in_transaction)
    end))

    it("leaves a loop that was open", virtual(function()
      local db = sqlite.open(":memory:")
      local next_row, rows <close> = db:rows(support.count_to(5000))
      next_row(rows)
      db:close()
      helper.error("closed", function()
        while next_row(rows) do end -- luacheck: ignore
      end)
    end))
  end)
end)
