-- http_client_spec.lua - weir.http's client against a real nginx and a server that breaks rules.
--
-- In real time, since the network is; no spec waits longer than it must, and none asserts how
-- long something took. What a wait must not take shows in what the servers saw.

local helper = require "support.helper"
local nginx = require "support.nginx"
local rude = require "support.rude_server"
local weir = require "weir"

local found, http = pcall(require, "weir.http")

-- A name that the resolver refuses without asking anybody: the label is too long.
local LABEL <const> = ("x"):rep(70)
local NOWHERE <const> = "http://" .. LABEL .. ".invalid/"

-- Kind, op and curl's name of the error that `fn` must raise; credentials never show.
local function failure(kind, code, fn, ...)
  local err = helper.error(kind, fn, ...)
  assert.equal(code, err.code)
  assert.is_nil(tostring(err):find("se cret", 1, true))
  return err
end

local function threads()
  for line in io.lines("/proc/self/status") do
    local n = line:match("^Threads:%s*(%d+)")
    if n then return tonumber(n) end
  end
end

-- helper.program under a shell's `settings`: limits and environment.
local function program_under(settings, text)
  local name = os.tmpname()
  do
    local file <close> = assert(io.open(name, "w"))
    file:write(text)
  end
  local output = helper.program(([[
    local pipe = assert(io.popen(%q))
    io.write(pipe:read("a"))
    pipe:close()]]):format(settings .. " lua5.4 " .. name .. " 2>&1"))
  os.remove(name)
  return output
end

-- helper.real, on a clock that is not behind by what setting up took: time is read once a turn.
local function real(fn)
  return helper.real(function()
    weir.sleep(0.001)
    fn()
  end)
end

local function counter(last)
  local i = 0
  return function()
    i = i + 1
    return i <= last and i or nil
  end
end

