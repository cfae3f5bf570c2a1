-- postgres_pool_spec.lua - weir.postgres.pool: connections that are lent, and come back as they were.

local client = require "support.postgres_client"
local helper = require "support.helper"
local weir = require "weir"

describe("weir.postgres.pool #real", function()
  if not client.found then
    pending(client.missing)
    return
  end

  local postgres = client.postgres
  local get = client.server(setup, teardown)

  -- fn(pool, server) with a pool of one connection, or as `options` say
  local function with(fn, options)
    return client.real(function()
      local server = get()
      local all = { url = server:url(), max = 1 }
      for key, value in pairs(options or {}) do all[key] = value end
      local pool <close> = postgres.pool(all)
      fn(pool, server)
      assert.equal(0, pool.active)
    end)
  end

  it("has the calls of a connection", with(function(pool)
    assert.equal(2, pool:query("select generate_series(1, 2)").n)
    assert.same({ a = 1 }, pool:row("select $1::int as a", 1))
    assert.equal(7, pool:value("select 7"))
    assert.equal(1, pool:exec("create table if not exists p (a int); insert into p values (1)"))
    assert.equal("x", pool:transaction(function(tx)
      tx:query("insert into p values (2)")
      return "x"
    end))
    local n = 0
    for row in pool:rows("select a from p order by a") do
      n = n + row.a
      assert.equal(1, pool.active)
    end
    assert.equal(3, n)
    assert.equal(3, pool:with(function(db) return db:value("select sum(a) from p") end))
    pool:exec("drop table p")
    assert.equal("query", weir.kind(select(2, pcall(pool.query, pool, "selec 1"))))
    for _ in pool:rows("select generate_series(1, 1000000)") do break end
    assert.equal(1, pool.total)
  end))

  it("serves more tasks than it has connections", with(function(pool)
    local out = weir.map({ n = 200 }, function(_, i) return pool:value("select $1::int", i) end)
    for i = 1, 200 do assert.equal(i, out[i]) end
    assert.is_true(pool.total <= 4)
    assert.equal(0, pool:stats().evicted.check)
  end, { max = 4 }))

  it("gives the next one a connection on which nothing is left", with(function(pool)
    local pid = pool:with(function(db)
      db:exec("begin; create table left_over (a int)")
      db:listen("news")
      return db.pid
    end)
    assert.is_nil(pool:value("select to_regclass('left_over')::text"))
    pool:with(function(db)
      assert.equal(pid, db.pid)
      assert.is_nil(db:value("select pg_listening_channels() limit 1"))
      db:exec("set work_mem = '1MB'; set role pg_monitor")
      db:listen("news")
    end)
    pool:with(function(db)
      assert.equal(pid, db.pid)
      assert.is_nil(db:value("select pg_listening_channels() limit 1"))
      assert.same({ "4MB", "none" }, { db:value("show work_mem"), db:value("show role") })
    end)
    pcall(pool.with, pool, function(db)
      local copy = db:copy_in("copy pg_temp.nowhere from stdin")
      copy:write("x")
    end)
    pcall(pool.with, pool, function(db)
      for _ in db:rows("select generate_series(1, 1000000)") do error("leave", 0) end
    end)
    assert.equal(pid, pool:with(function(db) return db.pid end))
  end, { check_timeout = 60, acquire_timeout = 60 }))

  it("has a connection back at once after a statement that failed, and looks at it after any other error", with(
    function(pool)
      local function left(kind, fn)
        helper.error(kind, fn)
        return pool.idle
      end
      assert.equal(1, left("query", function() pool:query("selec 1") end))
      assert.equal(1, left("query", function() pool:transaction(function(tx) tx:query("selec 1") end) end))
      assert.equal(1, left("query", function() for _ in pool:rows("select 1 / 0") do break end end))
      assert.equal(1, left("query", function()
        local lease <close> = pool:acquire()
        lease.value:query("selec 1")
      end))
      assert.equal(0, left("query", function()
        pool:with(function(db)
          db:exec("begin")
          db:exec("selec 1")
        end)
      end))
      assert.equal(1, pool:value("select 1"))
      assert.equal(0, left("error", function() pool:with(function() error("mine", 0) end) end))
      assert.equal(1, pool:value("select 1"))
    end, { check_timeout = 60 }))

  it("keeps prepared statements of a connection, and can have it forget all", function()
    with(function(pool)
      local statement
      pool:with(function(db) statement = db:prepare("select 5") end)
      pool:with(function() assert.equal(5, statement:value()) end)
      pool:with(function(db) db:exec("create temp table mine (a int); select pg_advisory_lock(5)") end)
      assert.is_nil(pool:value("select to_regclass('pg_temp.mine')::text"))
      assert.equal(0, pool:value("select count(*) from pg_locks where locktype = 'advisory'"))
      pool:with(function() assert.equal(5, statement:value()) end)
    end, { discard = true })()
  end)

  it("cancels what a borrower gives up, and lends the connection on", with(function(pool, server)
    local watcher <close> = postgres.connect(server:url())
    local pid = pool:value("select pg_backend_pid()")
    for _ = 1, 20 do
      helper.error("timeout", weir.timeout, 0.01, pool.query, pool, "select pg_sleep(10)")
      assert.equal(pid, pool:value("select pg_backend_pid()"))
    end
    assert.equal(0, client.running(watcher, "pg_sleep", pid))
  end))

  it("throws away a connection that is lost, idle or in use, and dials anew", with(function(pool, server)
    local watcher <close> = postgres.connect(server:url())
    local pid = pool:value("select pg_backend_pid()")
    watcher:query("select pg_terminate_backend($1)", pid)
    client.eventually(function()
      return watcher:value("select count(*)::int from pg_stat_activity where pid = $1", pid) == 0
    end)
    -- idle for less than check_idle it is lent; who gets it is told, and it goes
    pcall(pool.query, pool, "select 1")
    assert.is_true(pool:value("select pg_backend_pid()") ~= pid)
    pool:with(function(db)
      watcher:query("select pg_terminate_backend($1)", db.pid)
      assert.truthy(({ network = true })[weir.kind(select(2, pcall(db.query, db, "select pg_sleep(1)")))])
    end)
    assert.equal(1, pool:value("select 1"))
  end))

  it("checks what was idle before it lends it", with(function(pool, server)
    local watcher <close> = postgres.connect(server:url())
    for _ = 1, 3 do
      local pid = pool:value("select pg_backend_pid()")
      watcher:query("select pg_terminate_backend($1)", pid)
      client.eventually(function()
        return watcher:value("select count(*)::int from pg_stat_activity where pid = $1", pid) == 0
      end)
      assert.is_true(pool:value("select pg_backend_pid()") ~= pid)
    end
    assert.equal(3, pool:stats().evicted.check)
  end, { check_idle = 0 }))

  it("survives a restart of the server under load: every failure is told, and it is back at its size", with(
    function(pool, server)
      local told, done, ended = 0, 0, false
      weir.scope(function(s)
        for _ = 1, 12 do
          s:spawn(function()
            while not ended do
              local ok, err = pcall(pool.transaction, pool, function(tx) return tx:value("select pg_sleep(0.001)") end)
              if ok then
                done = done + 1
              else
                told = told + 1
                local kind = weir.kind(err)
                assert.truthy(({ network = true, lost = true, closed = true, open = true, timeout = true })[kind],
                  tostring(err))
                weir.sleep(0.01)
              end
            end
          end)
        end
        client.eventually(function() return done > 50 end)
        server:restart("immediate")
        local since = done
        client.eventually(function() return done > since + 50 and pool.total >= 3 end)
        ended = true
      end)
      assert.is_true(told > 0)
      assert.same({ 0, 0 }, { pool.active, pool.waiting })
    end, { max = 6, min = 3, backoff = 0.05 }))

  it("lends nothing that was lost while idle: a restart of the server fails no query", with(function(pool, server)
    local function fill()
      local leases = {}
      for i = 1, 3 do leases[i] = pool:acquire() end
      for _, lease in ipairs(leases) do lease:release() end
    end
    for _, borrow in ipairs {
      function() return pool:value("select 1") end,
      function() return pool:with(function(db) return db:value("select 1") end) end,
      function() return pool:transaction(function(tx) return tx:value("select 1") end) end,
      function() for row in pool:rows("select 1 as a") do return row.a end end,
      function()
        local lease <close> = pool:acquire()
        return lease.value:value("select 1")
      end,
    } do
      fill()
      local discarded = pool:stats().evicted.discarded
      assert.equal(3, pool.idle)
      server:restart("fast")
      weir.sleep(0.001) -- a look at the sockets, which this process had none of meanwhile
      assert.equal(1, borrow())
      assert.equal(discarded + 3, pool:stats().evicted.discarded)
    end
    fill()
    server:restart("fast")
    weir.sleep(0.001)
    assert.is_false(pool:try_acquire())
    assert.equal(1, pool:value("select 1"))
  end, { max = 3, check_idle = 3600 }))

  it("keeps no program from its end, and hides no deadlock, with connections that are watched while idle", with(
    function(_, server)
      local program = ([[
        local weir, postgres = require "weir", require "weir.postgres"
        weir.run(function()
          local pool = postgres.pool { url = "%s", max = 2 }
          local db = postgres.connect "%s"
          assert(pool:value "select 1" == 1 and db:value "select 1" == 1)
          %%s
        end)]]):format(server:url(), server:url())
      local output, code = helper.program(program:format("print 'end'"))
      assert.same({ "end\n", 0 }, { output, code })
      output, code = helper.program(program:format("weir.await(function() end)"))
      assert.truthy(output:find("deadlock", 1, true) and code ~= 0, output)
    end))

  it("fails at once where the server is gone, and tells why", client.real(function()
    local pool <close> = postgres.pool { url = "postgres://weir@127.0.0.1:1/x", max = 2, backoff = 0.01 }
    local err = helper.error("network", pool.query, pool, "select 1")
    assert.truthy(tostring(err):find("refused", 1, true))
    for _ = 1, 5 do pcall(pool.query, pool, "select 1") end
    helper.error("open", pool.query, pool, "select 1")
  end))

  it("closes all its connections", client.real(function()
    local before = client.sockets()
    local pool = postgres.pool { url = get():url(), max = 5, min = 5 }
    client.eventually(function() return pool.idle == 5 end)
    pool:drain()
    client.closed(before)
    helper.error("closed", pool.query, pool, "select 1")
  end))

  it("names what is wrong with its options", client.real(function()
    assert.truthy(tostring(helper.error("misuse", postgres.pool, 5)):find("postgres.pool", 1, true))
    helper.error("misuse", postgres.pool, { url = "postgres://", max = 0 })
    local err = helper.error("misuse", postgres.pool, { url = "postgres://", maxx = 3 }) -- not by the first query
    assert.equal("postgres.pool: unknown option 'maxx'", tostring(err))
    helper.error("misuse", postgres.pool, { url = "postgres://", discard = 1 })
    helper.error("misuse", postgres.pool, { url = "postgres://", port = {} })
    helper.error("misuse", postgres.pool, { url = "postgres://", dbname = "x" })
  end))
end)
