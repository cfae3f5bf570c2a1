-- http_server_spec.lua - http.serve: requests, connections, responses. In real time.

local helper = require "support.helper"
local raw = require "support.raw_http"
local support = require "support.http_server"
local weir = require "weir"

local serve, with_server, wait_until = support.serve, support.with_server, support.wait_until
local hello, echo, program = support.hello, support.echo, support.program

describe("weir.http.serve #real", function()
  if not serve then
    pending("needs libmicrohttpd's module and luv")
    return
  end

  describe("serve", function()
    it("refuses what it cannot use", helper.real(function()
      for _, case in ipairs {
        { { port = -1 }, "port" }, { { port = 65536 }, "port" }, { { port = "80" }, "port" }, { { host = 5 }, "host" },
        { { host = "no.such.name" }, "host" }, { { backlog = 0 }, "backlog" }, { { max_body = -1 }, "max_body" },
        { { max_header = 1.5 }, "max_header" }, { { idle_timeout = -1 }, "idle_timeout" },
        { { idle_timeout = 0 / 0 }, "idle_timeout" }, { { max_connections = 0 }, "max_connections" },
        { { max_connections = 2000000000 }, "max_connections" }, { { ports = 80 }, "ports" },
      } do
        local err = helper.error("misuse", serve, case[1], hello)
        assert.truthy(tostring(err):find(case[2], 1, true), tostring(err))
      end
      helper.error("misuse", serve, {})
      helper.error("misuse", serve, nil, hello)
    end))

    it("is not for virtual time", helper.virtual(function()
      local err = helper.error("misuse", serve, {}, hello)
      assert.truthy(tostring(err):find("virtual time", 1, true), tostring(err))
    end))

    it("raises network for an address in use", with_server({}, hello, function(port)
      local err = helper.error("network", serve, { port = port }, hello)
      assert.truthy(tostring(err):find(tostring(port), 1, true))
    end))

    it("listens where it is told", helper.real(function()
      local server <close> = serve({ host = "::1" }, hello)
      assert.truthy(tostring(server):find("::1", 1, true))
      local any <close> = serve({ host = "*", name = "any" }, hello)
      local c <close> = raw.connect(any.port)
      assert.equal("hello", c:get("/").body)
    end))
  end)

  describe("a request", function()
    it("is a table of what was asked", helper.real(function()
      local got
      local server <close> = serve({}, function(request)
        got = request
        return hello()
      end)
      local c <close> = raw.connect(server.port)
      c:send("POST /a%20b/c?x=1&y=a+b%21&x=2&flag HTTP/1.1\r\nHost: here\r\nX-One: 1\r\nx-one:  2 \r\n"
        .. "Cookie: a=1\r\nCookie: b=2\r\nContent-Length: 4\r\n\r\nbody")
      local r = c:response()
      assert.equal(200, r.status)
      assert.equal("hello", r.body)
      assert.equal("5", r.headers["content-length"])
      assert.equal("text/plain", r.headers["content-type"])
      assert.equal("POST", got.method)
      assert.equal("/a b/c", got.path)
      assert.equal("/a%20b/c?x=1&y=a+b%21&x=2&flag", got.target)
      assert.equal("x=1&y=a+b%21&x=2&flag", got.query_string)
      assert.same({ x = "2", y = "a b!", flag = "" }, got.query)
      assert.same({ host = "here", ["x-one"] = "1, 2", cookie = "a=1; b=2", ["content-length"] = "4" }, got.headers)
      assert.equal("body", got.body)
      assert.equal("127.0.0.1", got.remote)
    end))

    it("has a path whatever form its target has", with_server({}, function(request)
      return { status = 200, body = request.path .. " " .. request.query_string }
    end, function(port)
      local c <close> = raw.connect(port)
      assert.equal("/ ", c:get("/").body)
      assert.equal("/ a=1", c:get("/?a=1").body)
      assert.equal("/x q=/?", c:get("http://host:80/x?q=/?").body)
      assert.equal("/ ", c:get("http://host").body)
      assert.equal("* ", c:get("*", nil, "OPTIONS").body)
      assert.equal("/x q=://", c:get("/x?q=://").body)
    end))

    it("may have its body in chunks", with_server({}, echo, function(port)
      local c <close> = raw.connect(port)
      c:send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
      c:send("6\r\n world\r\n0\r\n\r\n")
      assert.equal("hello world", c:response().body)
    end))

    it("may ask whether to send its body", with_server({}, echo, function(port)
      local c <close> = raw.connect(port)
      c:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
      assert.equal(100, c:response().status)
      c:send("hello")
      assert.equal("hello", c:response().body)
    end))

    it("may have a body of megabytes", with_server({ max_body = 3000000 }, echo, function(port)
      local c <close> = raw.connect(port)
      local body = ("0123456789"):rep(300000)
      c:send(("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"):format(#body)):send(body)
      local r = c:response()
      assert.equal(200, r.status)
      assert.is_true(r.body == body)
    end))
  end)

  describe("a connection", function()
    it("is kept for the next request", with_server({}, echo, function(port, server)
      local c <close> = raw.connect(port)
      for i = 1, 3 do
        c:send(("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d"):format(i))
        assert.equal(tostring(i), c:response().body)
      end
      local stats = server:stats()
      assert.equal(1, stats.accepted)
      assert.equal(3, stats.requests)
    end))

    it("answers pipelined requests in their order", with_server({}, function(request)
      weir.sleep(request.path == "/1" and 0.01 or 0)
      return { status = 200, body = request.path }
    end, function(port)
      local c <close> = raw.connect(port)
      c:send(("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n"))
      for i = 1, 3 do assert.equal("/" .. i, c:response().body) end
    end))

    it("is closed when the client says so", with_server({}, hello, function(port)
      local c <close> = raw.connect(port)
      assert.equal("hello", c:get("/", "Connection: close\r\n").body)
      assert.equal("EOF", c:finish())
    end))

    it("is closed after HTTP/1.0, which needs no Host and knows no chunks", with_server({}, function()
      local left = 2
      return { status = 200, body = function()
        left = left - 1
        return left >= 0 and "part " or nil
      end }
    end, function(port)
      local c <close> = raw.connect(port)
      c:send("GET / HTTP/1.0\r\n\r\n")
      local r = c:response()
      assert.is_nil(r.headers["transfer-encoding"])
      assert.equal("part part ", r.body)
    end))

    it("is closed when no request comes", with_server({ idle_timeout = 0.02 }, hello, function(port, server)
      local silent <close> = raw.connect(port)
      local half <close> = raw.connect(port)
      half:send("GET / HTTP/1.1\r\nHost: x\r\n")
      silent:finish()
      half:finish()
      assert.equal("", silent.got)
      assert.equal(2, server:stats().timeouts)
    end))

    it("waits while there are max_connections", with_server({ max_connections = 2 }, hello, function(port)
      local a <close> = raw.connect(port)
      local b <close> = raw.connect(port)
      assert.equal("hello", a:get("/").body)
      assert.equal("hello", b:get("/").body)
      local c <close> = raw.connect(port)
      c:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      a:get("/")
      assert.equal("", c.got)
      a:close()
      assert.equal("hello", c:response().body)
    end))

    it("is one of a thousand", with_server({ max_connections = 1200 }, function(request)
      weir.sleep(0.001)
      return { status = 200, body = request.path }
    end, function(port, server)
      local clients = weir.map((function()
        local i = 0
        return function()
          i = i + 1
          return i <= 1000 and i or nil
        end
      end)(), function(i)
        local c = raw.connect(port)
        return c:send(("GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"):format(i))
      end, { limit = 100 })
      for i = 1, 1000 do
        assert.equal("/" .. i, clients[i]:response().body)
      end
      assert.equal(1000, server:stats().connections)
      for i = 1, 1000 do clients[i]:close() end
      wait_until(function() return server:stats().connections == 0 end)
    end))
  end)

  describe("a response", function()
    it("to HEAD has no body and the same size", with_server({}, function(request)
      return request.path == "/size" and { status = 200, headers = { ["content-length"] = 1234 } }
        or request.path == "/stream" and { status = 200, body = function() error("not to be called") end }
        or hello()
    end, function(port)
      local c <close> = raw.connect(port)
      assert.equal("5", c:get("/", nil, "HEAD").headers["content-length"])
      assert.equal("1234", c:get("/size", nil, "HEAD").headers["content-length"])
      assert.equal("hello", c:get("/").body)
      assert.equal(200, c:get("/stream", nil, "HEAD").status)
      assert.equal("EOF", c:finish())
      assert.equal("", c.got)
    end))

    it("may repeat a header, and leaves framing to the server", with_server({}, function()
      return { status = 201, body = "x", headers = {
        ["Set-Cookie"] = { "a=1", "b=2" }, ["X-Number"] = 7, ["x-empty"] = "",
        ["Content-Length"] = 99, ["transfer-encoding"] = "gzip", ["connection"] = "keep-alive",
      } }
    end, function(port)
      local c <close> = raw.connect(port)
      local r = c:get("/")
      assert.equal(201, r.status)
      assert.equal("a=1, b=2", r.headers["set-cookie"])
      assert.equal("7", r.headers["x-number"])
      assert.truthy(r.head:find("\r\nx%-empty: *\r\n"))
      assert.equal("1", r.headers["content-length"])
      assert.is_nil(r.headers["transfer-encoding"])
      assert.equal("x", c:get("/").body)
    end))

    it("without a body is whole", with_server({}, function(request)
      return { status = tonumber(request.path:sub(2)) }
    end, function(port)
      local c <close> = raw.connect(port)
      assert.equal("0", c:get("/200").headers["content-length"])
      assert.is_nil(c:get("/204").headers["content-length"])
      assert.equal(304, c:get("/304").status)
    end))

    it("to HEAD, or a 304, may say the length of the body that is not sent", with_server({}, function(request)
      if request.path == "/whole" then return { status = 200, body = "whole" } end
      return { status = tonumber(request.path:sub(2)), headers = { ["content-length"] = 5 } }
    end, function(port)
      local c <close> = raw.connect(port)
      for _, line in ipairs { "HEAD /200", "GET /304", "HEAD /304" } do
        c:send(line .. " HTTP/1.1\r\nHost: x\r\n\r\n")
        assert.equal("5", c:response(true).headers["content-length"], line)
        assert.equal("whole", c:get("/whole").body) -- nothing else came
      end
    end))

    it("of megabytes arrives whole", with_server({}, function()
      return { status = 200, body = ("abcdefgh"):rep(500000) }
    end, function(port)
      local c <close> = raw.connect(port)
      for _ = 1, 2 do
        local r = c:get("/")
        assert.equal("4000000", r.headers["content-length"])
        assert.is_true(r.body == ("abcdefgh"):rep(500000))
      end
    end))
  end)

  describe("a streamed body", function()
    it("is sent chunk by chunk", with_server({}, function()
      local i = 0
      return { status = 200, body = function()
        i = i + 1
        weir.sleep(0.001)
        return i <= 4 and ("chunk %d;"):format(i) or i == 5 and "" or i == 6 and ("x"):rep(100000) or nil
      end }
    end, function(port)
      local c <close> = raw.connect(port)
      for _ = 1, 2 do
        local r = c:get("/")
        assert.is_true(r.body == "chunk 1;chunk 2;chunk 3;chunk 4;" .. ("x"):rep(100000))
        assert.is_true(r.whole)
      end
    end))

    it("is made no faster than it is read", helper.real(function()
      local made, enough = 0, false
      local server <close> = serve({}, function()
        return { status = 200, body = function()
          if enough then return nil end
          made = made + 1
          assert(made < 1000)
          return ("x"):rep(100000)
        end }
      end)
      local c <close> = raw.connect(server.port)
      c:ignore()
      c:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      local before
      repeat -- until what is between us is full
        before = made
        weir.sleep(0.03)
      until made == before and made > 0
      enough = true
      c:count()
      wait_until(function() return server:stats().active == 0 and c.n > made * 100000 end)
    end))

    it("may have its length said", with_server({}, function()
      local left = 3
      return { status = 200, headers = { ["Content-Length"] = "6" }, body = function()
        left = left - 1
        return left >= 0 and "ab" or nil
      end }
    end, function(port)
      local c <close> = raw.connect(port)
      for _ = 1, 2 do
        local r = c:get("/")
        assert.equal("6", r.headers["content-length"])
        assert.equal("ababab", r.body)
      end
    end))

    it("that fails is cut, not ended", function()
      local output, code = program([[
        local i = 0
        return { status = 200, body = function()
          i = i + 1
          return i <= 2 and "part" or error("no more of it")
        end }]], [[
        local r = c:get("/")
        return r.status, r.body, r.whole, c:finish() ]])
      assert.equal(0, code)
      assert.truthy(output:find("200\tpartpart\tfalse\t", 1, true), output)
      assert.truthy(output:find("no more of it", 1, true), output)
    end)

    it("that is shorter or longer than its length is cut and reported", function()
      for length, what in pairs { [9] = "5 bytes shorter", [3] = "longer" } do
        local output, code = program([[
          local i = 0
          return { status = 200, headers = { ["content-length"] = ]] .. length .. [[ }, body = function()
            i = i + 1
            return i == 1 and "part" or nil
          end }]], [[
          local r = c:get("/")
          return r.whole ]])
        assert.equal(0, code)
        assert.truthy(output:find("false", 1, true), output)
        assert.truthy(output:find(what, 1, true), output)
      end
    end)
  end)

  describe("weir's own client", function()
    local has_client, http = pcall(require, "weir.http")
    if not has_client then
      pending("needs libcurl's module")
      return
    end

    it("gets what it asked for, a thousand times", with_server({}, function(request)
      weir.sleep(0.001)
      return { status = 200, headers = { ["x-method"] = request.method }, body = request.query.n .. request.body }
    end, function(port, server)
      local i = 0
      local results = weir.map(function()
        i = i + 1
        return i <= 1000 and i or nil
      end, function(n)
        local url = ("http://127.0.0.1:%d/?n=%d"):format(port, n)
        local r = n % 3 == 0 and http.post(url, { body = "+" .. n }) or http.get(url)
        return r.headers["x-method"] .. r.body
      end, { limit = 50 })
      for n = 1, 1000 do
        assert.equal(n % 3 == 0 and ("POST%d+%d"):format(n, n) or "GET" .. n, results[n])
      end
      assert.is_true(server:stats().accepted <= 50)
    end))

    it("gets a stream, piece by piece", with_server({}, function()
      local n = 0
      return { status = 200, body = function()
        n = n + 1
        weir.checkpoint()
        return n <= 50 and ("x"):rep(10000) or nil
      end }
    end, function(port)
      assert.equal(500000, #http.get(("http://127.0.0.1:%d/"):format(port)).body)
    end))

    it("that gives up cancels the handler", helper.real(function()
      local started, ended
      local server <close> = serve({}, function()
        local _ <close> = helper.closing(function(err) ended = weir.kind(err) end)
        started = true
        weir.sleep(3600)
      end)
      local get = weir.spawn(http.get, ("http://127.0.0.1:%d/"):format(server.port))
      wait_until(function() return started end)
      get:cancel()
      wait_until(function() return ended end)
      assert.equal("cancelled", ended)
    end))
  end)
end)
