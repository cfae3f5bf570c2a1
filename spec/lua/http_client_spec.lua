-- http_client_spec.lua - weir.http's client against a real nginx: requests, answers, streams.
--
-- In real time, since the network is; no spec waits longer than it must, and none asserts how
-- long something took. What a wait must not take shows in what the servers saw.

local helper = require "support.helper"
local nginx = require "support.nginx"
local rude = require "support.rude_server"
local support = require "support.http_client"
local weir = require "weir"

local _, http = pcall(require, "weir.http")
local failure, real, with_client, counter = support.failure, support.real, support.with_client, support.counter

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

    it("sends a body in thousands of pieces, and lets others run meanwhile", real(function()
      local n, turns, r = 0, 0, nil
      weir.scope(function(scope)
        scope:spawn(function()
          while true do
            weir.checkpoint()
            turns = turns + 1
          end
        end)
        r = http.post(server:url("/echo"), { body = function()
          n = n + 1
          return n <= 3000 and "x" or nil
        end })
        scope:cancel()
      end)
      assert.equal("POST  " .. ("x"):rep(3000), r.body)
      assert.is_true(turns > 20, turns .. " turns")
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

    it("takes no header named as sensitive there either", with_client(
      { headers = { ["X-One"] = "1" }, sensitive = { "x-one" } }, function(client)
        local elsewhere = ("http://localhost:%d/where"):format(server.port)
        for _, options in ipairs { {}, { headers = { ["X-One"] = "2" } }, { json = {} }, { bearer = "token" } } do
          local method = options.json and "post" or "get"
          options.follow = true
          local here = client[method](client, server:url("/to?/where"), options)
          assert.truthy(here.body:find(" one=[12] "), here.body)
          local there = client[method](client, server:url("/to?" .. elsewhere), options)
          assert.truthy(there.body:find(" one= "), there.body)
        end
        local r = http.get(server:url("/to?" .. elsewhere),
          { headers = { ["X-One"] = { "1", "2" } }, sensitive = { "X-One" } })
        assert.truthy(r.body:find(" one= "), r.body)
        helper.error("misuse", client.get, client, elsewhere, { sensitive = "x-one" })
        helper.error("misuse", client.get, client, elsewhere, { sensitive = { "x one" } })
        helper.error("misuse", http.client, { sensitive = { 1 } })
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
      local file <close> = assert(io.open(server.dir .. "/www/large.txt"))
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
end)