describe("weir.http client #real", function()
  if not (found and nginx.found and rude.found) then
    pending("needs libcurl's module, nginx and luv")
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

  -- The body of an `it` with a client of its own: fn(client).
  local function with_client(options, fn)
    return real(function()
      local client <close> = http.client(options)
      fn(client)
    end)
  end

  describe("an answer", function()
    it("has status, headers, body, url, version and elapsed", real(function()
      local r = http.get(server:url("/where"))
      assert.equal(200, r.status)
      assert.equal("text/plain", r.headers["content-type"])
      assert.truthy(r.body:find("^GET /where HTTP/1.1 "))
      assert.equal(server:url("/where"), r.url)
      assert.equal("1.1", r.http_version)
      assert.equal("number", type(r.elapsed))
    end))

    it("is an answer whatever its status", real(function()
      local r = http.get(server:url("/404"))
      assert.equal(404, r.status)
      assert.equal("nothing here", r.body)
      r = http.get(server:url("/204"))
      assert.equal(204, r.status)
      assert.equal("", r.body)
    end))

    it("joins repeated headers, and lists cookies", real(function()
      local headers = http.get(server:url("/cookies")).headers
      assert.equal("one, two", headers["x-twice"])
      assert.same({ "a=1; Path=/", "b=2; Expires=Wed, 21 Oct 2099 07:28:00 GMT" }, headers["set-cookie"])
    end))

    it("is decompressed", real(function()
      local r = http.get(server:url("/gzip"))
      assert.equal("gzip", r.headers["content-encoding"])
      assert.is_true(r.body == nginx.large)
    end))

    it("is as long as it is", real(function()
      assert.is_true(http.get(server:url("/large")).body == nginx.large)
    end))

    it("has no body for HEAD", real(function()
      local r = http.head(server:url("/large"))
      assert.equal(200, r.status)
      assert.equal("", r.body)
      assert.equal(tostring(#nginx.large), r.headers["content-length"])
    end))

    it("skips 1xx, unfolds lines and keeps trailers out", real(function()
      local r = http.get(bad:url("hints"))
      assert.equal(200, r.status)
      assert.is_nil(r.headers.link)
      assert.equal("b", r.headers["x-a"])
      r = http.get(bad:url("folded"))
      assert.equal("one two", r.headers["x-long"])
      assert.equal("", r.headers["x-empty"])
      r = http.get(bad:url("trailer"))
      assert.equal("ok", r.body)
      assert.is_nil(r.headers["x-late"])
    end))
  end)

  describe("a request", function()
    it("takes a URL, options, or both", real(function()
      assert.equal(200, http.get(server:url("/hello")).status)
      assert.equal(200, http.get({ url = server:url("/hello") }).status)
      assert.equal(200, http.get(server:url("/hello"), { timeout = 20 }).status)
      assert.equal(200, http.request(server:url("/hello")).status)
      assert.truthy(http.request({ url = server:url("/where"), method = "propfind" }).status)
    end))

    it("sends a body, as it is and as JSON", real(function()
      assert.equal("POST  some body", http.post(server:url("/echo"), { body = "some body" }).body)
      assert.equal("PUT application/json [1,2]", http.put(server:url("/echo"), { json = { 1, 2 } }).body)
      assert.equal("PATCH text/x body", http.patch(server:url("/echo"),
        { body = "body", headers = { ["Content-Type"] = "text/x" } }).body)
      assert.equal("POST  ", http.post(server:url("/echo")).body)
      assert.equal("DELETE  ", http.delete(server:url("/echo")).body)
    end))

    it("reads JSON", real(function()
      assert.equal(201, http.put(server:url("/files/x.json"), { json = { n = 1, list = {} } }).status)
      assert.equal(1, http.get(server:url("/files/x.json")):json().n)
      helper.error("protocol", function() http.get(server:url("/hello")):json() end)
    end))

    it("encodes a query", real(function()
      local r = http.get(server:url("/where?x=1#part"), { query = { b = { 1, "two & 2" }, a = true, ["ü"] = 0.5 } })
      assert.truthy(r.body:find("/where?x=1&a=true&b=1&b=two%20%26%202&%C3%BC=0.5 ", 1, true))
    end))

    it("sends headers, the client's own beneath them", with_client({
      headers = { ["X-One"] = "client", Cookie = "a=b" }, bearer = "token",
    }, function(client)
      assert.truthy(client:get(server:url("/where")).body:find("auth=Bearer token one=client .* cookie=a=b "))
      local r = client:get(server:url("/where"), { headers = { ["x-one"] = 7, cookie = false } })
      assert.truthy(r.body:find("auth=Bearer token one=7 .* cookie= "))
      r = client:get(server:url("/where"), { headers = { ["x-one"] = "" }, auth = { "ann", "se cret" } })
      assert.truthy(r.body:find("auth=Basic YW5uOnNlIGNyZXQ= one= "))
      assert.truthy(client:get(server:url("/where")).body:find("one=client "))
    end))

    it("signs in", real(function()
      assert.equal(401, http.get(server:url("/auth")).status)
      assert.equal(200, http.get(server:url("/auth"), { auth = { "ann", "se cret" } }).status)
      local url = server:url("/auth"):gsub("//", "//ann:se%%20cret@")
      local r = http.get(url)
      assert.equal(200, r.status)
      assert.equal(server:url("/auth"), r.url)
    end))

    it("leaves nothing of itself in the handle that the next one gets", with_client({ max = 1 }, function(client)
      local plain = client:get(server:url("/where")).body
      client:post(server:url("/echo"), { body = "x", headers = { ["X-One"] = "1" } })
      client:head(server:url("/where"))
      client:put(server:url("/files/y"), { body = counter(0) })
      pcall(client.get, client, bad:url("bomb"), { max_body = 10 })
      client:delete(server:url("/files/y"))
      client:get(server:url("/where"), { headers = { ["X-One"] = "1" }, bearer = "t" })
      assert.equal(plain, client:get(server:url("/where")).body)
      assert.equal(1, client:stats().spare)
    end))

    it("uses a connection again", with_client({}, function(client)
      for _ = 1, 5 do client:get(server:url("/hello")) end
      assert.equal(1, client:stats().connections)
      assert.equal(1, client:stats().lookups)
    end))

    it("is made again on a connection that was closed meanwhile", with_client({}, function(client)
      for _ = 1, 3 do assert.equal("once", client:get(bad:url("once")).body) end
    end))
  end)

  describe("a redirect", function()
    it("is followed ten times by GET and HEAD", real(function()
      local r = http.get(server:url("/hop/10"))
      assert.equal("landed", r.body)
      assert.equal(server:url("/hop/0"), r.url)
      assert.equal(200, http.head(server:url("/hop/3")).status)
      failure("protocol", "CURLE_TOO_MANY_REDIRECTS", http.get, server:url("/hop/11"))
      failure("protocol", "CURLE_TOO_MANY_REDIRECTS", http.get, server:url("/loop"))
    end))

    it("is an answer if it is not to be followed", real(function()
      local r = http.get(server:url("/hop/1"), { follow = false })
      assert.equal(302, r.status)
      assert.truthy(r.headers.location:find("/hop/0$"))
      assert.equal(302, http.post(server:url("/moved/302"), { body = "x" }).status)
      failure("protocol", "CURLE_TOO_MANY_REDIRECTS", http.get, server:url("/hop/2"), { max_redirects = 1 })
      failure("protocol", "CURLE_TOO_MANY_REDIRECTS", http.get, server:url("/hop/1"), { max_redirects = 0 })
    end))

    it("makes a GET of a POST, unless it is 307 or 308", real(function()
      local options = { body = "text", headers = { ["Content-Type"] = "text/x" }, follow = true }
      for _, status in ipairs { 301, 302, 303 } do
        assert.truthy(http.post(server:url("/moved/" .. status), options).body:find("^GET /where .* type= "))
      end
      assert.truthy(http.put(server:url("/moved/303"), options).body:find("^GET "))
      for _, status in ipairs { 307, 308 } do
        assert.equal("POST text/x text", http.post(server:url("/moved/" .. status), options).body)
      end
      options.body = counter(0)
      assert.equal(307, http.post(server:url("/moved/307"), options).status) -- cannot be sent again
    end))

    it("takes no credentials to another place", real(function()
      local options = { bearer = "token", headers = { Cookie = "a=b", ["X-One"] = "1" } }
      local r = http.get(server:url("/to?/where"), options)
      assert.truthy(r.body:find("auth=Bearer token one=1 .* cookie=a=b "))
      local elsewhere = ("http://localhost:%d/where"):format(server.port)
      r = http.get(server:url("/to?" .. elsewhere), options)
      assert.equal(elsewhere, r.url)
      assert.truthy(r.body:find("auth= one=1 .* cookie= "))
    end))

    it("to another scheme is an error", real(function()
      failure("protocol", "CURLE_UNSUPPORTED_PROTOCOL", http.get, bad:url("elsewhere"))
    end))
  end)

  describe("TLS", function()
    it("is verified unless told not to, and speaks HTTP/2", with_client({}, function(client)
      if not server.ca then return pending("needs openssl") end
      failure("network", "CURLE_PEER_FAILED_VERIFICATION", client.get, client, server:tls_url("/where"))
      local r = client:get(server:tls_url("/where"), { ca = server.ca })
      assert.equal("2", r.http_version)
      assert.truthy(r.body:find(" HTTP/2.0 "))
      assert.equal(200, client:get(server:tls_url("/where"), { verify = false }).status)
      failure("network", "CURLE_PEER_FAILED_VERIFICATION", client.get, client, server:tls_url("/where"))
      failure("misuse", "CURLE_SSL_CACERT_BADFILE", client.get, client, server:tls_url("/x"), { ca = "/no/such/file" })
    end))

    it("shares one connection among requests that come at once", real(function()
      if not server.ca then return pending("needs openssl") end
      local client <close> = http.client { ca = server.ca }
      local r = weir.map(counter(40), function() return client:get(server:tls_url("/where")).status end)
      for i = 1, 40 do assert.equal(200, r[i]) end
      assert.equal(1, client:stats().connections)
    end))
  end)

  describe("a streamed answer", function()
    it("comes in pieces, to its end", real(function()
      for _, path in ipairs { "/large", "/gzip" } do
        local r = http.get(server:url(path), { stream = true })
        assert.equal(200, r.status)
        assert.is_nil(r.body)
        local pieces = {}
        for chunk in r:chunks() do pieces[#pieces + 1] = chunk end
        assert.is_true(table.concat(pieces) == nginx.large)
        assert.is_nil(r:read())
        r:close()
      end
    end))

    it("is not read faster than it is wanted", real(function()
      local r <close> = http.get(bad:url("bomb"), { stream = true })
      local sent, before
      repeat -- until the server can send no more
        before = sent
        weir.sleep(0.05)
        sent = tonumber(http.get(bad:url("sent")).body)
      until sent == before
      assert.is_true(sent < 64 * 1024 * 1024)
      local got = 0
      while got < sent + 1000000 do got = got + #r:read() end -- and goes on
    end))

    it("gives its connection up when it is closed", with_client({ max = 1 }, function(client)
      local r = client:get(bad:url("bomb"), { stream = true })
      assert.truthy(r:read())
      assert.equal(1, client:stats().held)
      r:close()
      r:close()
      assert.equal(0, client:stats().held)
      helper.error("closed", r.read, r)
      for chunk in client:get(bad:url("bomb"), { stream = true }):chunks() do
        assert.truthy(#chunk > 0)
        break
      end
      assert.equal(200, client:get(server:url("/hello")).status)
    end))

    it("that is forgotten is collected", with_client({ max = 1 }, function(client)
      client:get(bad:url("bomb"), { stream = true })
      collectgarbage()
      collectgarbage()
      assert.equal(0, client:stats().held)
    end))

    it("that breaks off raises where it breaks", real(function()
      local r <close> = http.get(bad:url("short"), { stream = true })
      assert.equal(200, r.status)
      assert.equal("only this", r:read())
      failure("network", "CURLE_PARTIAL_FILE", r.read, r)
      helper.error("closed", r.read, r)
    end))

    it("keeps to the request's timeout and max_body", real(function()
      local r <close> = http.get(server:url("/slow"), { stream = true, timeout = 0.2 })
      local err = failure("timeout", "CURLE_OPERATION_TIMEDOUT", function()
        while r:read() do end
      end)
      assert.equal("http:get", err.op)
      local b <close> = http.get(bad:url("bomb"), { stream = true, max_body = 1000000 })
      failure("protocol", "CURLE_FILESIZE_EXCEEDED", function()
        while b:read() do end
      end)
    end))

    it("can be read as JSON", real(function()
      http.put(server:url("/files/z.json"), { json = { 1, 2, 3 } })
      assert.same({ 1, 2, 3 }, http.get(server:url("/files/z.json"), { stream = true }):json())
    end))

    it("is only to be had if asked for", real(function()
      local r = http.get(server:url("/hello"))
      helper.error("misuse", r.read, r)
      helper.error("misuse", r.chunks, r)
      r:close()
    end))
  end)

  describe("a body in pieces", function()
    it("comes from a function that may wait", real(function()
      local next_number = counter(50)
      local r = http.put(server:url("/files/slowly"), { body = function()
        local i = next_number()
        if i then
          weir.sleep(0.0005)
          return ("%04d"):format(i):rep(500)
        end
      end })
      assert.equal(201, r.status)
      local text = http.get(server:url("/files/slowly")).body
      assert.equal(50 * 2000, #text)
      assert.equal("0050", text:sub(-4))
    end))

    it("comes from a file", real(function()
      local file <close> = assert(io.open(server.dir .. "/root/large.txt"))
      assert.equal(201, http.put(server:url("/files/copy"), { body = file }).status)
      assert.is_true(http.get(server:url("/files/copy")).body == nginx.large)
    end))

    it("larger than any buffer arrives whole", real(function()
      local next_number = counter(4)
      http.put(server:url("/files/big"), { body = function() return next_number() and nginx.large end })
      assert.equal(4 * #nginx.large, #http.get(server:url("/files/big")).body)
    end))

    it("is as long as its content-length, or an error", real(function()
      local function put(length, pieces)
        local next_number = counter(pieces)
        return http.put(server:url("/files/n"), {
          headers = { ["Content-Length"] = length },
          body = function() return next_number() and "12345" end,
        })
      end
      assert.truthy(put(15, 3).status < 300)
      helper.error("misuse", put, 15, 2)
      helper.error("misuse", put, 15, 4)
      helper.error("misuse", http.put, server:url("/files/n"), { body = "1234", headers = { ["Content-Length"] = 5 } })
      local options = { body = "1234", headers = { ["Content-Length"] = 4 } }
      assert.equal("POST  1234", http.post(server:url("/echo"), options).body)
    end))

    it("ends where the answer refuses it", real(function()
      local n = 0
      local r = http.post(bad:url("early"), { body = function()
        n = n + 1
        weir.checkpoint()
        return ("x"):rep(1000)
      end, timeout = 20 })
      assert.equal(413, r.status)
    end))

    it("passes on what its function raises, and gives everything back", with_client({}, function(client)
      local mine = {}
      local ok, err = pcall(client.post, client, server:url("/echo"), { body = function() error(mine) end })
      assert.is_false(ok)
      assert.equal(mine, err)
      helper.error("misuse", client.post, client, server:url("/echo"), { body = function() return 5 end })
      assert.equal(0, client:stats().held)
    end))
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
      failure("protocol", "CURLE_FILESIZE_EXCEEDED", http.get, bad:url("bomb"), { max_body = 100000 })
      failure("protocol", "CURLE_FILESIZE_EXCEEDED", http.get, server:url("/gzip"), { max_body = #nginx.large - 1 })
      assert.equal(5, #http.get(server:url("/hello"), { max_body = 5 }).body)
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
      err = helper.error("misuse", http.get, "http://ann:se%20cret@/")
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
      local output = program_under("ulimit -n 40;", ([[
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

    it("look up each name once at a time, on four threads at most", with_client({}, function(client)
      local before = threads()
      local _, errors = weir.map(counter(200), function(i)
        client:get(("http://%s%d.invalid/"):format(LABEL, i % 100))
      end, { limit = math.huge, on_error = "collect" })
      assert.equal("network", weir.kind(errors[1]))
      assert.is_true(threads() <= before + 4)
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
      local output = program_under(settings, ([[
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
