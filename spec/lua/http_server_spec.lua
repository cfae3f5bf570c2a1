-- http_server_spec.lua - http.serve, seen by a client that says what it likes. In real time.

local helper = require "support.helper"
local raw = require "support.raw_http"
local weir = require "weir"

local found, serve = pcall(function() return require("weir.http.server").serve end)

-- The body of an `it`: a server with `handler`, closed at the end; fn(port, server).
local function with_server(options, handler, fn)
  return helper.real(function()
    local server <close> = serve(options, handler)
    fn(server.port, server)
  end)
end

local function hello()
  return { status = 200, headers = { ["Content-Type"] = "text/plain" }, body = "hello" }
end

local function echo(request)
  return { status = 200, body = request.body }
end

-- Wait until `condition` holds: what it depends on comes from the network, in no known time.
local function wait_until(condition)
  weir.timeout(20, function()
    while not condition() do weir.sleep(0.001) end
  end)
end

-- A program that serves with the handler `text` and prints what `talk` (of c, a client) returns.
local function program(text, talk)
  return helper.program(([[
    package.path = "spec/?.lua;" .. package.path
    local weir, raw = require "weir", require "support.raw_http"
    local serve = require("weir.http.server").serve
    weir.run(function()
      local server <close> = serve({ name = "shop" }, function(request) %s end)
      local c <close> = raw.connect(server.port)
      print((function() %s end)())
    end)]]):format(text, talk))
end

