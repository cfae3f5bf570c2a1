-- postgres_stream_spec.lua - weir.postgres: rows one at a time, COPY in and out, pipelines.

local client = require "support.postgres_client"
local helper = require "support.helper"
local weir = require "weir"

describe("weir.postgres stream #real", function()
  if not client.found then
    pending(client.missing)
    return
  end

  local postgres = client.postgres
  local get = client.server(setup, teardown)
  local function with(fn, options) return client.with(get, fn, options) end

  -- Kilobytes that this process has in memory.
  local function resident()
    for line in io.lines("/proc/self/status") do
      local n = line:match("^VmRSS:%s*(%d+)")
      if n then return tonumber(n) end
    end
  end

  -- Wait until backend `pid` cannot write any more because we do not read.
  local function unread(server, pid)
    return client.eventually(function()
      return server:psql("select wait_event from pg_stat_activity where pid = " .. pid) == "ClientWrite"
    end)
  end

  describe("a loop over rows", function()
    it("sees all rows, in order", with(function(db)
      local n = 0
      for row in db:rows("select g from generate_series(1, $1) g", 100000) do
        n = n + 1
        if row.g ~= n then error(("row %d is %d"):format(n, row.g)) end
      end
      assert.equal(100000, n)
      for _ in db:rows("select 1 where false") do error("there is none") end
      for _ in db:rows("create temp table t (a int)") do error("there is none") end
      assert.equal(1, db:value("select 1"))
    end))

    it("needs no more memory for a million rows than for some", with(function(db)
      local n, first, last = 0, nil, nil
      for _ in db:rows("select generate_series(1, 1000000), repeat('x', 100) as s") do
        n = n + 1
        if n % 100000 == 0 then
          collectgarbage()
          last = resident()
          first = first or last
        end
      end
      assert.equal(1000000, n)
      local factor = os.getenv("WEIR_KIND") == "asan" and 8 or 1 -- what it frees it keeps for a while
      assert.is_true(last - first < 4096 * factor, ("grew by %d KiB"):format(last - first))
    end))

    it("does not read what it is not asked for: the server stops", with(function(db, server)
      local n = 0
      for _ in db:rows("select repeat('x', 1000), generate_series(1, 1000000)") do
        n = n + 1
        if n == 1 then
          assert.is_true(unread(server, db.pid))
          break
        end
      end
      assert.equal(1, db:value("select 1"))
    end))

    it("ends the query when it is left by break, error, return or cancel", with(function(db, server)
      local watcher <close> = postgres.connect(server:url())
      local sql = "select generate_series(1, 100000000) as leave_me"
      local function gone() return client.running(watcher, "leave_me") == 0 end
      for _ in db:rows(sql) do break end
      client.eventually(gone)
      helper.error("error", function()
        for _ in db:rows(sql) do error("mine", 0) end
      end)
      client.eventually(gone)
      assert.equal(1, (function()
        for row in db:rows(sql) do return row.leave_me end
      end)())
      client.eventually(gone)
      helper.error("timeout", weir.timeout, 0.02, function()
        for _ in db:rows(sql) do end
      end)
      client.eventually(gone)
      local rows <close> = select(4, db:rows(sql))
      rows:close()
      rows:close()
      assert.equal(1, db:value("select 1"))
    end))

    it("fails with the row that fails", with(function(db)
      local n = 0
      local err = helper.error("query", function()
        for _ in db:rows("select 1 / (1000 - g) from generate_series(1, 2000) g") do n = n + 1 end
      end)
      assert.equal("22012", err.sqlstate)
      assert.truthy(tostring(err):find("in: select 1 / (1000 - g)", 1, true))
      assert.equal(999, n)
      assert.equal("42601", helper.error("query", db.rows, db, "selec 1").sqlstate)
      assert.equal(1, db:value("select 1"))
    end))

    it("has one deadline over all of it", with(function(db)
      helper.error("timeout", function()
        for _ in db:rows { sql = "select generate_series(1, 1000000)", timeout = 0.05 } do weir.sleep(0.001) end
      end)
      helper.error("timeout", function()
        for _ in db:rows { sql = "select pg_sleep(10)", timeout = 0.01 } do error("no") end
      end)
      assert.equal(1, db:value("select 1"))
    end))

    it("lets others run", with(function(db)
      local ticks = 0
      weir.scope(function(s)
        local ticker = s:spawn(function()
          while true do
            weir.checkpoint()
            ticks = ticks + 1
          end
        end)
        for _ in db:rows("select generate_series(1, 10000)") do end
        ticker:cancel()
      end)
      assert.is_true(ticks >= 90)
    end))

    it("is a source that other tasks may ask, and its own closes", with(function(db)
      local next_row, rows = db:rows("select g from generate_series(1, 300) g")
      local out = weir.map(function() return next_row(rows) end, function(row) return row.g end, { limit = 5 })
      for i = 1, 300 do assert.equal(i, out[i]) end
      rows:close()
      assert.equal(1, db:value("select 1"))
    end))

    it("has the connection for itself", with(function(db)
      for _ in db:rows("select generate_series(1, 10)") do
        helper.error("misuse", db.query, db, "select 1")
        helper.error("misuse", db.transaction, db, print)
        helper.error("misuse", db.rows, db, "select 1")
        local ok, err = weir.spawn(pcall, db.query, db, { sql = "select 1", timeout = 0.001 }):await()
        assert.same({ false, "timeout" }, { ok, weir.kind(err) })
        break
      end
      assert.equal(1, db:value("select 1"))
    end))
  end)

  describe("copy_in", function()
    local function with_table(fn)
      return with(function(db, server)
        db:exec("create temp table t (a int, b text)")
        fn(db, server)
      end)
    end

    local function all(db)
      return db:value("select coalesce(string_agg(a || coalesce(b, '-'), ',' order by a), '') from t")
    end

    it("takes data from a writer", with_table(function(db)
      local copy <close> = db:copy_in("copy t from stdin")
      copy:write("1\to")
      copy:write("ne\n2\t\\N\n")
      copy:row(3, "tab\tline\nback\\")
      copy:row(4, nil)
      assert.equal(4, copy:finish())
      assert.equal("1one,2-,3tab\tline\nback\\,4-", all(db))
      helper.error("closed", copy.write, copy, "5\tx\n")
      helper.error("closed", copy.finish, copy)
    end))

    it("takes data from a source", with_table(function(db)
      assert.equal(1, db:copy_in("copy t from stdin", "1\tx\n"))
      assert.equal(2, db:copy_in("copy t from stdin", { { 2, "y" }, { 3, nil, n = 2 } }))
      assert.equal(1, db:copy_in("copy t from stdin with (format csv)", { "4,\"a, ", "b\"\n" }))
      local i = 4
      assert.equal(10000, db:copy_in({ sql = "copy t from stdin", timeout = 60 }, function()
        i = i + 1
        if i % 1000 == 0 then weir.sleep(0.001) end
        if i <= 10004 then return { i, "row " .. i } end
      end))
      assert.equal(0, db:copy_in("copy t from stdin", {}))
      assert.equal(10004, db:value("select count(*) from t"))
      assert.equal("row 777", db:value("select b from t where a = 777"))
    end))

    it("copies every type", with(function(db)
      db:exec("create temp table every (i int8, f float8, b bool, s text, y bytea, j jsonb, a int[])")
      db:copy_in("copy every from stdin", { { math.mininteger, 0.1, true, "x\\y", postgres.blob("\0\xff\\"),
        postgres.json { k = "a\nb" }, postgres.array { 1, 2 } }, { nil, -math.huge, false, "", n = 7 } })
      assert.same({
        i = math.mininteger, f = 0.1, b = true, s = "x\\y", y = "\0\xff\\", j = { k = "a\nb" }, a = { 1, 2 },
      }, db:row("select * from every where i is not null"))
      assert.same({ f = -math.huge, b = false, s = "" }, db:row("select * from every where i is null"))
    end))

    it("copies nothing when its loop fails, is left or is cancelled", with_table(function(db)
      for _, leave in ipairs { function() error("mine", 0) end, function() weir.sleep(10) end } do
        pcall(weir.timeout, 0.02, function()
          local copy <close> = db:copy_in("copy t from stdin")
          copy:row(1, "x")
          leave()
        end)
        assert.equal("", all(db))
        pcall(weir.timeout, 0.02, db.copy_in, db, "copy t from stdin", function() leave() end)
        assert.equal("", all(db))
      end
      do
        local copy <close> = db:copy_in("copy t from stdin")
        copy:row(1, "x")
      end
      assert.equal("", all(db))
      local copy <close> = db:copy_in("copy t from stdin")
      copy:row(1, "x")
      copy:abort()
      assert.equal("", all(db))
    end))

    it("fails with what the server says of the data", with_table(function(db)
      local err = helper.error("query", db.copy_in, db, "copy t from stdin", "1\tx\ny\tz\n")
      assert.equal("22P02", err.sqlstate)
      assert.truthy(err.context:find("line 2", 1, true))
      assert.equal("42P01", helper.error("query", db.copy_in, db, "copy nowhere from stdin").sqlstate)
      helper.error("misuse", db.copy_in, db, "select 1")
      helper.error("misuse", db.copy_in, db, "copy t to stdout")
      helper.error("misuse", db.copy_in, db, "copy t from stdin", { { print } })
      helper.error("misuse", db.copy_in, db, "copy t from stdin", { 5 })
      helper.error("misuse", db.copy_in, db, "copy t from stdin", 5)
      helper.error("misuse", db.copy_in, db)
      assert.equal("", all(db))
    end))

    it("waits for a server that is slower, and holds little meanwhile", with_table(function(db, server)
      local other <close> = postgres.connect(server:url())
      db:exec("create table slow (a text); insert into slow select ''")
      other:exec("create function wait() returns trigger language plpgsql as "
        .. "$$ begin perform pg_advisory_xact_lock(7); return new; end $$; "
        .. "create trigger wait before insert on slow for each row execute function wait()")
      other:query("select pg_advisory_lock(7)")
      local chunk, written = ("x"):rep(65535) .. "\n", 0
      local task = weir.spawn(db.copy_in, db, "copy slow from stdin", function()
        if written < 400 then
          written = written + 1
          return chunk
        end
      end)
      local seen
      client.eventually(function()
        weir.sleep(0.05)
        local is_same = seen == written and written > 0
        seen = written
        return is_same
      end)
      assert.is_true(written < 200, written .. " of 400 chunks were taken")
      other:query("select pg_advisory_unlock(7)")
      assert.equal(400, task:await())
      db:exec("drop table slow; drop function wait()")
    end))
  end)

  describe("copy_out", function()
    it("gives the lines", with(function(db)
      local lines = {}
      for line in db:copy_out("copy (select g, 'x' || g from generate_series(1, 3) g) to stdout") do
        lines[#lines + 1] = line
      end
      assert.same({ "1\tx1\n", "2\tx2\n", "3\tx3\n" }, lines)
      for _ in db:copy_out("copy (select 1 where false) to stdout") do error("there is none") end
      local n, bytes = 0, 0
      for line in db:copy_out("copy (select repeat('y', 100) from generate_series(1, 200000)) to stdout") do
        n, bytes = n + 1, bytes + #line
      end
      assert.same({ 200000, 200000 * 101 }, { n, bytes })
      assert.equal(1, db:value("select 1"))
    end))

    it("can be left, and fails where the server fails", with(function(db, server)
      for _ in db:copy_out("copy (select repeat('y', 1000), generate_series(1, 1000000)) to stdout") do
        assert.is_true(unread(server, db.pid))
        break
      end
      local n = 0
      local err = helper.error("query", function()
        for _ in db:copy_out("copy (select 1 / (100 - g) from generate_series(1, 200) g) to stdout") do n = n + 1 end
      end)
      assert.same({ "22012", 99 }, { err.sqlstate, n })
      helper.error("misuse", db.copy_out, db, "select 1")
      helper.error("misuse", db.copy_out, db, "copy pg_class from stdin")
      helper.error("timeout", function()
        for _ in db:copy_out { sql = "copy (select pg_sleep(10)) to stdout", timeout = 0.02 } do error("no") end
      end)
      assert.equal(1, db:value("select 1"))
    end))
  end)

  describe("pipeline", function()
    it("gives the outcomes in order", with(function(db)
      local out = db:pipeline(function(p)
        assert.equal(1, p:query("select $1::int as a", 7))
        assert.equal(2, p:query("create temp table t (a int)"))
        assert.equal(3, p:query("insert into t values (1), (2)"))
        p:query("select * from t order by a")
      end)
      assert.equal(4, out.n)
      assert.equal(7, out[1][1].a)
      assert.equal(2, out[3].affected)
      assert.same({ { a = 1 }, { a = 2 } }, { out[4][1], out[4][2] })
      assert.same({ n = 0 }, db:pipeline(function() end))
      assert.equal(1, db:value("select 1"))
    end))

    it("takes a thousand statements, and prepared ones", with(function(db)
      local add <close> = db:prepare("select $1::int + 1 as n, $2::text as s")
      local out = db:pipeline({ timeout = 60 }, function(p, word)
        for i = 1, 1000 do
          if i % 2 == 0 then p:query(add, i, word) else p:query("select $1::int + 1 as n", i) end
        end
      end, ("w"):rep(1000))
      assert.equal(1000, out.n)
      for i = 1, 1000 do assert.equal(i + 1, out[i][1].n) end
    end))

    it("does not choke on large results while it sends", with(function(db)
      local out = db:pipeline(function(p)
        for i = 1, 100 do p:query("select repeat('x', 100000) as s, $1::text as t", ("y"):rep(10000 + i)) end
      end)
      for i = 1, 100 do assert.same({ 100000, 10000 + i }, { #out[i][1].s, #out[i][1].t }) end
    end))

    it("sends what it has when its function waits, and so does a copy", with(function(db, server)
      local watcher <close> = postgres.connect(server:url())
      db:pipeline(function(p)
        p:query("select pg_sleep(30), 'sent'")
        client.eventually(function() return client.running(watcher, "'sent'") == 1 end)
        watcher:query("select pg_cancel_backend($1)", db.pid)
      end)
      db:exec("create temp table t (a int)")
      local copy <close> = db:copy_in("copy t from stdin")
      copy:write("1\n")
      client.eventually(function()
        return watcher:value("select bytes_processed from pg_stat_progress_copy where pid = $1", db.pid) == 2
      end)
      assert.equal(1, copy:finish())
    end))

    it("runs nothing after an error, up to the next sync, and says so", with(function(db)
      db:exec("create temp table t (a int)")
      local out = db:pipeline(function(p)
        p:query("insert into t values (1)")
        p:query("select 1 / $1::int", 0)
        p:query("insert into t values (2)")
        p:sync()
        p:query("insert into t values (3)")
        p:sync()
        p:query("selec")
        p:query("insert into t values (4)")
      end)
      assert.equal(6, out.n)
      assert.equal("22012", out[2].sqlstate)
      assert.same({ "query", true }, { weir.kind(out[3]), out[3].aborted })
      assert.is_true(out[3].cause == out[2])
      assert.equal(1, out[4].affected)
      assert.equal("42601", out[5].sqlstate)
      assert.is_true(out[6].cause == out[5])
      assert.equal("3", db:value("select string_agg(a::text, ',') from t"))
    end))

    it("undoes what was not synced when its function fails or is cancelled", with(function(db)
      db:exec("create temp table t (a int)")
      helper.error("error", db.pipeline, db, function(p)
        p:query("insert into t values (1)")
        error("mine", 0)
      end)
      helper.error("timeout", weir.timeout, 0.02, db.pipeline, db, function(p)
        p:query("insert into t values (1)")
        p:query("select pg_sleep(10)")
      end)
      helper.error("timeout", db.pipeline, db, { timeout = 0.02 }, function(p) p:query("select pg_sleep(10)") end)
      helper.error("misuse", db.pipeline, db, function(p) p:query("select $1", print) end)
      helper.error("misuse", db.pipeline, db, function() db:query("select 1") end)
      local other <close> = postgres.connect(get():url())
      local foreign <close> = other:prepare("select 1")
      helper.error("misuse", db.pipeline, db, function(p) p:query(foreign) end)
      local closed = db:prepare("select 1")
      closed:close()
      helper.error("closed", db.pipeline, db, function(p) p:query(closed) end)
      helper.error("misuse", db.pipeline, db, 5)
      local kept
      db:pipeline(function(p) kept = p end)
      helper.error("closed", kept.query, kept, "select 1")
      assert.is_true(db:value("select count(*) from t") <= 1)
    end))

    -- Neither the server nor libpq finds out of it again: the connection goes, and says why.
    it("is no place for a COPY, in or out, read or given up", client.real(function()
      for _, sql in ipairs { "copy (select 1) to stdout", "copy pg_temp.t from stdin" } do
        for _, fail in ipairs { false, true } do
          local db <close> = postgres.connect(get():url())
          db:exec("create temp table t (a int)")
          local err = helper.error(fail and "error" or "misuse", db.pipeline, db, function(p)
            p:query("select 1")
            p:query(sql)
            p:query("select 2")
            if fail then error("mine", 0) end
          end)
          if not fail then assert.truthy(tostring(err):find("a COPY cannot be in a pipeline", 1, true)) end
          client.eventually(function() return db.closed end)
        end
      end
    end))

    it("that breaks off without a word is not said to have failed by an error before", with(function(db, server)
      local err = helper.error("network", db.pipeline, db, function(p)
        p:query("select 1 / $1::int", 0)
        p:sync()
        p:query("select pg_sleep(10)")
        weir.sleep(0.05)
        server:restart("immediate")
      end)
      assert.is_true(err.sqlstate ~= "22012", tostring(err))
    end))

    it("is part of a transaction where there is one", with(function(db)
      db:exec("create temp table t (a int)")
      pcall(db.transaction, db, function(tx)
        tx:pipeline(function(p) p:query("insert into t values (1)") end)
        assert.equal(1, tx:value("select count(*) from t"))
        error("undo", 0)
      end)
      assert.equal(0, db:value("select count(*) from t"))
    end))
  end)
end)
