-- postgres_connect_spec.lua - weir.postgres: every way to a connection, and every way that leads to none.

local client = require "support.postgres_client"
local helper = require "support.helper"
local weir = require "weir"

describe("weir.postgres connect #real", function()
  if not client.found then
    pending(client.missing)
    return
  end

  local has_luv, uv = pcall(require, "weir.luv")
  local postgres = client.postgres
  local get = client.server(setup, teardown, {
    tls = true, settings = { max_connections = 12, superuser_reserved_connections = 2, max_wal_senders = 0 },
  })
  local real = client.real

  -- Connect, ask one thing, close.
  local function ask(options, sql)
    local db <close> = postgres.connect(options)
    return db:value(sql or "select 1"), db.host, db.tls
  end

  local function fails(kind, options) return helper.error(kind, postgres.connect, options) end

  it("takes a URL, libpq's text, or keywords", real(function()
    local server = get()
    local tcp = { host = "127.0.0.1", port = server.port, user = "weir", dbname = "postgres", sslmode = "disable" }
    assert.equal(1, ask(server:url()))
    assert.equal(1, ask({ url = server:url("?application_name=spec"), timeout = 20 }))
    assert.equal(1, ask(("host=127.0.0.1 port=%d user=weir dbname=postgres"):format(server.port)))
    assert.equal(1, ask(tcp))
    assert.equal("weir", ask({ url = server:url(), user = "weir" }, "select current_user"))
    tcp.application_name = "spec's \\ own"
    assert.equal("spec's \\ own", ask(tcp, "show application_name"))
    assert.equal("LATIN1", ask({ url = server:url(), client_encoding = "LATIN1" }, "show client_encoding"))
    assert.equal("5s", ask({ url = server:url(), options = "-c statement_timeout=5s" }, "show statement_timeout"))
    tcp.host = server.dir
    assert.same({ 1, server.dir }, { ask(tcp) })
    assert.equal(1, ask(("postgres://weir@%s:%d/postgres"):format(server.dir:gsub("/", "%%2F"), server.port)))
  end))

  it("takes what the environment and its files say", function()
    local server = get()
    local text = ([[
      cd %s; printf '[spec]\nhost=127.0.0.1\nport=%d\nuser=weir\ndbname=postgres\n' >service.conf
      printf '127.0.0.1:*:*:secret:s3 cret\n' >pass; chmod 600 pass
      unset PGHOST PGPORT PGUSER PGDATABASE PGSERVICE
      run() { "$WEIR" -e 'local p = require "weir.postgres"
        local db <close> = p.connect(load("return " .. (os.getenv "OPTIONS" or "{}"))())
        print(db.host, db:value("select current_user"))'; }
      PGHOST=%s PGPORT=%d PGUSER=weir PGDATABASE=postgres run
      PGSERVICEFILE=service.conf PGSERVICE=spec run
      PGSERVICEFILE=service.conf OPTIONS='{ service = "spec" }' run
      PGSERVICEFILE=service.conf OPTIONS='"postgres:///?service=spec"' run
      PGHOST=localhost PGHOSTADDR=127.0.0.1 PGPORT=%d PGUSER=weir PGDATABASE=postgres run
      PGPASSFILE=pass OPTIONS='"postgres://secret@127.0.0.1:%d/secret"' run
      PGPASSWORD='s3 cret' OPTIONS='"postgres://secret@127.0.0.1:%d/secret"' run
      OPTIONS='{ url = "postgres://secret@127.0.0.1:%d/secret", password = "s3 cret" }' run
      OPTIONS='"postgres://secret:s3%%20cret@127.0.0.1:%d/secret"' run]])
      :format(server.dir, server.port, server.dir, server.port, server.port, server.port, server.port, server.port,
        server.port)
    server:psql("create role secret login password 's3 cret'")
    server:psql("create database secret owner secret")
    local file <close> = assert(io.popen(text .. " 2>&1"))
    local output = file:read("a")
    assert.equal(("%s\tweir\n"):format(server.dir) .. ("127.0.0.1\tweir\n"):rep(3) .. "localhost\tweir\n"
      .. ("127.0.0.1\tsecret\n"):rep(4), output)
  end)

  it("looks up names without blocking, and tries all their addresses", real(function()
    local server, ticks = get(), 0
    local ticker = weir.spawn(function()
      while true do
        weir.sleep(0)
        ticks = ticks + 1
      end
    end)
    local _, host = ask { host = "localhost", port = server.port, user = "weir", dbname = "postgres" }
    ticker:cancel()
    assert.equal("localhost", host)
    assert.is_true(ticks > 3)
    -- a label that is too long is refused without asking anybody
    local err = fails("network", { host = ("x"):rep(70) .. ".invalid" })
    assert.truthy(tostring(err):find('cannot look up "xxx', 1, true))
  end))

  it("goes from host to host", real(function()
    local server = get()
    local options = { user = "weir", dbname = "postgres" }
    for _, case in ipairs {
      { ("127.0.0.1,127.0.0.1"):rep(1), "1," .. server.port }, { "/nowhere,127.0.0.1", tostring(server.port) },
      { ("x"):rep(70) .. ".invalid,localhost", tostring(server.port) },
      { "localhost," .. server.dir, "1," .. server.port },
    } do
      options.host, options.port = case[1], case[2]
      assert.equal(1, ask(options))
    end
    options.host, options.hostaddr, options.port = "a.invalid,b.invalid", "127.0.0.1,127.0.0.1", "1," .. server.port
    local value, host = ask(options)
    assert.same({ 1, "b.invalid" }, { value, host })
    options.hostaddr = nil
    options.host, options.port, options.target_session_attrs = "127.0.0.1,localhost", server.port, "read-only"
    assert.truthy(tostring(fails("network", options)):find("read-only", 1, true))
  end))

  describe("by TLS", function()
    it("checks authority and name as asked", real(function()
      local server = get()
      local url = ("postgres://weir@localhost:%d/postgres?sslrootcert=%s&sslmode="):format(server.port, server.ca)
      local value, _, tls = ask(url .. "verify-full")
      assert.equal(1, value)
      assert.truthy(tls:find("^TLSv1"))
      assert.is_true(ask({ url = url .. "require" }, "select ssl from pg_stat_ssl where pid = pg_backend_pid()"))
      assert.is_nil((select(3, ask(url .. "disable"))))
      local other = url:gsub("localhost", "127.0.0.1")
      assert.truthy(tostring(fails("network", other .. "verify-full")):find("127.0.0.1", 1, true))
      assert.equal(1, ask(other .. "verify-ca"))
      local err = fails("network", { url = url .. "verify-full", sslrootcert = server.dir .. "/data/server.crt" })
      assert.truthy(tostring(err):find("certificate verify failed", 1, true))
    end))

    it("reads large results, rows and copies to their end", real(function()
      local server = get()
      local db <close> = postgres.connect(server:url("?sslmode=require"))
      local expected = 0
      for _, size in ipairs { 1, 8191, 8192, 16383, 16384, 16385, 40000, 3000000 } do
        assert.equal(size, #db:value("select repeat('x', $1)", size))
        expected = expected + size
        local rows, bytes = 0, 0
        for row in db:rows("select repeat('y', $1) as y from generate_series(1, 20)", size) do
          rows, bytes = rows + 1, bytes + #row.y
        end
        assert.same({ 20, 20 * size }, { rows, bytes })
        bytes = 0
        for line in db:copy_out(("copy (select repeat('z', %d)) to stdout"):format(size)) do bytes = bytes + #line end
        assert.equal(size + 1, bytes)
      end
      local n = 0
      for row in db:rows("select generate_series(1, 50000) as g") do n = n + row.g end
      assert.equal(50000 * 50001 // 2, n)
      assert.is_true(expected > 0)
    end))
  end)

  it("fails with what the server says", real(function()
    local server = get()
    local err = fails("network", server:url():gsub("/postgres$", "/nowhere"))
    assert.equal("3D000", err.sqlstate)
    assert.equal("postgres.connect", err.op)
    assert.truthy(tostring(err):find('database "nowhere" does not exist', 1, true))
    assert.is_nil(tostring(err):find("LOCATION", 1, true))
    assert.is_nil(tostring(err):find("\n", 1, true))
    assert.equal("28000", fails("network", server:url():gsub("weir@", "nobody@")).sqlstate)
    err = fails("network", { url = server:url("?sslmode=disable"), options = "-c nonsense=1 -c work_mem=x" })
    assert.equal("42704", err.sqlstate)
    err = fails("network", ("postgres://secret:wrong@127.0.0.1:%d/secret"):format(server.port))
    assert.equal("28P01", err.sqlstate)
    assert.is_nil(tostring(err):find("wrong", 1, true))
    err = fails("network", ("postgres://secret@127.0.0.1:%d/secret"):format(server.port))
    assert.truthy(tostring(err):find("no password supplied", 1, true))
  end))

  it("fails with 53300 when there are too many", real(function()
    local server = get()
    local all, err = {}, nil
    local more = weir.scope(function()
      for i = 1, 20 do
        local ok, got = pcall(postgres.connect, server:url())
        if not ok then
          err = got
          return i
        end
        all[i] = got
      end
    end)
    assert.is_true(more ~= nil and more > 5, tostring(err))
    assert.same({ "network", "53300" }, { weir.kind(err), err.sqlstate })
    assert.truthy(tostring(err):find("too many clients", 1, true))
    for _, db in ipairs(all) do db:close() end
    client.eventually(function() return (pcall(ask, server:url())) end)
  end))

  it("fails where nobody listens", real(function()
    local err = fails("network", "postgres://weir@127.0.0.1:1/postgres")
    assert.truthy(tostring(err):find("Connection refused", 1, true))
    assert.is_nil(err.sqlstate)
    fails("network", { host = "/nowhere", user = "weir" })
    fails("network", { host = "127.0.0.1", port = 1, user = "weir", password = "s3 cret" })
  end))

  describe("to a server that never answers", function()
    local function paused(fn)
      return real(function()
        local server = get()
        local _ <close> = server:paused()
        fn(server)
      end)
    end

    it("ends at its timeout, a deadline, or a cancel", paused(function(server)
      local before = client.sockets()
      local err = fails("timeout", { url = server:url(), timeout = 0.05 })
      assert.truthy(tostring(err):find("timed out while %a+ %a+ 127.0.0.1"))
      helper.error("timeout", weir.timeout, 0.05, postgres.connect, server:url())
      local by_socket = { host = server.dir, port = server.port, user = "weir" }
      helper.error("timeout", weir.timeout, 0.05, postgres.connect, by_socket)
      local task = weir.spawn(postgres.connect, server:url())
      weir.sleep(0.02)
      task:cancel("enough")
      local _, cancelled = task:pawait()
      assert.same({ "cancelled", "enough" }, { weir.kind(cancelled), cancelled.reason })
      helper.error("timeout", postgres.connect, { url = server:url(), timeout = 0 })
      client.closed(before)
    end))

    it("goes on to the next host after connect_timeout", paused(function(server)
      local err = fails("timeout", server:url("?connect_timeout=1"))
      assert.truthy(tostring(err):find("no answer from 127.0.0.1", 1, true))
      err = fails("network", { url = ("postgres://weir@127.0.0.1:%d,127.0.0.1:1/postgres"):format(server.port),
        connect_timeout = 1 })
      assert.truthy(tostring(err):find("refused", 1, true))
    end))
  end)

  -- A port whose queue of connections is full: what comes is dropped, as where there is no machine.
  local function blackhole(fn)
    return real(function()
      local server, fillers = uv.new_tcp(), {}
      server:bind("127.0.0.1", 0)
      server:listen(1, function() end)
      local port = server:getsockname().port
      for i = 1, 8 do
        fillers[i] = uv.new_tcp()
        fillers[i]:connect("127.0.0.1", port, function() end)
        weir.sleep(0.005) -- libuv takes the first one out of the queue, and no other
      end
      local ok, err = pcall(fn, port)
      fillers[#fillers + 1] = server
      for _, handle in ipairs(fillers) do weir.wrap(handle.close)(handle) end
      if not ok then error(err, 0) end
    end)
  end

  if has_luv then
    it("to an address that swallows everything ends in time, and goes on to the next", blackhole(function(port)
      local url = ("postgres://weir@127.0.0.1:%d/postgres"):format(port)
      local err = fails("timeout", { url = url, timeout = 0.05 })
      assert.truthy(tostring(err):find("timed out while connecting to 127.0.0.1", 1, true))
      helper.error("timeout", weir.timeout, 0.05, postgres.connect, url)
      local both = ("postgres://weir@127.0.0.1:%d,127.0.0.1:%d/postgres?connect_timeout=1"):format(port, get().port)
      assert.equal(1, ask(both))
    end))
  end

  it("leaves nothing behind, whenever it is cancelled", real(function()
    local server = get()
    local before = client.sockets()
    for i = 1, 60 do
      local url = server:url(i % 3 == 0 and "?sslmode=require" or "")
      local task = weir.spawn(postgres.connect, i % 2 == 0 and url:gsub("127.0.0.1", "localhost") or url)
      weir.sleep(i * 0.0001)
      task:cancel()
      local ok, db = task:pawait()
      if ok then db:close() end
    end
    client.closed(before)
    client.eventually(function()
      local ok, n = pcall(ask, server:url(),
        "select count(*)::int from pg_stat_activity where backend_type = 'client backend'")
      return ok and n == 1
    end)
  end))

  it("names what is wrong with the options", real(function()
    local function misuse(pattern, options)
      local text = tostring(fails("misuse", options))
      if not text:find(pattern) then error(("expected %s in: %s"):format(pattern, text), 2) end
    end
    misuse("'options' must be a URL or a table, got nil", nil)
    misuse("'options' must be a URL or a table, got number 5", 5)
    misuse("hots", { hots = "x" })
    misuse("'port' must be a string, an integer or a boolean, got number 1.5", { port = 1.5 })
    misuse("'timeout'", { timeout = -1 })
    misuse("'timeout'", { timeout = "1" })
    misuse("'numeric'", { numeric = "float" })
    misuse("'on_notice' must be a function", { on_notice = 5 })
    misuse("'cancel_timeout'", { cancel_timeout = -1 })
    misuse("NUL", { host = "a\0b" })
    misuse("NUL", "postgres://\0")
    misuse("exclude each other", { url = "postgres://", dbname = "x" })
    misuse("number", { "postgres://" })
    misuse("sslmod", "postgres://127.0.0.1/?sslmod=x")
    for _, url in ipairs {
      "postgres://me:s3cret@[::1/x", "postgres://me:s3cret@h/x?a", "postgres://me:s3cret%zz@h/x", "password=a s3cret",
    } do
      assert.is_nil(tostring(fails("misuse", url)):find("s3cret", 1, true))
    end
    misuse("match", { host = "a,b,c", port = "1,2" })
    misuse("match", { host = "a,b,c", hostaddr = "127.0.0.1" })
  end))
end)
