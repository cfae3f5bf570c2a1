-- http_client_failure_spec.lua - weir.http's client when things go wrong: kinds, cancels, limits.
--
-- Against a server that breaks rules, beside a real nginx. In real time; see http_client_spec.lua.

local helper = require "support.helper"
local nginx = require "support.nginx"
local rude = require "support.rude_server"
local support = require "support.http_client"
local weir = require "weir"

local _, http = pcall(require, "weir.http")
local failure, real, with_client, counter = support.failure, support.real, support.with_client, support.counter

-- A name that the resolver refuses without asking anybody: the label is too long.
local LABEL <const> = ("x"):rep(70)
local NOWHERE <const> = "http://" .. LABEL .. ".invalid/"

local function threads()
  for line in io.lines("/proc/self/status") do
    local n = line:match("^Threads:%s*(%d+)")
    if n then return tonumber(n) end
  end
end

describe("weir.http client #real", function()
  if not support.found then
    pending(support.missing)
    return
  end

  local server, bad
  setup(function()
    server = nginx.start()
    bad = rude.start()
  end)
  teardown(function()
    server:stop()
    bad:stop()
  end)

  describe("a failure", function()
    it("is network when no whole answer came", real(function()
      local err = failure("network", "CURLE_COULDNT_CONNECT", http.get, "http://127.0.0.1:1/path")
      assert.equal("http:get", err.op)
      assert.equal("http://127.0.0.1:1/path", err.url)
      assert.truthy(tostring(err):find("Connection refused", 1, true))
      failure("network", "CURLE_COULDNT_RESOLVE_HOST", http.post, NOWHERE, { body = "" })
      failure("network", "CURLE_PARTIAL_FILE", http.get, bad:url("short"))
      failure("network", "CURLE_PARTIAL_FILE", http.get, bad:url("short-chunk"))
      failure("network", "CURLE_GOT_NOTHING", http.get, bad:url("nothing"))
      failure("network", "CURLE_RECV_ERROR", http.get, bad:url("reset"))
    end))

    it("is protocol when what came is not HTTP, or more than allowed", real(function()
      failure("protocol", "CURLE_UNSUPPORTED_PROTOCOL", http.get, bad:url("malformed"))
      failure("protocol", "CURLE_WEIRD_SERVER_REPLY", http.get, bad:url("no-colon"))
      failure("protocol", "CURLE_WEIRD_SERVER_REPLY", http.get, bad:url("bad-length"))
      failure("protocol", "CURLE_RECV_ERROR", http.get, bad:url("bad-chunk"))
      failure("protocol", "CURLE_BAD_CONTENT_ENCODING", http.get, bad:url("bad-gzip"))
      failure("protocol", "CURLE_FILESIZE_EXCEEDED", http.get, bad:url("flood"))
      local late = failure("protocol", "CURLE_RECV_ERROR", http.get, bad:url("flood-of-hints"))
      assert.truthy(tostring(late):find("Too large response headers", 1, true))
      failure("protocol", "CURLE_FILESIZE_EXCEEDED", http.get, bad:url("bomb"), { max_body = 100000 })
      failure("protocol", "CURLE_FILESIZE_EXCEEDED", http.get, server:url("/gzip"), { max_body = #nginx.large - 1 })
      assert.equal(5, #http.get(server:url("/hello"), { max_body = 5 }).body)
      failure("protocol", "CURLE_FILESIZE_EXCEEDED", http.get, bad:url("gzip-bomb"))
      assert.equal(65 << 20, #http.get(bad:url("gzip-bomb"), { max_body = math.huge }).body)
      local r = http.get(bad:url("gzip-bomb"), { stream = true })
      local size = 0
      for chunk in r:chunks() do size = size + #chunk end
      assert.equal(65 << 20, size)
    end))

    it("is of the last attempt, when the first had a connection that was lost", with_client({}, function(client)
      assert.equal("once", client:get(bad:url("once-reset")).body)
      local err = failure("protocol", "CURLE_WEIRD_SERVER_REPLY", client.get, client, bad:url("nul"))
      assert.equal(2, client:stats().connections)
      assert.is_nil(tostring(err):find("Recv failure", 1, true))
    end))

    it("is network when the server dies in the middle", real(function()
      local other <close> = rude.start()
      helper.error("network", http.get, other:url("kill"))
      helper.error("network", http.get, other:url("hints"))
    end))

    it("is timeout with the url and what it waited for", real(function()
      local err = failure("timeout", "CURLE_OPERATION_TIMEDOUT", http.get, bad:url("silent"), { timeout = 0.02 })
      assert.equal("http:get", err.op)
      assert.equal(bad:url("silent"), err.url)
      assert.truthy(tostring(err):find("timed out while ", 1, true))
      helper.error("timeout", http.get, bad:url("silent"), { timeout = 0 })
    end))

    it("never shows credentials", real(function()
      local err = helper.error("network", http.get, "http://ann:se%20cret@127.0.0.1:1/x?y=a@b")
      assert.is_nil(tostring(err):find("ann", 1, true))
      assert.equal("http://127.0.0.1:1/x?y=a@b", err.url)
      for _, url in ipairs { "http://ann:se%20cret@/", "http://ann:se cret@127.0.0.1/", "ann:secret@127.0.0.1/x" } do
        assert.is_nil(tostring(helper.error("misuse", http.get, url)):find("ann", 1, true))
      end
      err = helper.error("misuse", http.get, "junk://ann:secret@127.0.0.1/")
      assert.is_nil(tostring(err):find("ann", 1, true))
    end))
  end)

  describe("misuse", function()
    it("is a URL that cannot be fetched", real(function()
      for _, url in ipairs {
        "", "hello", "/path", "ftp://127.0.0.1/", "file:///etc/passwd", "http://", "http:///x", "http://a b/",
        "http://a/\r\nX: y", "http://a/\0", "http://[::1/", "http://a:99999/", "HTTP//a",
      } do
        local err = helper.error("misuse", http.get, url)
        assert.equal("http:get", err.op)
      end
      helper.error("misuse", http.get)
      helper.error("misuse", http.get, 5)
      helper.error("misuse", http.get, {})
    end))

    it("is a header that would not stay one", real(function()
      for name, value in pairs {
        ["X\r\nY"] = "1", ["X Y"] = "1", [""] = "1", ["X:"] = "1",
        X1 = "a\r\nY: b", X2 = "a\nb", X3 = "a\0b", X4 = true, ["Transfer-Encoding"] = "chunked",
        X5 = "a\1b", X6 = "\127", X7 = { "fine", "a\27[0m" },
      } do
        helper.error("misuse", http.get, server:url("/hello"), { headers = { [name] = value } })
      end
      helper.error("misuse", http.get, server:url("/hello"), { headers = "X: y" })
      helper.error("misuse", http.get, server:url("/hello"), { bearer = "a\r\nb" })
      helper.error("misuse", http.get, server:url("/hello"), { auth = { "a:b", "c" } })
    end))

    it("is a method, an option or a body that is none", real(function()
      for _, method in ipairs { "", "A B", "GET\r\n", "CONNECT", "a/b" } do
        helper.error("misuse", http.request, server:url("/hello"), { method = method })
      end
      for name, value in pairs {
        timout = 1, timeout = "x", connect_timeout = -1, max_body = 1.5, max_redirects = -1, follow = 1, verify = "no",
        ca = 5, proxy = true, stream = "yes", query = "a=b", auth = "a:b", bearer = 5, body = 5, headers = 1,
      } do
        helper.error("misuse", http.post, server:url("/hello"), { [name] = value })
      end
      helper.error("misuse", http.head, server:url("/hello"), { body = "x" })
      helper.error("misuse", http.post, server:url("/hello"), { body = "x", json = {} })
      helper.error("misuse", http.client, { max = 0 })
      helper.error("misuse", http.client, { maximum = 1 })
    end))

    it("is a request outside a task, and on virtual time", function()
      local output = helper.program(([[
        local weir, http = require "weir", require "weir.http"
        print(weir.kind(select(2, pcall(http.get, "%s"))))
        print(weir.kind(select(2, pcall(weir.test.run, function() http.get("%s") end))))]])
        :format(server:url("/hello"), server:url("/hello")))
      assert.equal("misuse\nmisuse\n", output)
    end)

    it("is a client of another runtime", with_client({}, function(client)
      local r = helper.simulate(function() client:get(server:url("/hello")) end)
      assert.equal("misuse", weir.kind(r.error))
    end))
  end)

  describe("a cancel", function()
    it("or a deadline of a scope ends a request at once, wherever it is", with_client({ max = 2, max_per_host = 1 },
      function(client)
        helper.error("timeout", weir.timeout, 0.02, client.get, client, bad:url("silent"))
        assert.equal(0, client:stats().held)
        weir.scope(function(scope)
          local tasks = {}
          for i = 1, 4 do tasks[i] = scope:spawn(client.get, client, bad:url("silent")) end -- one runs, three queue
          tasks[5] = scope:spawn(client.get, client, NOWHERE)
          tasks[6] = scope:spawn(client.get, client, server:url("/slow"))
          weir.checkpoint()
          for _, task in ipairs(tasks) do task:cancel("enough") end
          for _, task in ipairs(tasks) do
            local ok, err = task:pawait()
            assert.is_false(ok)
            assert.equal("cancelled", weir.kind(err))
            assert.equal("enough", err.reason)
          end
        end)
        local stats = client:stats()
        assert.same({ 0, 0 }, { stats.held, stats.waiting })
        assert.equal(200, client:get(server:url("/hello")).status)
      end))

    it("ends a streamed answer and a body in pieces", with_client({}, function(client)
      local r = client:get(bad:url("silent"):gsub("silent", "bomb"), { stream = true })
      helper.error("timeout", weir.timeout, 0.02, function()
        while r:read() do end
      end)
      assert.equal(0, client:stats().held)
      helper.error("timeout", weir.timeout, 0.02, client.post, client, server:url("/echo"),
        { body = function() weir.sleep(100) end })
      assert.equal(0, client:stats().held)
    end))
  end)

  describe("limits", function()
    it("hold for a host and for all, first come first served", real(function()
      local other <close> = rude.start()
      local client <close> = http.client { max_per_host = 3 }
      local order = {}
      weir.each(counter(12), function(i)
        client:get(other:url("wait"))
        order[#order + 1] = i
      end)
      local most = http.get(other:url("most")).body:match("^%d+")
      assert.equal("4", tostring(most + 1)) -- 3, and the one that asked came when they were gone
      for i = 1, 12 do assert.is_true(math.abs(order[i] - i) < 3) end

      local one <close> = http.client { max = 1 }
      weir.each(counter(5), function() one:get(other:url("wait")) end)
      assert.equal(1, one:stats().max)
    end))

    it("are named by a timeout that comes in the queue", real(function()
      for what, options in pairs { ["its host"] = { max_per_host = 1 }, ["the client"] = { max = 1 } } do
        local client <close> = http.client(options)
        weir.scope(function(scope)
          scope:spawn(client.get, client, bad:url("silent"))
          weir.checkpoint()
          local err = helper.error("timeout", client.get, client, bad:url("silent"), { timeout = 0.02 })
          assert.equal(("http:get: %s: timed out while waiting for a slot of %s"):format(err.url, what), err.message)
          assert.equal(0, client:stats().waiting)
          scope:cancel()
        end)
      end
    end))

    it("refuse what would wait beyond max_waiting", with_client({ max = 1, max_waiting = 1 }, function(client)
      weir.scope(function(scope)
        scope:spawn(client.get, client, bad:url("silent"))
        scope:spawn(client.get, client, bad:url("silent"))
        weir.checkpoint()
        helper.error("overload", client.get, client, bad:url("silent"))
        assert.equal(1, client:stats().waiting)
        assert.equal(1, client:stats().rejects.overload)
        scope:cancel()
      end)
    end))

    it("keep connections below the descriptors there are", function()
      local output = support.program_under("ulimit -n 40;", ([[
        local weir, http = require "weir", require "weir.http"
        weir.run(function()
          local ids, held = {}, {}
          for i = 1, 120 do ids[i] = i end
          local client = http.client {}
          local function get() return client:get("%s").status end
          local r = weir.map(ids, get, { limit = math.huge })
          for i = 1, 12 do held[i] = io.open("/dev/null") end -- others take theirs, too
          local s = weir.map(ids, get, { limit = math.huge })
          client = http.client {}
          local t = weir.map(ids, get, { limit = math.huge })
          local fine = 0
          for i = 1, 120 do
            if r[i] == 200 and s[i] == 200 and t[i] == 200 then fine = fine + 1 end
          end
          print(fine)
        end)]]):format(server:url("/hello")))
      assert.equal("120\n", output)
    end)

    it("look up each name once at a time, on the threads that there are", with_client({}, function(client)
      local most = threads() + (math.tointeger(tonumber(os.getenv "UV_THREADPOOL_SIZE" or "")) or 4)
      local _, errors = weir.map(counter(200), function(i)
        client:get(("http://%s%d.invalid/"):format(LABEL, i % 100))
      end, { limit = math.huge, on_error = "collect" })
      assert.equal("network", weir.kind(errors[1]))
      assert.is_true(threads() <= most)
      assert.equal(100, client:stats().lookups)
      helper.error("network", client.get, client, ("http://%s1.invalid/"):format(LABEL)) -- kept for a second
      assert.equal(100, client:stats().lookups)
      weir.map(counter(50), function()
        client:get(("http://localhost:%d/hello"):format(server.port))
      end)
      assert.equal(101, client:stats().lookups)
    end))
  end)

  describe("a proxy", function()
    it("is asked for the whole URL, for names too", with_client({ proxy = "http://127.0.0.1:1" }, function(client)
      failure("network", "CURLE_COULDNT_CONNECT", client.get, client, NOWHERE)
      local through = ("127.0.0.1:%d"):format(server.port)
      local r = client:get(NOWHERE .. "where", { proxy = through })
      assert.truthy(r.body:find("GET /where HTTP/1.1 host=" .. LABEL .. ".invalid ", 1, true))
      assert.equal(200, client:get(server:url("/hello"), { proxy = false }).status)
    end))

    it("comes from the environment", function()
      local settings = ("http_proxy=http://127.0.0.1:%d no_proxy=.%s.invalid,127.0.0.0/8"):format(server.port, LABEL)
      local output = support.program_under(settings, ([[
        local weir, http = require "weir", require "weir.http"
        weir.run(function()
          local label = "%s"
          print(http.get("http://" .. label .. ".test/hello").body)
          print(weir.kind(select(2, pcall(http.get, "http://a." .. label .. ".invalid/hello"))))
          print(weir.kind(select(2, pcall(http.get, "http://" .. label .. ".invalid/hello"))))
          print(http.get("http://127.0.0.1:%d/hello").body)
        end)]]):format(LABEL, server.port))
      assert.equal("hello\nnetwork\nnetwork\nhello\n", output)
    end)
  end)

  describe("a proxy that is none", function()
    local function check(err)
      assert.equal("misuse", weir.kind(err))
      assert.is_nil(tostring(err):find("ppw", 1, true))
    end

    it("is misuse, without its password", with_client({}, function(client)
      for _, proxy in ipairs {
        "junk://pu:ppw@127.0.0.1:1", "ftp://pu:ppw@127.0.0.1:1", "http://pu:ppw@127.0.0.1:99999",
      } do
        check(helper.error("misuse", http.client, { proxy = proxy }))
        check(helper.error("misuse", client.get, client, server:url("/hello"), { proxy = proxy }))
      end
      for _, scheme in ipairs { "http", "https", "socks4", "socks4a", "socks5", "SOCKS5h" } do
        local err = helper.error("network", client.get, client, server:url("/hello"),
          { proxy = scheme .. "://pu:ppw@127.0.0.1:1" })
        assert.is_nil(tostring(err):find("ppw", 1, true))
      end
    end))

    it("may be the environment's, at first or after a redirect", function()
      local output = support.program_under("http_proxy=junk://pu:ppw@127.0.0.1:1", ([[
        local weir, http = require "weir", require "weir.http"
        weir.run(function()
          local _, refused = pcall(http.get, "http://127.0.0.1:1/", { proxy = false })
          local _, err = pcall(http.get, "%s")
          print(weir.kind(refused), weir.kind(err), err)
        end)]]):format(server:url("/hello")))
      assert.truthy(output:find("^network\tmisuse\t[^\n]*the proxy that the environment names"), output)
      assert.is_nil(output:find("ppw", 1, true))
      output = support.program_under("https_proxy=junk://pu:ppw@127.0.0.1:1", ([[
        local weir, http = require "weir", require "weir.http"
        weir.run(function()
          local _, err = pcall(http.get, "%s")
          print(weir.kind(err), err)
        end)]]):format(bad:url("secure")))
      assert.truthy(output:find("^misuse\t[^\n]*redirected, and the proxy that the environment names"), output)
      assert.is_nil(output:find("ppw", 1, true))
    end)
  end)

  describe("a client", function()
    it("that is closed fails what it has and what comes", real(function()
      local client = http.client { max = 1 }
      weir.scope(function(scope)
        for _ = 1, 3 do scope:spawn(client.get, client, bad:url("silent")) end
        weir.sleep(0.01)
        client:close()
        client:close()
        for _, outcome in ipairs(scope:settle()) do
          assert.is_false(outcome.ok)
          assert.equal("closed", weir.kind(outcome.error))
        end
      end)
      helper.error("closed", client.get, client, server:url("/hello"))
      assert.truthy(tostring(client):find("closed"))
    end))

    it("closes streamed answers", real(function()
      local client = http.client()
      local r = client:get(bad:url("bomb"), { stream = true })
      client:close()
      helper.error("closed", function()
        while r:read() do end
      end)
    end))

    it("keeps no idle loop alive", function()
      local output, code = helper.program(([[
        local weir, http = require "weir", require "weir.http"
        print(weir.kind(select(2, pcall(weir.run, function()
          http.get("%s")
          weir.await(function() end)
        end))))]]):format(server:url("/hello")))
      assert.equal("deadlock\n", output)
      assert.equal(0, code)
    end)

    it("can be left open, in a run that fails too", function()
      local output, code = helper.program(([[
        local weir, http = require "weir", require "weir.http"
        for i = 1, 3 do
          print(pcall(weir.run, function()
            weir.spawn(http.get, "%s")
            local r = http.get("%s", { stream = true })
            error("left", 0)
          end))
        end]]):format(bad:url("silent"), bad:url("bomb")))
      assert.equal(("false\tleft\n"):rep(3), output)
      assert.equal(0, code)
    end)
  end)
end)
