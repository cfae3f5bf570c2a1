-- http_server_refusal_spec.lua - http.serve: what is refused, of clients and of handlers. In real time.

local raw = require "support.raw_http"
local support = require "support.http_server"
local weir = require "weir"

local serve, with_server = support.serve, support.with_server
local hello, echo, program = support.hello, support.echo, support.program

describe("weir.http.serve, refusing #real", function()
  if not serve then
    pending("needs libmicrohttpd's module and luv")
    return
  end

  describe("a request that is refused", function()
    local function refused(status, options, text)
      return with_server(options, hello, function(port, server)
        local c <close> = raw.connect(port)
        c:send(text)
        local r = c:response()
        assert.equal(status, r and r.status)
        assert.equal(0, server:stats().active)
        if r.headers.connection == "close" then
          c:finish()
          assert.equal("", c.got) -- nothing behind it
        end
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
    it("has a body that could never be buffered", refused(413, { max_buffered = 10 },
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
    it("has a list of lengths", refused(400, {}, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na"))
    it("has a length beyond numbers", refused(413, {},
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\na"))
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
    it("has two blanks in its first line", refused(400, {}, "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"))
    it("has a blank behind its first line", refused(400, {}, "GET / HTTP/1.1 \r\nHost: x\r\n\r\n"))
    for _, host in ipairs { "a/b", "a@b", "a,b", "a b", "a?b", "a#b", "a\\b", "\xc3\xa4" } do
      it("has no Host but " .. host, refused(400, {}, "GET / HTTP/1.1\r\nHost: " .. host .. "\r\n\r\n"))
    end
    it("wants a tunnel", refused(501, {}, "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n"))
    it("expects something else", refused(417, {}, "GET / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n"))
    it("has no method", refused(400, {}, "G@T / HTTP/1.1\r\nHost: x\r\n\r\n"))
    it("is not of HTTP/1", refused(505, {}, "GET / HTTP/2.0\r\nHost: x\r\n\r\n"))

    it("is told so once, beside others whose heads are not whole, and after answers", with_server({}, echo,
      function(port, server)
        local post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "
        local good <close> = raw.connect(port)
        local bad <close> = raw.connect(port)
        local worse <close> = raw.connect(port)
        good:send(post .. "5\r\n")
        bad:send(post .. "0x5\r\nX-More:")
        support.wait_until(function() return server:stats().connections == 3 end)
        worse:send(post .. "5\r\n\r\nhello" .. post .. "-1\r\n\r\nhello")
        assert.equal("hello", worse:response().body)
        assert.equal(400, worse:response().status)
        assert.equal("EOF", worse:finish())
        assert.equal("", worse.got)
        bad:send(" 1\r\n\r\nhello")
        assert.equal(400, bad:response().status)
        bad:finish()
        assert.equal("", bad.got)
        good:send("\r\nfives")
        assert.equal("fives", good:response().body)
      end))

    it("leaves the connection usable if only its body was too large", with_server({ max_body = 10 }, echo,
      function(port)
        local c <close> = raw.connect(port)
        c:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n" .. ("x"):rep(20))
        assert.equal(413, c:response().status)
        c:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n" .. ("y"):rep(10))
        assert.equal(("y"):rep(10), c:response().body)
      end))

    it("of a client that stays keeps its descriptor for seconds, and no more than 64 are kept", with_server({}, hello,
      function(port)
        local function sockets()
          local pipe <close> = assert(io.popen("ls -l /proc/$PPID/fd 2>/dev/null | grep -c socket:"))
          return tonumber(pipe:read("a"))
        end
        local before <const>, clients = sockets(), {}
        for i = 1, 80 do
          clients[i] = raw.connect(port):send("GET / HTTP/1.1\r\n\r\nand more")
          assert.equal(400, clients[i]:response().status)
          clients[i]:finish()
        end
        local kept <const> = sockets() - before - #clients
        assert.is_true(kept > 0 and kept <= 64, kept .. " are kept")
        support.wait_until(function() return sockets() - before == #clients end)
        for _, c in ipairs(clients) do c:close() end
        local next <close> = raw.connect(port)
        assert.equal("hello", next:get("/").body)
      end))
  end)

  describe("a body", function()
    local function chunk(n)
      return ("%x\r\n%s\r\n"):format(n, ("x"):rep(n))
    end
    local CHUNKED <const> = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    local function sized(n)
      return ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"):format(n)
    end

    it("far too large is read for a while, so that its 413 arrives", with_server({ max_body = 1000 }, hello,
      function(port, server)
        local chunks = CHUNKED .. chunk(50000):rep(100) .. "0\r\n\r\n"
        for _, text in ipairs { sized(5000000) .. ("x"):rep(5000000), chunks } do
          local c <close> = raw.connect(port)
          local written
          c.socket:write(text, function(err) written = err or "all" end)
          assert.equal(413, c:response().status)
          assert.equal("EOF", c:finish())
          assert.equal("", c.got)
          support.wait_until(function() return written end)
          assert.equal("all", written) -- no reset
        end
        assert.equal(2, server:stats().refused.body)
      end))

    it("that trickles is given up in time", with_server({ body_timeout = 0.03 }, hello, function(port, server)
      for _, head in ipairs { sized(1000000), CHUNKED .. "ffff\r\n" } do
        local c <close> = raw.connect(port)
        c:send(head)
        while not c.ended and not c.got:find("\r\n\r\n", 1, true) do
          c:send("x")
          weir.sleep(0.005)
        end
        assert.equal(408, c:response().status)
        c:finish()
      end
      support.wait_until(function() return server:stats().connections == 0 end)
      assert.equal(2, server:stats().timeouts)
      local c <close> = raw.connect(port)
      c:send(sized(5) .. "hello")
      assert.equal(200, c:response().status)
      weir.sleep(0.05) -- its time does not count for what follows
      assert.equal(200, c:get("/").status)
    end))

    it("is refused while too many others are under way", with_server({ max_buffered = 100000 }, echo,
      function(port, server)
        local first <close> = raw.connect(port)
        first:send(sized(90000) .. ("x"):rep(80000))
        support.wait_until(function() return server:stats().buffered >= 80000 end)
        for _, text in ipairs { sized(50000) .. ("y"):rep(50000), CHUNKED .. chunk(50000) .. "0\r\n\r\n" } do
          local other <close> = raw.connect(port)
          other:send(text)
          local r = other:response()
          assert.equal(503, r.status)
          assert.equal("1", r.headers["retry-after"])
          assert.equal("EOF", other:finish())
        end
        first:send(("x"):rep(10000))
        assert.equal(("x"):rep(90000), first:response().body)
        local other <close> = raw.connect(port)
        other:send(CHUNKED .. chunk(50000) .. "0\r\n\r\n")
        assert.equal(50000, #other:response().body)
        assert.equal(2, server:stats().refused.buffered)
        assert.equal(0, server:stats().buffered)
      end))
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
      assert.truthy(output:find("(GET /)", 1, true), output)
      assert.truthy(output:find("something broke", 1, true), output)
      assert.truthy(output:find("stack traceback", 1, true), output)
    end)

    it("is reported without the control characters that a client or the handler sent", function()
      local output = program([[
        request.method = nil
        if request.path == "/status" then return { status = "200" } end
        return { status = 200, headers = { ["a: b\r\nc"] = "d" } }]], [[
        return c:get("/a%0d%0ab%1b").status, c:get("/status").status ]])
      assert.truthy(output:find([[(GET /a\x0D\x0Ab\x1B)]], 1, true), output)
      assert.truthy(output:find([[got "a: b\x0D\x0Ac"]], 1, true), output)
      assert.truthy(output:find([[got string "200"]], 1, true), output)
      assert.is_nil(output:find("\r", 1, true))
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
        [[return { status = 200, headers = { x = "a\1b" } }]], [[return { status = 200, headers = { x = "a\127" } }]],
        [[return { status = 200, headers = { x = { "a", "b\r" } } }]],
        [[return { status = 200, headers = { ["x: y\r\nInjected"] = "b" } }]],
        [[return { status = 200, headers = { ["x\0"] = "b" } }]],
        [[return { status = 200, headers = { x = ("y"):rep(8192) } }]],
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
end)