describe("weir.http.serve #real", function()
  if not found or not raw.uv then
    pending("needs libmicrohttpd's module and luv")
    return
  end

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
      local made, ended = 0, false
      local server <close> = serve({}, function()
        return { status = 200, body = function()
          made = made + 1
          if made <= 400 then return ("x"):rep(100000) end
          ended = true
        end }
      end)
      local c <close> = raw.connect(server.port)
      c:ignore()
      c:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      local before
      repeat -- until the sockets between us are full
        before = made
        weir.sleep(0.05)
      until made == before and made > 0
      assert.is_true(made < 300, "made " .. made)
      c:count()
      wait_until(function() return ended and c.n > 40000000 end)
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

  describe("a handler that fails", function()
    it("is a 500 and a report, and hurts nobody", function()
      local output, code = program([[
        if request.path == "/ok" then return { status = 200, body = "fine" } end
        error("something broke")]], [[
        local r, ok = c:get("/"), c:get("/ok")
        return r.status, r.body, ok.body, server:stats().errors ]])
      assert.equal(0, code)
      assert.truthy(output:find("500\tInternal Server Error\tfine\t1", 1, true), output)
      assert.truthy(output:find("http.serve 'shop'", 1, true), output)
      assert.truthy(output:find("something broke", 1, true), output)
      assert.truthy(output:find("stack traceback", 1, true), output)
    end)

    it("is one that returns anything but a response, or what cannot be sent", function()
      local bad = {
        [[return nil]], [[return 200]], [[return {}]], [[return { status = "200" }]], [[return { status = 42 }]],
        [[return { status = 100 }]], [[return { status = 200, body = 5 }]], [[return { status = 200, body = {} }]],
        [[return { status = 200, headers = "x: y" }]], [[return { status = 200, headers = { "x: y" } }]],
        [[return { status = 200, headers = { x = true } }]], [[return { status = 200, headers = { x = { {} } } }]],
        [[return { status = 200, headers = { ["x y"] = "z" } }]], [[return { status = 200, headers = { [""] = "z" } }]],
        [[return { status = 200, headers = { x = "a\r\nInjected: b" } }]],
        [[return { status = 200, headers = { x = "a\n" } }]], [[return { status = 200, headers = { x = "a\0b" } }]],
        [[return { status = 200, headers = { x = { "a", "b\r" } } }]],
        [[return { status = 200, headers = { ["x: y\r\nInjected"] = "b" } }]],
        [[return { status = 200, headers = { ["x\0"] = "b" } }]],
        [[return { status = 200, headers = { Location = "/" .. request.query.to } }]],
      }
      local cases = {}
      for i, text in ipairs(bad) do cases[i] = ("function(request) %s end"):format(text) end
      local output, code = program(([[
        local cases = { %s }
        local case = cases[tonumber(request.path:sub(2))]
        return case and case(request) or { status = 200, body = "fine" }]]):format(table.concat(cases, ",\n")),
        ([[
        for i = 2, %d do
          local r = c:get("/" .. i .. "?to=%%0d%%0aInjected:%%20b")
          if r.status ~= 500 or r.head:find("Injected") then return i, r.head end
        end
        local r = c:get("/0")
        return r.body, server:stats().errors ]]):format(#bad))
      assert.equal(0, code)
      assert.truthy(output:find(("fine\t%d"):format(#bad - 1), 1, true), output)
    end)

    it("is one whose wait for somebody else was cancelled", function()
      local output, code = program([[
        local t = weir.spawn(weir.sleep, 60)
        t:cancel("not needed")
        t:await()]], [[ return c:get("/").status ]])
      assert.equal(0, code)
      assert.truthy(output:find("500", 1, true), output)
    end)
  end)

  describe("a request that is refused", function()
    local function refused(status, options, text)
      return with_server(options, hello, function(port, server)
        local c <close> = raw.connect(port)
        c:send(text)
        local r = c:response()
        assert.equal(status, r and r.status)
        assert.equal(0, server:stats().active)
        local next <close> = raw.connect(port)
        assert.equal("hello", next:get("/").body)
      end)
    end

    local long = "X-Long: " .. ("x"):rep(3000) .. "\r\n"
    it("has too large a head", refused(431, { max_header = 2000 }, "GET / HTTP/1.1\r\nHost: x\r\n" .. long .. "\r\n"))
    it("has far too large a head", refused(431, {}, "GET / HTTP/1.1\r\nHost: x\r\n" .. long:rep(20) .. "\r\n"))
    it("has too long a target", refused(414, {}, "GET /" .. ("x"):rep(100000) .. " HTTP/1.1\r\n"))
    it("has too large a body", refused(413, { max_body = 10 },
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world"))
    it("has too large a body in chunks", refused(413, { max_body = 10 },
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"))
    it("announces too large a body", refused(413, { max_body = 10 },
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n"))
    it("has no Host", refused(400, {}, "GET / HTTP/1.1\r\n\r\n"))
    it("has two Hosts", refused(400, {}, "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"))
    it("has two lengths", refused(400, {},
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"))
    it("has a length and chunks", refused(400, {},
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
    it("has a length that is none", refused(400, {}, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na"))
    it("has another encoding", refused(501, {},
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"))
    it("has a blank before a colon", refused(400, {},
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\na"))
    it("has a folded header", refused(400, {},
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Le: 1\r\n ngth\r\n\r\na"))
    it("has a NUL in a header", refused(400, {}, "GET / HTTP/1.1\r\nHost: x\r\nX-Y: a\0b\r\nA: b\r\n\r\n"))
    it("has a NUL in its last header", refused(400, {}, "GET / HTTP/1.1\r\nHost: x\r\nX-Y: a\0bcdef\r\n\r\n"))
    it("has a CR in a header", refused(400, {}, "GET / HTTP/1.1\r\nHost: x\r\nX-Y: a\rb\r\n\r\n"))
    it("has a blank in its target", refused(400, {}, "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"))
    it("has a bad escape in its path", refused(400, {}, "GET /a%4 HTTP/1.1\r\nHost: x\r\n\r\n"))
    it("has a NUL in its path", refused(400, {}, "GET /a%00 HTTP/1.1\r\nHost: x\r\n\r\n"))
    it("has no method", refused(400, {}, "G@T / HTTP/1.1\r\nHost: x\r\n\r\n"))
    it("is not of HTTP/1", refused(505, {}, "GET / HTTP/2.0\r\nHost: x\r\n\r\n"))

    it("leaves the connection usable if only its body was too large", with_server({ max_body = 10 }, echo,
      function(port)
        local c <close> = raw.connect(port)
        c:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n" .. ("x"):rep(20))
        assert.equal(413, c:response().status)
        c:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n" .. ("y"):rep(10))
        assert.equal(("y"):rep(10), c:response().body)
      end))
  end)

  describe("a client that leaves", function()
    it("cancels its handler, whose cleanup runs and may wait", helper.real(function()
      local started, reason, cleaned
      local server <close> = serve({}, function()
        local _ <close> = helper.closing(function(err)
          reason = weir.kind(err)
          weir.shield(function() weir.sleep(0.001) end)
          cleaned = true
        end)
        started = true
        weir.sleep(3600)
      end)
      local c = raw.connect(server.port)
      c:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      wait_until(function() return started end)
      c:close()
      wait_until(function() return cleaned end)
      assert.equal("cancelled", reason)
      wait_until(function() return server:stats().connections == 0 end)
      assert.equal(1, server:stats().left)
      assert.equal(0, server:stats().active)
      assert.equal(0, server:stats().errors)
    end))

    it("cancels it also with a request behind it in the pipe", helper.real(function()
      local seen, ended = {}, 0
      local server <close> = serve({}, function(request)
        local _ <close> = helper.closing(function() ended = ended + 1 end)
        seen[#seen + 1] = request.path
        weir.sleep(3600)
      end)
      local c = raw.connect(server.port)
      c:send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
      wait_until(function() return #seen > 0 end)
      c:close()
      wait_until(function() return ended == 1 end)
      wait_until(function() return server:stats().connections == 0 end)
      assert.same({ "/1" }, seen)
    end))

    it("cancels a handler that streams, whether it waits for data or for the client", helper.real(function()
      local ended = 0
      local server <close> = serve({}, function(request)
        return { status = 200, body = function()
          local _ <close> = helper.closing(function(err) ended = ended + (err and 1 or 0) end)
          if request.path == "/slow" then weir.sleep(3600) end
          if request.path == "/some" and request.sent then weir.sleep(3600) end
          request.sent = true
          return ("x"):rep(1000000)
        end }
      end)
      for n, path in ipairs { "/slow", "/some" } do
        local c = raw.connect(server.port)
        c:send("GET " .. path .. " HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(function() return #c.got > (path == "/slow" and 80 or 1000000) end)
        c:close()
        wait_until(function() return ended == n end)
      end
      local c = raw.connect(server.port)
      c:ignore()
      c:send("GET /fast HTTP/1.1\r\nHost: x\r\n\r\n")
      weir.sleep(0.02)
      c:close()
      wait_until(function() return server:stats().connections == 0 end)
      assert.equal(3, server:stats().left)
      assert.equal(0, server:stats().errors)
    end))

    it("in the middle of a request is forgotten", with_server({}, hello, function(port, server)
      for _, text in ipairs { "GET", "GET / HTTP/1.1\r\nHost: x\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nh" } do
        local c = raw.connect(port)
        c:send(text)
        weir.sleep(0.001)
        c:close()
      end
      wait_until(function() return server:stats().connections == 0 end)
      assert.equal(0, server:stats().active)
    end))
  end)

  describe("drain", function()
    it("lets requests finish, closes what is idle, and returns then", helper.real(function()
      local entered, finish = 0, false
      local server = serve({}, function()
        entered = entered + 1
        while not finish do weir.sleep(0.001) end
        return { status = 200, body = "done" }
      end)
      local busy <close> = raw.connect(server.port)
      local idle <close> = raw.connect(server.port)
      busy:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      wait_until(function() return entered == 1 and server:stats().connections == 2 end)
      local draining = weir.spawn(server.drain, server)
      idle:finish()
      assert.equal("", idle.got)
      assert.is_false(pcall(raw.connect, server.port))
      assert.equal("waiting", draining.status)
      finish = true
      local r = busy:response()
      assert.equal("done", r.body)
      assert.equal("close", r.headers.connection:lower())
      busy:finish()
      draining:await()
      server:drain()
      server:close()
    end))

    it("waits for a stream to its end", helper.real(function()
      local n = 0
      local server = serve({}, function()
        return { status = 200, body = function()
          n = n + 1
          weir.sleep(0.002)
          return n <= 5 and "x" or nil
        end }
      end)
      local c <close> = raw.connect(server.port)
      c:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      c:wait("\r\n\r\n")
      weir.spawn(server.drain, server)
      local r = c:response()
      assert.equal("xxxxx", r.body)
      assert.is_true(r.whole)
    end))

    it("inside a handler is a deadlock, and says so", helper.real(function()
      local kind, server
      server = serve({}, function()
        kind = weir.kind(select(2, pcall(server.drain, server)))
        return hello()
      end)
      local c <close> = raw.connect(server.port)
      assert.equal("hello", c:get("/").body)
      assert.equal("deadlock", kind)
      server:close()
    end))
  end)

  describe("close", function()
    it("cancels handlers, closes all, and waits for their cleanup", helper.real(function()
      local entered, cleaned = 0, 0
      local server = serve({}, function()
        local _ <close> = helper.closing(function()
          weir.shield(function() weir.sleep(0.005) end)
          cleaned = cleaned + 1
        end)
        entered = entered + 1
        weir.sleep(3600)
      end)
      local a <close> = raw.connect(server.port)
      local b <close> = raw.connect(server.port)
      local idle <close> = raw.connect(server.port)
      a:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      b:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      wait_until(function() return entered == 2 end)
      server:close()
      assert.equal(2, cleaned)
      a:finish()
      b:finish()
      idle:finish()
      assert.equal("", a.got .. b.got .. idle.got)
      assert.is_false(pcall(raw.connect, server.port))
      server:close()
      server:drain()
    end))

    it("may be called by a handler", helper.real(function()
      local server
      server = serve({}, function()
        server:close()
        return hello()
      end)
      local c <close> = raw.connect(server.port)
      c:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      c:finish()
      server:drain()
    end))

    it("comes with a cancel of the scope, which does not end before", helper.real(function()
      local server, entered, cleaned
      local scope = weir.spawn(function()
        server = serve({}, function()
          local _ <close> = helper.closing(function() cleaned = true end)
          entered = true
          weir.sleep(3600)
        end)
      end)
      wait_until(function() return server end)
      local c <close> = raw.connect(server.port)
      c:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      wait_until(function() return entered end)
      assert.equal("waiting", scope.status)
      scope:cancel("enough")
      scope:pawait()
      assert.is_true(cleaned)
      assert.is_false(pcall(raw.connect, server.port))
      c:finish()
    end))

    it("comes with the scope's cancel also where nothing was awaited since", helper.real(function()
      local server
      local kind = weir.kind(select(2, pcall(weir.scope, function(s)
        s:cancel("at once")
        server = serve({}, hello)
      end)))
      assert.equal("cancelled", kind)
      assert.is_nil(server)
    end))
  end)

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
end)
