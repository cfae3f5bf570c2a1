-- sqlite_file_spec.lua - weir.sqlite and files: what opening makes, what it refuses, backups.

local helper = require "support.helper"
local support = require "support.sqlite"
local weir = require "weir"

local sqlite = support.sqlite
local refused, real = support.refused, support.real

describe("weir.sqlite file #real", function()
  if not support.found then
    pending(support.missing)
    return
  end

  local function list(folder) return support.shell("ls " .. folder) end

  local function write(name, text)
    local file <close> = assert(io.open(name, "w"))
    file:write(text)
  end

  it("is made, with a write-ahead log", real(function(folder)
    local db <close> = sqlite.open(folder .. "/x.db")
    db:exec "CREATE TABLE t (x)"
    assert.equal("wal", db:value("PRAGMA journal_mode"))
    assert.equal(1, db:value("PRAGMA synchronous"))
    assert.equal("x.db\nx.db-shm\nx.db-wal\n", list(folder))
    db:close()
    assert.equal("x.db\n", list(folder))
  end))

  it("keeps its journal mode where that is asked for", real(function(folder)
    local db <close> = sqlite.open { path = folder .. "/x.db", wal = false }
    db:exec "CREATE TABLE t (x)"
    assert.equal("delete", db:value("PRAGMA journal_mode"))
    assert.equal(2, db:value("PRAGMA synchronous"))
    db:close()
    local other <close> = sqlite.open { path = folder .. "/x.db", synchronous = "extra" }
    assert.equal("wal", other:value("PRAGMA journal_mode"))
    assert.equal(3, other:value("PRAGMA synchronous"))
    other:close()
    local again <close> = sqlite.open { path = folder .. "/x.db", wal = false }
    assert.equal("wal", again:value("PRAGMA journal_mode"))
  end))

  it("that cannot have a log is refused one", real(function(folder)
    local uri = ("file:%s/x.db?vfs=unix-none"):format(folder) -- no locks, so no shared memory
    local err = refused("SQLITE_ERROR", sqlite.open, uri)
    assert.truthy(err.message:find("cannot have a write-ahead log, its journal stays 'delete'", 1, true))
    local db <close> = sqlite.open { path = uri, wal = false }
    assert.equal(1, db:value("SELECT 1"))
  end))

  it("that may not be made must be there", real(function(folder)
    local path = folder .. "/x.db"
    for _, options in ipairs { { create = false }, { readonly = true } } do
      options.path = path
      local err = refused("SQLITE_CANTOPEN", sqlite.open, options)
      assert.equal(("sqlite:open: cannot open '%s': No such file or directory (SQLITE_CANTOPEN)"):format(path),
        err.message)
    end
    sqlite.open(path):close()
    local db <close> = sqlite.open { path = path, create = false }
    assert.equal(1, db:value("SELECT 1"))
  end))

  it("that cannot be made is not said to be missed", real(function()
    local err = refused("SQLITE_CANTOPEN", sqlite.open, "/proc/x.db") -- where nobody can make one
    assert.equal("sqlite:open: cannot open '/proc/x.db': it is not there and cannot be made (SQLITE_CANTOPEN)",
      err.message)
  end))

  it("in a folder that is not there is refused, with its name", real(function(folder)
    local err = refused("SQLITE_CANTOPEN", sqlite.open, folder .. "/a/b/x.db")
    assert.equal(("sqlite:open: cannot open '%s/a/b/x.db': there is no folder '%s/a/b' (SQLITE_CANTOPEN)"):format(
      folder, folder), err.message)
    assert.equal("sqlite:open", err.op)
    assert.truthy(refused("SQLITE_CANTOPEN", sqlite.open, "nowhere/x.db").message:find("no folder 'nowhere'", 1, true))
  end))

  it("that is a folder is refused", real(function(folder)
    assert.truthy(refused("SQLITE_CANTOPEN", sqlite.open, folder).message:find("Is a directory", 1, true))
  end))

  it("that is no database is refused", real(function(folder)
    write(folder .. "/x.db", ("this is not a database\n"):rep(100))
    local err = refused("SQLITE_NOTADB", sqlite.open, folder .. "/x.db")
    assert.equal(("sqlite:open: cannot open '%s/x.db': file is not a database (SQLITE_NOTADB)"):format(folder),
      err.message)
    assert.equal("sqlite:open", err.op)
    assert.equal("file is not a database", err.detail)
  end))

  it("on a full disk says so", real(function()
    local err = refused("SQLITE_FULL", sqlite.open, "/dev/full")
    assert.equal("sqlite:open: cannot open '/dev/full': database or disk is full (SQLITE_FULL)", err.message)
  end))

  it("that is open for reading cannot be written", real(function(folder)
    local path = folder .. "/x.db"
    local writer <close> = sqlite.open(path)
    writer:exec "CREATE TABLE t (x); INSERT INTO t VALUES (1)"
    local db <close> = sqlite.open { path = path, readonly = true }
    refused("SQLITE_READONLY", db.exec, db, "INSERT INTO t VALUES (2)")
    assert.equal(1, db:value("SELECT count(*) FROM t"))
    writer:exec "INSERT INTO t VALUES (3)"
    assert.equal(2, db:value("SELECT count(*) FROM t"))
  end))

  it("may be temporary, and of a strange name", real(function(folder)
    local temporary <close> = sqlite.open ""
    temporary:exec "CREATE TABLE t (x)"
    assert.equal(0, temporary:value("SELECT count(*) FROM t"))
    local db <close> = sqlite.open(folder .. "/ü 'x'%.db")
    db:exec "CREATE TABLE t (x)"
    assert.truthy(list(folder):find("ü 'x'%.db", 1, true))
  end))

  it("is seen whole by each connection", real(function(folder)
    local one <close> = sqlite.open(folder .. "/x.db")
    local two <close> = sqlite.open(folder .. "/x.db")
    one:exec "CREATE TABLE t (x)"
    one:transaction(function(tx)
      tx:exec "INSERT INTO t VALUES (1)"
      assert.equal(0, two:value("SELECT count(*) FROM t"))
    end)
    assert.equal(1, two:value("SELECT count(*) FROM t"))
    -- a loop sees what was there when it began
    one:query("INSERT INTO t " .. support.count_to(3000))
    local n = 0
    for _ in two:rows("SELECT x FROM t") do
      if n == 0 then one:exec "DELETE FROM t" end
      n = n + 1
    end
    assert.equal(3001, n)
    assert.equal(0, two:value("SELECT count(*) FROM t"))
  end))

  describe("backup", function()
    local function with_data(fn)
      return real(function(folder)
        local db <close> = sqlite.open(folder .. "/x.db")
        db:exec "CREATE TABLE t (x)"
        db:query("INSERT INTO t " .. support.count_to(20000))
        fn(db, folder)
      end)
    end

    it("copies the database as it is, while others write", with_data(function(db, folder)
      local other <close> = sqlite.open(folder .. "/x.db")
      weir.all {
        function() db:backup(folder .. "/copy.db") end,
        function() for _ = 1, 20 do other:exec "INSERT INTO t VALUES (0)" end end,
      }
      local copy <close> = sqlite.open(folder .. "/copy.db")
      assert.equal("ok", copy:value("PRAGMA integrity_check"))
      local n = copy:value("SELECT count(*) FROM t")
      assert.truthy(n >= 20000 and n <= 20020)
    end))

    it("overwrites nothing", with_data(function(db, folder)
      write(folder .. "/there", "mine")
      local err = refused("SQLITE_CANTOPEN", db.backup, db, folder .. "/there")
      assert.equal(("sqlite:backup: cannot open '%s/there': File exists (SQLITE_CANTOPEN)"):format(folder), err.message)
      local file <close> = assert(io.open(folder .. "/there"))
      assert.equal("mine", file:read("a"))
      refused("SQLITE_CANTOPEN", db.backup, db, folder .. "/x.db")
      db:transaction(function(tx)
        local why = refused("SQLITE_ERROR", tx.backup, tx, folder .. "/copy.db")
        assert.equal("sqlite:backup", why.op)
      end)
      err = refused("SQLITE_CANTOPEN", db.backup, db, folder .. "/nowhere/copy.db")
      assert.truthy(err.message:find(("there is no folder '%s/nowhere'"):format(folder), 1, true))
      for _, path in ipairs { 12, "", ":memory:", "file:copy.db", folder .. "/copy.db\0" } do
        helper.error("misuse", db.backup, db, path)
      end
      assert.is_nil(list(folder):find("copy", 1, true))
    end))

    it("that comes second, or is given up, leaves the first one's copy alone", with_data(function(db, folder)
      local path = folder .. "/copy.db"
      for _, end_it in ipairs { weir.checkpoint, function(task) task:cancel() end } do
        local first, second
        db:transaction(function() -- both have found no file when they begin to wait
          first, second = weir.spawn(pcall, db.backup, db, path), weir.spawn(pcall, db.backup, db, path)
          weir.sleep(0)
        end)
        assert.is_true((first:await()))
        end_it(second)
        local _, is_done = second:pawait()
        assert.is_not_true(is_done)
        local copy <close> = sqlite.open { path = path, create = false }
        assert.equal(20000, copy:value("SELECT count(*) FROM t"))
        copy:close()
        os.remove(path)
      end
    end))

    it("to a database that is in use takes none of its locks", real(function(folder)
      local path = folder .. "/x.db"
      local db <close> = sqlite.open { path = path, wal = false }
      db:exec "CREATE TABLE t (x)"
      local program = ([[
        local weir = require "weir"
        local sqlite = require "weir.sqlite"
        weir.run(function()
          local db <close> = sqlite.open { path = %q, wal = false, busy_timeout = 0 }
          local ok, err = pcall(db.exec, db, "INSERT INTO t VALUES (1)")
          io.write(ok and "written" or err.code)
        end)
      ]]):format(path)
      db:transaction({ mode = "immediate" }, function(tx)
        local other <close> = sqlite.open ":memory:"
        refused("SQLITE_CANTOPEN", other.backup, other, path)
        assert.equal("SQLITE_BUSY", (helper.program(program)))
        tx:exec "INSERT INTO t VALUES (2)"
      end)
      assert.equal("written", (helper.program(program)))
    end))

    it("that is given up leaves nothing", with_data(function(db, folder)
      db:query("INSERT INTO t " .. support.count_to(300000))
      for i = 1, 5 do
        local task = weir.spawn(db.backup, db, folder .. "/copy.db")
        weir.sleep(0.002 * i)
        task:cancel()
        local ok = task:pawait()
        assert.equal(ok, list(folder):find("copy.db", 1, true) ~= nil)
        os.remove(folder .. "/copy.db")
      end
      assert.equal(320000, db:value("SELECT count(*) FROM t"))
    end))
  end)
end)
