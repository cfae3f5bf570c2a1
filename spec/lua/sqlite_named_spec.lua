-- sqlite_named_spec.lua - parameters by name: a table for all of them, and what is wrong with it said by name.

local helper = require "support.helper"

local has_sqlite, sqlite = pcall(require, "weir.sqlite")

describe("weir.sqlite: parameters by name", function()
  if not has_sqlite then
    pending("built without SQLite")
    return
  end

  local function with_db(fn)
    return function()
      helper.run(function()
        local db <close> = sqlite.open ":memory:"
        fn(db)
      end)
    end
  end

  local function misuse(text, ...)
    local err = helper.error("misuse", ...)
    assert.truthy(err.message:find(text, 1, true), err.message)
  end

  it("are given in a table, whichever sign stands before them", with_db(function(db)
    assert.same({ a = 1, b = "two", c = 3.5 },
      db:row("SELECT :id AS a, @name AS b, $share AS c", { id = 1, name = "two", share = 3.5 }))
    assert.equal(7, db:value("SELECT :n + :n + @n - $n - :n + :n", { n = 3.5 }))
    assert.equal(1, db:value("SELECT :only IS NULL", { only = sqlite.null }))
    assert.equal("blob", db:value("SELECT typeof(:b)", { b = sqlite.blob "x" }))
    assert.equal(9, db:value("SELECT $part::two(x)", { ["part::two(x)"] = 9 }))
  end))

  it("work in all that takes parameters", with_db(function(db)
    db:exec "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)"
    for i = 1, 3 do
      assert.equal(1, db:query("INSERT INTO t (id, s) VALUES (:id, :s)", { s = "s" .. i, id = i }).affected)
    end
    assert.equal(2, db:query("SELECT * FROM t WHERE id > $least", { least = 1 }).n)
    assert.equal(2, db:query { sql = "SELECT * FROM t WHERE id > $least", params = { least = 1 }, timeout = 5 }.n)
    local seen = {}
    for row in db:rows("SELECT s FROM t WHERE id < :most ORDER BY id", { most = 3 }) do seen[#seen + 1] = row.s end
    assert.same({ "s1", "s2" }, seen)
    for row in db:rows { sql = "SELECT s FROM t WHERE id = :id", params = { id = 3 } } do seen[3] = row.s end
    assert.equal("s3", seen[3])
    local statement = db:prepare "SELECT s FROM t WHERE id = :id"
    assert.equal("s1", statement:value { id = 1 })
    assert.equal("s2", statement:value { id = 2 })
    assert.equal("s3", statement:value(3)) -- by number, as ever
    assert.equal("s1", statement:value { id = 1 })
  end))

  it("that have no value are misuse, and named", with_db(function(db)
    misuse("sqlite:row: parameter ':b' has no value: SELECT :a, :b", db.row, db, "SELECT :a, :b", { a = 1 })
    misuse("sqlite:query: parameter '@a' has no value", db.query, db, "SELECT @a", {})
    misuse("parameter 2 has no name", db.query, db, "SELECT :a, ?", { a = 1 })
    misuse("parameter 1 has no name", db.query, db, "SELECT ?1", { ["1"] = 1 })
    assert.equal(5, db:value("SELECT :a + :b", { a = 2, b = 3 })) -- nothing of the calls before is left
  end))

  it("that nobody asked for are misuse, and named", with_db(function(db)
    misuse("sqlite:query: there is no parameter 'idd': SELECT :id", db.query, db, "SELECT :id", { id = 1, idd = 2 })
    misuse("there is no parameter ':id'", db.query, db, "SELECT :id", { [":id"] = 1 })
    misuse("there is no parameter 'i'", db.query, db, "SELECT 1", { i = 1 })
    misuse("there is no parameter 'ID'", db.query, db, "SELECT :id", { ID = 1 })
    assert.equal(1, db:value("SELECT :id", { id = 1 }))
  end))

  it("have values of SQLite's types, and names for keys", with_db(function(db)
    misuse("parameter 'f' must be nil, a boolean, a number, a string or a blob, got function", db.query, db,
      "SELECT :f", { f = print })
    misuse("parameter 't' must be nil", db.query, db, "SELECT :t", { t = {} })
    misuse("must have their names as its keys, got a number", db.query, db, "SELECT :a", { 1 })
    misuse("must have their names as its keys, got a boolean", db.query, db, "SELECT :a", { [true] = 1 })
    misuse("parameter 2 must be nil", db.query, db, "SELECT ?, :a", 1, { a = 1 })
  end))

  it("are as many as the statement has", with_db(function(db)
    local words, values = {}, {}
    for i = 1, 500 do
      words[i] = ":p" .. i
      values["p" .. i] = i
    end
    assert.equal(500 * 501 // 2, db:value("SELECT " .. table.concat(words, " + "), values))
  end))

  it("leave nothing behind where memory is short", function()
    helper.fail_allocations(function()
      local db <close> = sqlite.open ":memory:"
      assert.equal(3, db:value("SELECT :a + :b", { a = 1, b = 2 }))
    end)
  end)
end)
