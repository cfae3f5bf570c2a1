-- postgres_listen_spec.lua - weir.postgres: notifications, and notices.

local client = require "support.postgres_client"
local helper = require "support.helper"
local weir = require "weir"

describe("weir.postgres listen #real", function()
  if not client.found then
    pending(client.missing)
    return
  end

  local postgres = client.postgres
  local get = client.server(setup, teardown)

  -- fn(listener, sender, server)
  local function with(fn, options)
    return client.with(get, function(db, server)
      local other <close> = postgres.connect(server:url())
      fn(db, other, server)
    end, options)
  end

  it("hears what others and itself notify", with(function(db, other)
    db:listen("news", 'odd "name"', "ž")
    other:notify("news", "one")
    other:notify('odd "name"', ("x"):rep(7999))
    other:notify("ž")
    other:notify("silence", "nobody hears")
    db:notify("news", "mine")
    assert.same({ channel = "news", payload = "one", pid = other.pid }, db:notification())
    assert.same({ channel = 'odd "name"', payload = ("x"):rep(7999), pid = other.pid }, db:notification(10))
    assert.same({ channel = "ž", payload = "", pid = other.pid }, db:notification(10))
    assert.same({ channel = "news", payload = "mine", pid = db.pid }, db:notification(10))
    helper.error("timeout", db.notification, db, 0.01)
    helper.error("timeout", weir.timeout, 0.01, db.notification, db)
    db:unlisten("news")
    other:notify("news", "unheard")
    other:notify("ž", "heard")
    assert.equal("heard", db:notification(10).payload)
    db:unlisten()
    other:notify("ž", "unheard")
    helper.error("timeout", db.notification, db, 0.01)
    assert.equal("22023", helper.error("query", other.notify, other, "news", ("x"):rep(8001)).sqlstate)
  end))

  it("wakes one waiting task for each, who waited longest first", with(function(db, other)
    db:listen("jobs")
    local got = {}
    weir.scope(function(s)
      for i = 1, 3 do
        s:spawn(function() got[i] = db:notification().payload end)
      end
      weir.sleep(0.01)
      for i = 1, 3 do other:notify("jobs", tostring(i)) end
    end)
    assert.same({ "1", "2", "3" }, got)
  end))

  it("lets others use the connection meanwhile, and hears what comes with their results", with(function(db, other)
    db:listen("jobs")
    local waiting = weir.spawn(db.notification, db)
    for i = 1, 20 do assert.equal(i, db:value("select $1::int", i)) end
    assert.equal("waiting", waiting.status)
    weir.scope(function(s)
      s:spawn(function() db:query("select pg_sleep(0.05)") end)
      weir.sleep(0.01)
      other:notify("jobs", "while busy")
    end)
    assert.equal("while busy", waiting:await().payload)
    other:notify("jobs", "unawaited")
    db:value("select pg_sleep(0.01)")
    assert.equal("unawaited", db:notification(10).payload)
    local held = weir.spawn(db.notification, db)
    db:transaction(function(tx)
      other:notify("jobs", "after the transaction")
      tx:query("select pg_sleep(0.01)")
      assert.equal("waiting", held.status)
    end)
    assert.equal("after the transaction", held:await(10).payload)
  end))

  it("gives one that a cancelled task was woken for to the next", with(function(db, other)
    db:listen("jobs")
    for _ = 1, 20 do
      local first, second = weir.spawn(db.notification, db), weir.spawn(db.notification, db)
      local killer = weir.spawn(function()
        weir.sleep(0.001 * math.random())
        first:cancel()
      end)
      weir.checkpoint()
      other:notify("jobs", "a")
      other:notify("jobs", "b")
      killer:await()
      local ok, got = first:pawait()
      assert.equal(ok and "b" or "a", second:await(10).payload)
      if ok then assert.equal("a", got.payload) else assert.equal("b", db:notification(10).payload) end
    end
  end))

  it("gives one that was on its way to a task to the next, if that is cancelled meanwhile", with(function(db, other)
    db:listen("jobs")
    local second
    local first = weir.spawn(function()
      local got = db:notification()
      second:cancel("by the first")
      return got.payload
    end)
    second = weir.spawn(db.notification, db)
    local third = weir.spawn(db.notification, db)
    weir.checkpoint()
    other:exec "begin; notify jobs, 'a'; notify jobs, 'b'; commit" -- one message: both tasks are woken in a turn
    assert.equal("a", first:await())
    local ok, err = second:pawait()
    assert.is_false(ok)
    assert.equal("by the first", err.reason)
    assert.equal("b", third:await(10).payload)
  end))

  it("sees that the server ends the connection", with(function(db, other)
    db:listen("jobs")
    local one, two = weir.spawn(pcall, db.notification, db), weir.spawn(pcall, db.notification, db)
    weir.sleep(0.01)
    other:query("select pg_terminate_backend($1)", db.pid)
    local _, err = one:await()
    assert.same({ "network", "57P01" }, { weir.kind(err), err.sqlstate })
    assert.truthy(tostring(err):find("terminating connection", 1, true))
    _, err = two:await()
    assert.equal("lost", weir.kind(err))
    helper.error("lost", db.notification, db)
    assert.is_true(db.closed)
  end))

  it("ends with the connection", with(function(db)
    local one = weir.spawn(pcall, db.notification, db)
    weir.sleep(0.01)
    db:close()
    assert.equal("closed", weir.kind(select(2, one:await())))
  end))

  it("keeps nothing alive while nobody waits: a deadlock is still one", function()
    local output, code = helper.program(([[
      local db = require "weir.postgres".connect { host = %q, port = %d, user = "weir", dbname = "postgres" }
      db:listen("jobs")
      local never = require "weir".semaphore(1)
      never:acquire()
      never:acquire()
    ]]):format(get().dir, get().port), os.getenv("WEIR"))
    assert.truthy(output:find("deadlock", 1, true), output)
    assert.equal(3, code)
  end)

  describe("a notice", function()
    local notices = {}
    local options = { on_notice = function(notice) notices[#notices + 1] = notice end }
    before_each(function() notices = {} end)

    it("is given to the handler, by the time its statement has ended", with(function(db)
      db:exec("drop table if exists no_such_table")
      assert.equal(1, #notices)
      assert.same({ "NOTICE", "00000", 'table "no_such_table" does not exist, skipping' },
        { notices[1].severity, notices[1].sqlstate, notices[1].message })
      db:query("do $$ begin raise warning 'careful' using detail = 'd', hint = 'h'; end $$")
      assert.same({ "WARNING", "careful", "d", "h" },
        { notices[2].severity, notices[2].message, notices[2].detail, notices[2].hint })
      assert.truthy(notices[2].context:find("inline_code_block", 1, true))
    end, options))

    it("is given while the statement still runs", with(function(db)
      local task = weir.spawn(db.exec, db, "do $$ begin raise notice 'half'; perform pg_sleep(10); end $$")
      client.eventually(function() return #notices == 1 end)
      assert.equal("waiting", task.status)
      task:cancel()
      task:pawait()
    end, options))

    it("is given within a loop over rows", with(function(db)
      db:exec("create function pg_temp.loud(n int) returns int language plpgsql as "
        .. "$$ begin raise notice 'row %', n; return n; end $$")
      for _ in db:rows("select pg_temp.loud(g) from generate_series(1, 100) g") do end
      assert.equal(100, #notices)
      assert.equal("row 100", notices[100].message)
    end, options))

    it("is nothing where there is no handler", with(function(db)
      db:exec("drop table if exists no_such_table")
      assert.equal(1, db:value("select 1"))
    end))

    it("may end with the connection closed by its handler", client.real(function()
      local db
      db = postgres.connect { url = get():url(), on_notice = function() db:close() end }
      helper.error("closed", db.exec, db, "do $$ begin raise notice 'close'; perform pg_sleep(10); end $$")
      helper.error("closed", db.query, db, "select 1")
    end))

    it("whose handler fails is reported, and hurts no one", function()
      local output, code = helper.program(([[
        local db = require "weir.postgres".connect { host = %q, port = %d, user = "weir", dbname = "postgres",
          on_notice = function(notice) error("handler of " .. notice.message, 0) end }
        db:exec("do $x$ begin raise notice 'hello'; end $x$")
        print(db:value("select 1"))
      ]]):format(get().dir, get().port), os.getenv("WEIR"))
      assert.truthy(output:find("handler of hello", 1, true), output)
      assert.truthy(output:find("\n1\n", 1, true), output)
      assert.equal(1, code)
    end)
  end)
end)
