-- postgres_spec.lua - weir.postgres against a real server: statements, results, errors, prepared statements.
--
-- In real time, since the server is real; no spec asserts how long something took.

local client = require "support.postgres_client"
local helper = require "support.helper"
local weir = require "weir"

describe("weir.postgres #real", function()
  if not client.found then
    pending(client.missing)
    return
  end

  local postgres = client.postgres
  local get = client.server(setup, teardown)
  local function with(fn, options) return client.with(get, fn, options) end

  describe("query", function()
    it("gives rows by column name, with n and columns", with(function(db)
      local r = db:query("select g as n, g * 2 as twice from generate_series(1, 3) g order by g desc")
      assert.equal(3, r.n)
      assert.equal(3, #r)
      assert.same({ "n", "twice" }, r.columns)
      assert.same({ n = 3, twice = 6 }, r[1])
      assert.is_nil(r.affected)
    end))

    it("gives no rows where there are none", with(function(db)
      local r = db:query("select 1 as a where false")
      assert.equal(0, r.n)
      assert.same({ "a" }, r.columns)
      r = db:query("set statement_timeout = 0")
      assert.equal(0, r.n)
      assert.same({}, r.columns)
      assert.equal(0, db:query("").n)
    end))

    it("leaves out what is NULL, and shows the later of two columns of one name", with(function(db)
      assert.same({ b = 2 }, db:row("select null as a, 1 as b, 2 as b"))
    end))

    it("says how many rows were changed", with(function(db)
      db:exec("create temp table t (a int)")
      assert.equal(4, db:query("insert into t select generate_series(1, 4)").affected)
      assert.equal(2, db:query("update t set a = 9 where a > $1", 2).affected)
      assert.equal(0, db:query("delete from t where a = 7").affected)
      local r = db:query("delete from t where a = 9 returning a")
      assert.same({ 2, 2 }, { r.affected, r.n })
      assert.is_nil(db:query("select 1").affected)
    end))

    it("takes parameters, nil among them and at the end", with(function(db)
      assert.same({ a = 1, c = "x" }, db:row("select $1::int a, $2::int b, $3::text c", 1, nil, "x"))
      assert.is_nil(db:row("select $1::int a", nil).a)
      local sql = "select $1::int a, $2::int b, $3::text c"
      local r = db:query({ sql = sql, params = { 1, nil, "x", n = 3 }, timeout = 30 })
      assert.same({ a = 1, c = "x" }, r[1])
      local many = {}
      for i = 1, 500 do many[i] = i end
      assert.equal(125250, db:value("select sum(v) from (values ($" .. table.concat(many, "),($") .. ")) t(v)",
        table.unpack(many)))
    end))

    it("has row and value for what is one row or one value", with(function(db)
      assert.same({ a = 1, b = "x" }, db:row("select 1 as a, 'x' as b union all select 2, 'y'"))
      assert.is_nil(db:row("select 1 where false"))
      assert.equal(7, db:value("select 7, 8"))
      assert.is_nil(db:value("select 7 where false"))
      assert.is_nil(db:value("select null::int"))
      assert.is_nil(db:value("create temp table v ()"))
      assert.equal(5, db:value({ sql = "select $1 + $2", params = { 2, 3 } }))
    end))

    it("is large where it must be", with(function(db)
      local text = ("0123456789abcdef"):rep(1 << 18) -- 4 MiB
      assert.is_true(db:value("select $1::text || '!'", text) == text .. "!")
      assert.equal(20000, #db:query("select g, repeat('x', 100) as s from generate_series(1, 20000) g"))
      local columns = {}
      for i = 1, 1600 do columns[i] = i .. " as c" .. i end
      assert.equal(1600, db:row("select " .. table.concat(columns, ",")).c1600)
    end))
  end)

  describe("exec", function()
    it("runs several statements and says what all of them changed", with(function(db)
      assert.equal(5, db:exec("create temp table t (a int); insert into t values (1), (2), (3); select 7; "
        .. "update t set a = 0 where a > 1"))
      assert.is_nil(db:exec("create temp table u (a int)"))
      assert.is_nil(db:exec(""))
    end))

    it("undoes all of them when one fails", with(function(db)
      db:exec("create temp table t (a int)")
      local err = helper.error("query", db.exec, db, "insert into t values (1); insert into nowhere values (1)")
      assert.equal("42P01", err.sqlstate)
      assert.equal(0, db:value("select count(*) from t"))
    end))
  end)

  describe("an error", function()
    it("has what the server says of it", with(function(db)
      db:exec("create temp table person (id int primary key, name text not null check (name <> ''))")
      db:query("insert into person values (1, 'ann')")
      local err = helper.error("query", db.query, db, "insert into  person\n values ($1, $2)", 1, "bob")
      assert.equal("23505", err.sqlstate)
      assert.equal("person_pkey", err.constraint)
      assert.equal("person", err.table)
      assert.equal("Key (id)=(1) already exists.", err.detail)
      assert.equal("ERROR", err.severity)
      assert.equal("postgres:query", err.op)
      assert.equal('postgres:query: duplicate key value violates unique constraint "person_pkey" (23505; '
        .. "Key (id)=(1) already exists.), in: insert into person values ($1, $2)", tostring(err))
      assert.truthy(err.traceback:find("postgres_spec", 1, true))
      err = helper.error("query", db.query, db, "insert into person values (2, null)")
      assert.same({ "23502", "name" }, { err.sqlstate, err.column })
      err = helper.error("query", db.value, db, "select nme from person")
      assert.same({ "42703", 8 }, { err.sqlstate, err.position })
      assert.truthy(err.hint:find("person.name", 1, true))
      assert.equal("42601", helper.error("query", db.row, db, "selec 1").sqlstate)
      assert.equal("22012", helper.error("query", db.query, db, "select 1 / $1", 0).sqlstate)
      assert.equal("22003", helper.error("query", db.query, db, "select $1::int2", 100000).sqlstate)
      assert.equal("08P01", helper.error("query", db.query, db, "select $1::int, $2::int", 1).sqlstate)
      assert.equal("22021", helper.error("query", db.query, db, "select $1::text", "\xff").sqlstate)
      err = helper.error("query", db.exec, db, "do $$ begin raise exception 'one' using errcode = 'ZX001', "
        .. "detail = E'two\\nlines', hint = 'three'; end $$")
      assert.same({ "ZX001", "two\nlines", "three" }, { err.sqlstate, err.detail, err.hint })
      assert.is_nil(tostring(err):find("\n", 1, true))
      assert.equal(1, db:value("select 1"))
    end))

    it("shows the first words of a long statement, cut between characters", with(function(db)
      local text = tostring(helper.error("query", db.query, db, "selec '" .. ("é"):rep(100) .. "'"))
      assert.truthy(utf8.len(text))
      assert.truthy(text:find("é%.%.%.$"))
    end))

    it("of a COPY says what to use", with(function(db)
      db:exec("create temp table t (a int)")
      for _, sql in ipairs { "copy t from stdin", "copy t to stdout" } do
        for _, method in ipairs { "exec", "query", "value", "rows" } do
          local err = helper.error("misuse", db[method], db, sql)
          assert.truthy(tostring(err):find("copy_in", 1, true))
        end
      end
      assert.equal(1, db:value("select 1"))
    end))
  end)

  describe("a prepared statement", function()
    it("runs any number of times", with(function(db)
      local add <close> = db:prepare("select $1::int + $2::int as sum")
      for i = 1, 50 do assert.equal(i + 1, add:value(i, 1)) end
      assert.same({ sum = 3 }, add:row(1, 2))
      assert.equal(3, add:query(1, 2)[1].sum)
      for row in add:rows(2, 3) do assert.equal(5, row.sum) end
      assert.equal(1, db:value("select count(*) from pg_prepared_statements"))
    end))

    it("is refused where it is wrong, when it is prepared", with(function(db)
      assert.equal("42601", helper.error("query", db.prepare, db, "selec 1").sqlstate)
      assert.equal("22012", helper.error("query", function()
        db:prepare("select 1 / $1::int"):value(0)
      end).sqlstate)
    end))

    it("is dropped on the server when it is closed or collected", with(function(db)
      local one, two = db:prepare("select 1"), db:prepare("select 2")
      assert.equal(2, db:value("select count(*) from pg_prepared_statements"))
      one:close()
      one:close()
      assert.equal(1, db:value("select count(*) from pg_prepared_statements"))
      helper.error("closed", one.value, one)
      assert.equal(2, two:value())
      two = nil -- luacheck: ignore 311
      collectgarbage()
      collectgarbage()
      assert.equal(0, db:value("select count(*) from pg_prepared_statements"))
      for _ = 1, 200 do db:prepare("select 3"):close() end
      db:query("select 1")
      db:query("select 1")
      db:query("select 1")
      assert.is_true(db:value("select count(*) from pg_prepared_statements") < 200)
    end))

    it("waits with its drop for the end of a transaction", with(function(db)
      local one = db:prepare("select 1")
      db:transaction(function()
        one:close()
        assert.equal(1, db:value("select count(*) from pg_prepared_statements"))
      end)
      assert.equal(0, db:value("select count(*) from pg_prepared_statements"))
    end))

    it("is prepared anew when the server has forgotten it, or what it stands on has changed", with(function(db)
      db:exec("create temp table t (a int); insert into t values (1)")
      local all <close> = db:prepare("select * from t")
      assert.same({ a = 1 }, all:row())
      db:exec("discard plans; deallocate all")
      assert.same({ a = 1 }, all:row())
      db:query("deallocate weir_" .. db:value("select substr(name, 6)::int from pg_prepared_statements"))
      assert.same({ a = 1 }, all:row())
      db:exec("alter table t add b int default 2")
      assert.same({ a = 1, b = 2 }, all:row())
      assert.equal(1, db:value("select count(*) from pg_prepared_statements"))
      db:exec("discard all")
      db:exec("create temp table t as select 9 as a")
      assert.same({ a = 9 }, all:row())
      db:exec("alter table t rename a to b; alter table t add c int")
      for row in all:rows() do assert.same({ b = 9 }, row) end
    end))
  end)

  describe("misuse", function()
    it("names function, argument and what was expected, and leaves the connection as it was", with(function(db)
      local function misuse(pattern, fn, ...)
        local text = tostring(helper.error("misuse", fn, ...))
        if not text:find(pattern) then error(("expected %s in: %s"):format(pattern, text), 2) end
      end
      misuse("postgres:query: 'sql' must be a string, got nil", db.query, db)
      misuse("postgres:row: 'sql' must be a string, got number 5", db.row, db, 5)
      misuse("postgres:exec: 'sql'", db.exec, db, {})
      misuse("'sql' must be a string without NUL", db.query, db, "select 1\0")
      misuse("'sql' must be a string without NUL", db.exec, db, "select 1\0")
      misuse("'sql' must be a string without NUL", db.prepare, db, "select 1\0")
      misuse("'params' must be a list: parameters have numbers here %(%$1, %$2%), not names", db.query, db,
        { sql = "select $1", params = { id = 1 } })
      misuse("parameter 2 must be nil, a boolean, number, string, blob, json or array, got a table",
        db.query, db, "select $1, $2", 1, {})
      misuse("parameter 1 .* got function", db.query, db, "select $1", print)
      misuse("parameter 1 .* got userdata", db.query, db, "select $1", weir.semaphore(1))
      misuse("parameter 1 is a string with a NUL byte: a blob", db.query, db, "select $1", "a\0b")
      misuse("unknown option 'tiemout'", db.query, db, { sql = "select 1", tiemout = 1 })
      misuse("'timeout'", db.query, db, { sql = "select 1", timeout = -1 })
      misuse("65535", db.query, db, { sql = "select 1", params = { n = 65536 } })
      misuse("'fn' must be a function", db.transaction, db, 5)
      misuse("unknown option", db.transaction, db, { mode = "x" }, print)
      misuse("isolation", db.transaction, db, { isolation = "x" }, print)
      misuse("readonly", db.transaction, db, { readonly = 1 }, print)
      misuse("blob", postgres.blob, 5)
      misuse("postgres.array: 't' must be a table", postgres.array, 5)
      misuse("element %[2%]%[1%] must be", postgres.array, { 1, { print } })
      misuse("postgres.json", postgres.json, nil)
      misuse("json.encode", postgres.json, print)
      misuse("identifier", postgres.identifier, "")
      misuse("channel", db.listen, db)
      misuse("channel", db.listen, db, "")
      misuse("parameter", db.parameter, db, 5)
      assert.equal(1, db:value("select 1"))
    end))

    it("of a connection outside tasks, or of another runtime, is told", function()
      local output = helper.program(([[
        local weir, postgres = require "weir", require "weir.postgres"
        local options = { host = %q, port = %d, user = "weir", dbname = "postgres" }
        print(weir.kind(select(2, pcall(postgres.connect, options))))
        local db = weir.run(postgres.connect, options)
        print(weir.kind(select(2, pcall(db.query, db, "select 1"))))
        print(weir.run(function() return db:value("select 1") end))
        print(weir.kind(select(2, pcall(require("weir.test").run, postgres.connect, options))))
        print(weir.kind(select(2, pcall(require("weir.test").run, db.query, db, "select 1"))))
      ]]):format(get().dir, get().port))
      assert.equal("misuse\nmisuse\n1\nmisuse\nmisuse\n", output)
    end)
  end)

  describe("a connection", function()
    it("says who it is", with(function(db, server)
      assert.equal(db:value("select pg_backend_pid()"), db.pid)
      assert.equal(tonumber(db:value("show server_version_num")), db.server_version)
      assert.same({ server.dir, tostring(server.port), "weir", "postgres" }, { db.host, db.port, db.user, db.database })
      assert.is_nil(db.tls)
      assert.equal("UTF8", db:parameter("client_encoding"))
      assert.equal("weir", db:value("show application_name"))
      assert.is_nil(db:parameter("nothing"))
      assert.is_false(db.closed)
      assert.truthy(tostring(db):find("weir.postgres", 1, true))
    end))

    it("serves its tasks one after another, in the order they came", with(function(db)
      local order = {}
      weir.scope(function(s)
        for i = 1, 20 do
          s:spawn(function()
            db:query("select pg_sleep(0.001)")
            order[#order + 1] = i
          end)
        end
      end)
      for i = 1, 20 do assert.equal(i, order[i]) end
    end))

    it("that is closed says so, to who waits and to who comes", with(function(db)
      local waiting = weir.spawn(pcall, db.query, db, "select pg_sleep(10)")
      local queued = weir.spawn(pcall, db.query, db, "select 1")
      weir.sleep(0.02)
      db:close()
      db:close()
      assert.is_true(db.closed)
      for _, task in ipairs { waiting, queued } do
        local ok, err = task:await()
        assert.same({ false, "closed" }, { ok, weir.kind(err) })
      end
      helper.error("closed", db.query, db, "select 1")
      helper.error("closed", db.exec, db, "select 1")
      helper.error("closed", db.rows, db, "select 1")
      helper.error("closed", db.prepare, db, "select 1")
      helper.error("closed", db.transaction, db, print)
      helper.error("closed", db.notification, db)
      helper.error("closed", db.copy_in, db, "copy t from stdin")
      helper.error("closed", db.pipeline, db, print)
      assert.is_nil(db.pid)
    end))

    it("is freed when nobody has it any more", client.real(function()
      local before = client.sockets()
      local function forget() postgres.connect(get():url()):query("select 1") end
      for _ = 1, 5 do forget() end
      weir.checkpoint()
      client.closed(before)
      local watcher <close> = postgres.connect(get():url())
      client.eventually(function()
        return watcher:value("select count(*) from pg_stat_activity where backend_type = 'client backend'") == 1
      end)
    end))

    it("works in a __close, also of a cancelled task", with(function(db)
      db:exec("create temp table log (what text)")
      local task = weir.spawn(function()
        local _ <close> = helper.closing(function()
          weir.shield(5, db.query, db, "insert into log values ($1)", "closed")
        end)
        db:query("select pg_sleep(10)")
      end)
      weir.sleep(0.02)
      task:cancel()
      task:pawait()
      assert.equal("cancelled", task.status)
      assert.equal("closed", db:value("select what from log"))
    end))
  end)
end)
