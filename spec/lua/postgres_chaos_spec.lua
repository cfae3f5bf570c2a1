-- postgres_chaos_spec.lua - weir.postgres.pool under load while its server is restarted, killed, full and silent.
--
-- Forty tasks ask, each call with a deadline. Whatever is done to the server meanwhile: every call ends, with an
-- answer or an error, by its deadline; no insert that was answered is missing and none is there twice; no lease is
-- lost; and the pool is back at its `min` by itself. Each case prints its figures.

local client = require "support.postgres_client"
local helper = require "support.helper"
local weir = require "weir"

local TASKS <const>, DEADLINE <const> = 40, 3
local SLACK <const> = 12 -- seconds beyond it: five of grace for a COMMIT or ROLLBACK, the rest for a loaded machine

describe("weir.postgres.pool chaos #real", function()
  if not client.found then
    pending(client.missing)
    return
  end

  local postgres = client.postgres
  -- what was answered has to outlive a crash
  local get = client.server(setup, teardown, { settings = { synchronous_commit = "on", max_connections = 14 } })
  local told <const> = { network = true, lost = true, closed = true, open = true, timeout = true, query = true }

  local asks <const> = {
    function(pool, id) return pool:query("insert into chaos values ($1)", id).affected end,
    function(pool, id)
      return pool:transaction(function(tx)
        tx:value("select pg_sleep(0.001)")
        return tx:query("insert into chaos values ($1)", id).affected
      end)
    end,
    function(pool, id)
      local n = 0
      for row in pool:rows("select g, $1::int as id from generate_series(1, 300) g", id) do
        if row.id == id and row.g == n + 1 then n = n + 1 end
      end
      if n ~= 300 then error(("%d rows of 300"):format(n), 0) end
    end,
    function(pool, id)
      return pool:with(function(db)
        local insert <close> = db:prepare("insert into chaos values ($1) returning id")
        return insert:value(id) == id and 1
      end)
    end,
    function(pool) return pool:value("select pg_sleep(0.002)") and nil end,
  }
  -- Ask with all tasks while fn(load) runs; it waits for more answers by load.more(n).
  local function under_load(pool, fn)
    local load <const> = { asked = 0, answered = 0, failed = 0, longest = 0, kinds = {}, kept = {}, others = {} }
    local ended
    function load.more(n)
      local since <const> = load.answered
      client.eventually(function() return load.answered >= since + n end)
    end
    local function ask_one()
      load.asked = load.asked + 1
      local id <const> = load.asked
      local start <const> = weir.now()
      local ok <const>, result <const> = pcall(weir.timeout, DEADLINE, asks[id % #asks + 1], pool, id)
      load.longest = math.max(load.longest, weir.now() - start)
      if ok then
        load.answered = load.answered + 1
        if result == 1 then load.kept[id] = true end
        return
      end
      local kind <const> = weir.kind(result)
      load.failed = load.failed + 1
      load.kinds[kind] = (load.kinds[kind] or 0) + 1
      -- the server refuses nothing that is asked here, but when it ends what runs
      if not told[kind] or kind == "query" and result.sqlstate ~= "57P01" then
        load.others[#load.others + 1] = tostring(result)
      end
      weir.sleep(0.005)
    end
    weir.scope(function(scope)
      for _ = 1, TASKS do
        scope:spawn(function()
          while not ended do ask_one() end
        end)
      end
      local _ <close> = setmetatable({}, { __close = function() ended = true end })
      fn(load)
    end)
    return load
  end

  -- fn(pool, server, load) under load of a pool with `options`; all that has to hold afterwards.
  local function chaos(name, options, fn)
    return client.real(function()
      local server <const> = get()
      local before <const> = client.sockets()
      do
        local watcher <close> = postgres.connect(server:url())
        watcher:exec("drop table if exists chaos; create table chaos (id int)")
      end
      local all <const> = { url = server:url(), backoff = 0.05, max_backoff = 0.5, name = name }
      for key, value in pairs(options) do all[key] = value end
      local pool <close> = postgres.pool(all)
      local load <const> = under_load(pool, function(load) fn(pool, server, load) end)

      assert.same({}, load.others)
      assert.equal(load.asked, load.answered + load.failed)
      assert.is_true(load.longest < DEADLINE + SLACK)
      assert.same({ 0, 0 }, { pool.active, pool.waiting })
      assert.is_true(pool.total <= pool.max)
      client.eventually(function() return pool.idle >= all.min and pool.connecting == 0 end) -- nobody asks

      local present, n = {}, 0
      for row in pool:rows("select id from chaos") do
        assert.is_nil(present[row.id], "there twice")
        present[row.id] = true
        n = n + 1
      end
      local missing, unsure = 0, n
      for id in pairs(load.kept) do
        if present[id] then unsure = unsure - 1 else missing = missing + 1 end
      end
      assert.equal(0, missing)
      assert.is_true(unsure <= load.failed)
      local kinds <const> = {}
      for kind, count in pairs(load.kinds) do kinds[#kinds + 1] = ("%s %d"):format(kind, count) end
      table.sort(kinds)
      local made <const> = pool:stats()
      io.stderr:write(
        ("chaos: %s: %d asked = %d answered + %d failed (%s); "):format(name, load.asked, load.answered, load.failed,
          table.concat(kinds, ", ")),
        ("%d kept, %d more of which nothing was heard; longest %.2f s; "):format(n - unsure, unsure, load.longest),
        ("%d made, %d destroyed\n"):format(made.created, made.destroyed))
      helper.figure("chaos_asked", load.asked)
      helper.figure("chaos_answered", load.answered)
      helper.figure("chaos_failed", load.failed)
      helper.figure("chaos_kept", n - unsure)
      helper.figure("chaos_missing", missing)
      pool:drain()
      client.closed(before)
      return load
    end)
  end

  it("restarted as by a crash", chaos("restart", { min = 4, max = 8 }, function(pool, server, load)
    load.more(200)
    for _ = 1, 2 do
      local failed <const> = load.failed
      server:begin_restart("immediate")
      client.eventually(function() return load.failed > failed end)
      load.more(200)
    end
    assert.is_true(load.failed > 0 and pool.total <= 8)
  end))

  it("killed by administrators", chaos("killed", { min = 4, max = 8 }, function(_, server, load)
    local watcher <close> = postgres.connect(server:url())
    local killed = 0
    load.more(100)
    for _ = 1, 60 do
      killed = killed + watcher:value("select count(pg_terminate_backend(pid))::int from (select pid from "
        .. "pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() "
        .. "order by random() limit 1) p")
      load.more(5)
    end
    assert.is_true(killed >= 50 and load.failed > 0)
  end))

  it("full: fewer connections than the pool may have", chaos("full", { min = 4, max = 40 },
    function(pool, server, load)
      local taken <const> = {}
      for i = 1, 4 do taken[i] = postgres.connect(server:url()) end
      load.more(500)
      assert.is_true(pool.total < 40)
      helper.error("network", postgres.connect, server:url())
      for _, db in ipairs(taken) do db:close() end
      load.more(200)
      assert.equal(0, load.failed) -- who finds no new connection gets one that comes back
    end))

  it("silent: connections and new ones go unanswered", chaos("silent",
    { min = 4, max = 8, cancel_timeout = 0.3, create_timeout = 0.5, check_timeout = 0.5, acquire_timeout = 1 },
    function(pool, server, load)
      load.more(200)
      local watcher <close> = postgres.connect(server:url())
      local pids <const> = {}
      for row in watcher:rows("select pid from pg_stat_activity where backend_type = 'client backend' "
        .. "and pid <> pg_backend_pid()") do pids[#pids + 1] = row.pid end
      do
        local stopped <close> = server:paused() -- luacheck: ignore 211
        for _, pid in ipairs(pids) do pcall(server.pause, server, pid) end
        local failed <const> = load.failed
        client.eventually(function() return load.failed >= failed + TASKS and pool.active == 0 end)
      end
      for _, pid in ipairs(pids) do pcall(server.resume, server, pid) end
      load.more(200)
    end))
end)
