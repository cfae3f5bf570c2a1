-- postgres_failure_spec.lua - weir.postgres when tasks give up and when servers do: nothing hangs, nothing is left.

local client = require "support.postgres_client"
local helper = require "support.helper"
local weir = require "weir"

describe("weir.postgres failure #real", function()
  if not client.found then
    pending(client.missing)
    return
  end

  local postgres = client.postgres
  local get = client.server(setup, teardown)

  -- fn(db, watcher, server)
  local function with(fn, options)
    return client.with(get, function(db, server)
      local watcher <close> = postgres.connect(server:url())
      fn(db, watcher, server)
    end, options)
  end

  describe("a command that is given up", function()
    it("is ended on the server, and the connection goes on", with(function(db, watcher)
      local give_up = {
        function() helper.error("timeout", db.query, db, { sql = "select pg_sleep(10), 'own'", timeout = 0.02 }) end,
        function() helper.error("timeout", weir.timeout, 0.02, db.exec, db, "select 1; select pg_sleep(10)") end,
        function()
          local sleep <close> = db:prepare("select pg_sleep(10), 'prepared'")
          helper.error("timeout", weir.timeout, 0.02, sleep.value, sleep)
        end,
        function()
          local task = weir.spawn(db.value, db, "select pg_sleep(10), 'task'")
          weir.sleep(0.02)
          task:cancel("enough")
          local ok, err = task:pawait()
          assert.same({ false, "cancelled", "enough" }, { ok, weir.kind(err), err.reason })
        end,
      }
      for _, fn in ipairs(give_up) do
        fn()
        assert.equal(1, db:value("select 1")) -- at once, while the cancel is under way
        assert.equal(0, client.running(watcher, "pg_sleep", db.pid))
        assert.is_false(db.closed)
      end
    end))

    it("says where the time went", with(function(db)
      local err = helper.error("timeout", db.query, db, { sql = "select\n pg_sleep(10)", timeout = 0.02 })
      assert.equal("postgres:query: timed out while waiting for the server, in: select pg_sleep(10)", tostring(err))
      assert.equal("postgres:query", err.op)
    end))

    it("never hits the next one", with(function(db)
      for i = 1, 300 do
        pcall(db.query, db, { sql = "select pg_sleep($1)", params = { (i % 10) / 2000 }, timeout = (i % 7) / 1400 })
        assert.equal(i, db:value("select $1::int", i))
      end
    end))

    it("is ended also when a request comes before the server has begun with it", with(function(db, watcher, server)
      local pid = db.pid
      server:pause(pid) -- as a busy machine would
      local ok, err = pcall(db.query, db, { sql = "select pg_sleep(30)", timeout = 0.02 })
      assert.same({ false, "timeout" }, { ok, weir.kind(err) })
      weir.sleep(0.03) -- the request is there
      server:resume(pid)
      assert.equal(1, db:value("select 1"))
      assert.equal(0, client.running(watcher, "pg_sleep", pid))
    end, { cancel_timeout = 20 }))

    it("closes the connection where the server does not end it", with(function(db, watcher, server)
      local pid = db.pid
      local task = weir.spawn(db.query, db, "select pg_sleep(10)")
      client.eventually(function() return client.running(watcher, "pg_sleep", pid) == 1 end)
      local _ <close> = server:paused(pid)
      task:cancel() -- not by a timeout: it could end the command before the server stands still
      task:pawait()
      assert.equal("cancelled", task.status)
      local err = helper.error("network", db.query, db, "select 1")
      assert.truthy(tostring(err):find("did not end a cancelled command", 1, true))
      helper.error("lost", db.query, db, "select 1")
      assert.is_true(db.closed)
    end, { cancel_timeout = 0.1 }))

    it("in a transaction that cannot be rolled back closes the connection too", with(function(db, watcher, server)
      local pid = db.pid
      local task = weir.spawn(db.transaction, db, function(tx) tx:query("select pg_sleep(10)") end)
      client.eventually(function() return client.running(watcher, "pg_sleep", pid) == 1 end)
      local _ <close> = server:paused(pid)
      task:cancel()
      task:pawait()
      assert.equal("cancelled", task.status)
      assert.is_true(db.closed)
      assert.truthy(({ closed = true, lost = true })[weir.kind(select(2, pcall(db.query, db, "select 1")))])
    end, { cancel_timeout = 0.1 }))
  end)

  describe("a server that goes away", function()
    it("is noticed when the idle connection is used", with(function(db, watcher)
      watcher:query("select pg_terminate_backend($1)", db.pid)
      client.eventually(function() return watcher:value("select count(*)::int from pg_stat_activity where pid = $1",
        db.pid) == 0 end)
      local err = helper.error("network", db.query, db, "select 1")
      assert.equal("57P01", err.sqlstate)
      assert.truthy(tostring(err):find("terminating connection due to administrator command", 1, true))
      for _, method in ipairs { "query", "exec", "prepare", "rows", "transaction", "copy_in", "pipeline" } do
        assert.equal("57P01", helper.error("lost", db[method], db, method == "transaction" and print
          or method == "pipeline" and print or "select 1").sqlstate)
      end
      assert.is_true(db.closed)
      db:close()
    end))

    it("is noticed in the middle of a query, rows, a copy, a pipeline, a transaction", client.real(function()
      local watcher <close> = postgres.connect(get():url())
      watcher:exec("create table sink (a text)")
      for i, body in ipairs {
        function(db) db:query("select pg_sleep(10)") end,
        function(db) db:exec("select pg_sleep(10)") end,
        function(db)
          for _ in db:rows("select repeat('x', 1000), generate_series(1, 10000000)") do weir.sleep(0) end
        end,
        function(db)
          local sql = "copy (select repeat('x', 1000), generate_series(1, 10000000)) to stdout"
          for _ in db:copy_out(sql) do weir.sleep(0) end
        end,
        function(db)
          db:copy_in("copy sink from stdin", function()
            weir.sleep(0)
            return ("x"):rep(1000) .. "\n"
          end)
        end,
        function(db)
          db:pipeline(function(p)
            for _ = 1, 3 do p:query("select pg_sleep(10)") end
          end)
        end,
        function(db)
          db:transaction(function(tx)
            tx:transaction(function() tx:query("select pg_sleep(10)") end)
          end)
        end,
      } do
        local is_stream <const> = i >= 3 and i <= 5
        local db <close> = postgres.connect(get():url())
        local task = weir.spawn(pcall, body, db)
        weir.sleep(0.03)
        watcher:query("select pg_terminate_backend($1)", db.pid)
        local _, err = task:await()
        assert.equal("network", weir.kind(err), tostring(err))
        -- a backend that cannot write cannot say why it ends
        if not is_stream then assert.equal("57P01", err.sqlstate, tostring(err)) end
        assert.is_true(db.closed)
      end
      watcher:exec("drop table sink")
    end))

    it("is noticed by who copies into it faster than it fails", with(function(db, watcher)
      watcher:exec("create table sink (a text)")
      local task = weir.spawn(pcall, db.copy_in, db, "copy sink from stdin", function() return "x\n" end)
      client.eventually(function() return client.running(watcher, "copy sink") == 1 end)
      watcher:query("select pg_terminate_backend($1)", db.pid)
      assert.equal("network", weir.kind(select(2, task:await(30))))
      watcher:exec("drop table sink")
    end))

    it("takes all its connections with it, and is there for new ones", client.real(function()
      local server = get()
      local all, tasks = {}, {}
      for i = 1, 10 do all[i] = postgres.connect(i % 2 == 0 and server:url("?sslmode=disable") or server:url()) end
      for i, db in ipairs(all) do
        tasks[i] = weir.spawn(pcall, function()
          for k = 1, math.huge do
            if i % 3 == 0 then
              db:transaction(function(tx) tx:value("select $1::int", k) end)
            else
              db:value("select pg_sleep(0.0001)")
            end
          end
        end)
      end
      weir.sleep(0.05)
      server:restart("immediate")
      for i, task in ipairs(tasks) do
        local ok, err = task:await(10)
        assert.is_false(ok)
        assert.equal("network", weir.kind(err), tostring(err))
        helper.error("lost", all[i].query, all[i], "select 1")
      end
      local db <close> = postgres.connect(server:url())
      assert.equal(1, db:value("select 1"))
    end))
  end)

  it("leaves nothing behind and the connection usable, whenever a task is cancelled", client.real(function()
    local server = get()
    local watcher <close> = postgres.connect(server:url())
    watcher:exec("create table kept (a int)")
    local before = client.sockets()
    local db = postgres.connect(server:url())
    local random = helper.random()
    local bodies = {
      function() db:query("select pg_sleep(0.0003)") end,
      function() for _ in db:rows("select generate_series(1, 3000), repeat('x', 100)") do end end,
      function()
        db:transaction(function(tx)
          tx:query("insert into kept values (1)")
          tx:transaction(function(inner) inner:query("insert into kept values (1)") end)
          error("undo", 0)
        end)
      end,
      function() db:copy_in("copy kept from stdin", function() weir.sleep(0) return "1\n" end) end,
      function() for _ in db:copy_out("copy (select generate_series(1, 3000)) to stdout") do end end,
      function()
        db:pipeline(function(p)
          for i = 1, 30 do p:query("select $1::int", i) end
          p:query("select pg_sleep(0.0005)")
        end)
      end,
      function()
        local s <close> = db:prepare("select $1::int")
        for i = 1, 5 do s:value(i) end
      end,
      function() db:notification(0.001) end,
    }
    for i = 1, 50 * #bodies do
      local task = weir.spawn(pcall, bodies[(i - 1) % #bodies + 1])
      local steps = random(0, 60)
      if steps > 40 then weir.sleep(steps / 30000) else for _ = 1, steps do weir.checkpoint() end end
      task:cancel()
      local started, ok, err = task:pawait()
      if not started then ok, err = false, ok end
      local kind = ok and "ok" or weir.kind(err)
      assert.truthy(({ ok = true, cancelled = true, timeout = true })[kind] or err == "undo", tostring(err))
      assert.equal(i, db:value("select $1::int", i))
    end
    assert.equal(0, watcher:value("select count(*) from kept"))
    assert.is_true(db:value("select count(*)::int from pg_prepared_statements") <= 1)
    db:close()
    client.closed(before)
    watcher:exec("drop table kept")
  end))

  it("names a deadlock between two connections of one program", client.real(function()
    local one <close> = postgres.connect { url = get():url(), name = "one" }
    local two <close> = postgres.connect { url = get():url(), name = "two" }
    local function both(first, second)
      return function()
        first:transaction(function()
          weir.sleep(0.01)
          second:query("select 1")
        end)
      end
    end
    local outcome = weir.settle { both(one, two), both(two, one) }
    assert.same({ false, true }, { outcome[1].ok and outcome[2].ok, outcome[1].ok or outcome[2].ok })
    local err = outcome[1].error or outcome[2].error
    assert.equal("deadlock", weir.kind(err))
    assert.truthy(tostring(err):find("postgres one", 1, true))
  end))

  it("cancels what runs when the program is interrupted", client.real(function()
    local server = get()
    local watcher <close> = postgres.connect(server:url())
    local output, code = helper.program(([[
      local pipe = assert(io.popen("timeout --preserve-status -s INT 0.5 ${WEIR:-build/weir} -e '"
        .. 'local db = require "weir.postgres".connect "%s"; db:query "select pg_sleep(20), 1234321"'
        .. "' 2>&1; echo code $?"))
      print(pipe:read("a"))]]):format(server:url()))
    assert.truthy(output:find("code 130\n", 1, true), output .. tostring(code))
    client.eventually(function() return client.running(watcher, "1234321") == 0 end)
  end))

  -- What runs could not be cancelled: a request to a silent server has no end of its own.
  it("ends a program whose server is silent, with a query interrupted or given up", client.real(function()
    local server = get()
    local program = [[
      local pipe = assert(io.popen("timeout --preserve-status -k 10 -s INT %s ${WEIR:-build/weir} -e '"
        .. 'local db = require "weir.postgres".connect "%s"; os.execute "kill -STOP %d"; '
        .. 'pcall(db.query, db, { sql = "select pg_sleep(40), 4321234", timeout = %s })'
        .. "' 2>&1; echo code $?"))
      print(pipe:read("a"))]]
    for _, case in ipairs { { 0.5, 30, "130" }, { 8, 0.1, "0" } } do
      local seconds, timeout, code = table.unpack(case)
      local _ <close> = setmetatable({}, { __close = function() server:resume() end })
      local output = helper.program(program:format(seconds, server:url(), server:postmaster(), timeout))
      assert.truthy(output:find("code " .. code .. "\n", 1, true), output) -- not killed, in the end
    end
  end))
end)
