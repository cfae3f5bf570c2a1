-- http_server_end_spec.lua - http.serve: clients that leave, drain, close. In real time.

local helper = require "support.helper"
local raw = require "support.raw_http"
local support = require "support.http_server"
local weir = require "weir"

local serve, with_server, wait_until = support.serve, support.with_server, support.wait_until
local hello = support.hello

describe("weir.http.serve, ending #real", function()
  if not serve then
    pending("needs libmicrohttpd's module and luv")
    return
  end

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
end)
