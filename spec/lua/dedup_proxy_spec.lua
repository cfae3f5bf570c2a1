-- dedup_proxy_spec.lua - scripts/dedup: the proxy between real servers and clients.

package.path = "scripts/?.lua;" .. package.path

local helper = require "support.helper"
local options = require "dedup.options"
local raw = require "support.raw_http"
local support = require "support.http_server"
local weir = require "weir"

local has_client, http = pcall(require, "weir.http")

describe("dedup: the proxy #real", function()
  if not (support.serve and has_client and weir.cache) then
    pending("needs both modules of weir.http and luv")
    return
  end
  local serve = require "dedup.serve"

  -- fn(get, seen, proxy): an origin with `handler`, the proxy before it. get(path, headers, method) asks the
  -- proxy; seen[path] counts what the origin was asked.
  local function with_proxy(handler, fn, ...)
    local line = { ... }
    return helper.real(function()
      local seen = {}
      local origin <close> = support.serve({}, function(r)
        seen[r.target] = (seen[r.target] or 0) + 1
        return handler(r, seen[r.target])
      end)
      local words = table.move(line, 1, #line, 5,
        { "--origin", "http://127.0.0.1:" .. origin.port, "--listen", "0" })
      local proxy <close> = serve(assert(options.parse(words)))
      local base = "http://127.0.0.1:" .. proxy.port
      fn(function(path, headers, method, body)
        return http.request { url = base .. path, method = method or "GET", headers = headers, body = body }
      end, seen, proxy, origin)
    end)
  end

  local function all(n, fn)
    local tasks = {}
    for i = 1, n do tasks[i] = function() return fn(i) end end
    return weir.all(tasks)
  end

  it("asks the origin once for a herd", with_proxy(function()
    weir.sleep(0.05)
    return { status = 200, headers = { ["content-type"] = "text/plain" }, body = "slow" }
  end, function(get, seen, proxy)
    local kinds = {}
    for _, response in ipairs(all(50, function() return get "/a" end)) do
      assert.same({ 200, "slow", "text/plain" }, { response.status, response.body, response.headers["content-type"] })
      kinds[response.headers["x-cache"]] = (kinds[response.headers["x-cache"]] or 0) + 1
    end
    assert.equal(1, seen["/a"])
    assert.same({ MISS = 1, JOINED = 49 }, kinds)
    assert.equal("HIT", get("/a").headers["x-cache"])
    assert.equal(1, proxy:stats().origin.requests)
  end))

  it("gives nobody another's private answer", with_proxy(function(r, n)
    weir.sleep(0.02)
    return { status = 200, headers = { ["cache-control"] = "private" }, body = ("%s %d"):format(r.headers["x-who"], n) }
  end, function(get, seen)
    local responses = all(20, function(i) return get("/mine", { ["x-who"] = "client" .. i }) end)
    for i, response in ipairs(responses) do
      assert.equal("client" .. i, response.body:match "^%S+")
    end
    assert.equal(20, seen["/mine"])
    assert.equal("PASS", get("/mine", { ["x-who"] = "later" }).headers["x-cache"])
  end))

  it("keeps answers apart by what they vary by", with_proxy(function(r)
    weir.sleep(0.01)
    return { status = 200, headers = { vary = "Accept-Language" }, body = r.headers["accept-language"] or "none" }
  end, function(get, seen)
    for _ = 1, 2 do
      local responses = all(20, function(i) return get("/", { ["accept-language"] = i % 2 == 0 and "de" or "fr" }) end)
      for i, response in ipairs(responses) do assert.equal(i % 2 == 0 and "de" or "fr", response.body) end
    end
    assert.equal("none", get("/").body)
    assert.is_true(seen["/"] <= 4, seen["/"] .. " requests for three answers and one look at the field")
  end))

  it("answers stale at once and renews behind; never what must be revalidated", with_proxy(function(r, n)
    local strict = r.target == "/strict"
    return { status = 200, body = tostring(n), headers = {
      ["cache-control"] = strict and "max-age=0, must-revalidate" or "max-age=0" } }
  end, function(get, seen)
    assert.equal("1", get("/").body)
    weir.sleep(0.01)
    local stale = get "/"
    assert.same({ "1", "STALE" }, { stale.body, stale.headers["x-cache"] })
    while seen["/"] < 2 do weir.sleep(0.001) end
    assert.equal("1", get("/strict").body)
    weir.sleep(0.01)
    assert.equal("2", get("/strict").body)
  end))

  it("lets an old answer stand where the origin fails", with_proxy(function(_, n)
    if n > 1 then return { status = 503, body = "down" } end
    return { status = 200, headers = { ["cache-control"] = "max-age=0" }, body = "old" }
  end, function(get, seen)
    assert.equal("old", get("/").body)
    weir.sleep(0.01)
    local response = get "/"
    assert.same({ 200, "old" }, { response.status, response.body })
    assert.equal(2, seen["/"])
  end, "--stale", "0", "--stale-if-error", "60"))

  it("says 502, 504 and the origin's own 5xx", with_proxy(function(r)
    if r.target == "/late" then weir.sleep(5) end
    return { status = 500, body = "broken" }
  end, function(get, _, _, origin)
    local own = get "/own"
    assert.same({ 500, "broken" }, { own.status, own.body })
    assert.equal(504, get("/late").status)
    origin:close()
    assert.equal(502, get("/gone").status)
  end, "--timeout", "0.1"))

  it("passes on what changes something, and drops what is kept of it", with_proxy(function(r, n)
    return { status = 200, body = ("%s %d %s"):format(r.method, n, r.body) }
  end, function(get)
    assert.equal("GET 1 ", get("/thing").body)
    assert.equal("GET 1 ", get("/thing").body)
    assert.equal("POST 2 new", get("/thing", nil, "POST", "new").body)
    assert.equal("GET 3 ", get("/thing").body)
    local other = get("/thing", { authorization = "Basic eDp5" })
    assert.same({ "GET 4 ", "PASS" }, { other.body, other.headers["x-cache"] })
  end))

  it("passes on what is too large to keep, whole", with_proxy(function()
    local n = 0
    return { status = 200, body = function()
      n = n + 1
      return n <= 20 and ("x"):rep(100000) or nil
    end }
  end, function(get, seen, proxy)
    assert.equal(2000000, #get("/large").body)
    assert.equal(2000000, #get("/large").body)
    assert.equal(3, seen["/large"]) -- one that was given up, and the two
    assert.is_true(proxy:stats().cache.bytes < 100000)
  end, "--max-object", "1M"))

  it("answers conditions, HEAD and only-if-cached from what it has", with_proxy(function()
    return { status = 200, headers = { etag = '"1"' }, body = "thing" }
  end, function(get, seen)
    assert.equal(504, get("/", { ["cache-control"] = "only-if-cached" }).status)
    get "/"
    assert.equal(304, get("/", { ["if-none-match"] = '"1"' }).status)
    assert.equal("HIT", get("/", nil, "HEAD").headers["x-cache"])
    assert.equal("thing", get("/", { ["cache-control"] = "only-if-cached" }).body)
    assert.equal(1, seen["/"])
    assert.equal("MISS", get("/", { ["cache-control"] = "no-cache" }).headers["x-cache"])
    assert.equal(2, seen["/"])
  end))

  it("keeps what is no-cache, and asks about it each time", with_proxy(function(r)
    local head = { etag = '"1"', ["cache-control"] = "no-cache" }
    if r.headers["if-none-match"] == '"1"' then return { status = 304, headers = head } end
    return { status = 200, headers = head, body = "whole" }
  end, function(get, seen, proxy, origin)
    assert.equal("MISS", get("/").headers["x-cache"])
    for _ = 1, 3 do
      local again = get "/"
      assert.same({ 200, "whole", "REVALIDATED" }, { again.status, again.body, again.headers["x-cache"] })
    end
    assert.same({ 4, 3 }, { seen["/"], proxy:stats().origin.confirmed })
    origin:close()
    assert.equal(502, get("/").status)
  end))

  -- Answer n was made after question n was asked, so whoever came when n had been asked already must get a later one.
  for what, value in pairs { ["no-cache"] = "no-cache", ["stale and strict"] = "max-age=0, must-revalidate" } do
    it("gives nobody an answer that is " .. what .. " and was asked for before he came", with_proxy(function(_, n)
      weir.sleep(0.02)
      return { status = 200, body = tostring(n), headers = { ["cache-control"] = value } }
    end, function(get, seen)
      local waiting = {}
      local function come()
        local before = seen["/"] or 0
        waiting[#waiting + 1] = weir.spawn(function()
          local response = get "/"
          assert.is_true(tonumber(response.body) > before, response.body .. " for who came after " .. before)
        end)
      end
      come()
      support.wait_until(function() return seen["/"] == 1 end)
      for _ = 1, 20 do come() end
      support.wait_until(function() return seen["/"] == 2 end)
      for _ = 1, 20 do come() end
      for _, task in ipairs(waiting) do task:await() end
      assert.is_true(seen["/"] <= 4, seen["/"] .. " requests for 41 that came at three times")
    end))
  end

  it("gives nobody an answer that was made for another's Host", with_proxy(function(r)
    return { status = 200, body = r.headers["x-forwarded-proto"] .. "://" .. r.headers["x-forwarded-host"] }
  end, function(get, seen)
    for _ = 1, 2 do
      assert.equal("http://evil.example", get("/", { host = "evil.example" }).body)
      assert.equal("http://good.example", get("/", { host = "good.example" }).body)
      assert.equal("https://good.example", get("/", { host = "x", ["x-forwarded-host"] = "good.example",
        ["x-forwarded-proto"] = "https" }).body)
    end
    assert.equal(3, seen["/"])
  end))

  it("does not keep apart by what the origin is not told", with_proxy(function(r)
    return { status = 200, body = r.headers["accept-encoding"], headers = { vary = "Accept-Encoding" } }
  end, function(get)
    assert.same({ "identity", "MISS" }, { get("/", { ["accept-encoding"] = "br" }).body, get("/a").headers["x-cache"] })
    assert.equal("HIT", get("/", { ["accept-encoding"] = "gzip" }).headers["x-cache"])
  end))

  it("drops what an answer to a change names, on this site alone", with_proxy(function(r, n)
    if r.method == "POST" then
      return { status = 201, headers = { location = "/new", ["content-location"] = r.body } }
    end
    return { status = 200, body = tostring(n), headers = { vary = "accept" } }
  end, function(get)
    local site = get("/new").url:match "^(.*)/new$"
    for _, path in ipairs { "/list", "/other" } do assert.equal("1", get(path).body) end
    get("/items", nil, "POST", site .. "/list")
    assert.same({ "2", "2", "1" }, { get("/new").body, get("/list").body, get("/other").body })
    get("/items", nil, "POST", "http://elsewhere.example/other")
    assert.equal("1", get("/other").body)
  end))

  it("keeps nothing that was asked for before a change, under whatever key", with_proxy(function(r, n)
    if r.method == "POST" then return { status = 204 } end
    if n == 1 then weir.sleep(0.1) end
    return { status = 200, body = tostring(n), headers = { vary = "accept" } }
  end, function(get, seen)
    local slow = weir.spawn(get, "/", { accept = "a" })
    support.wait_until(function() return seen["/"] == 1 end)
    get("/", nil, "POST", "x")
    assert.equal("1", slow:await().body)
    assert.equal("3", get("/", { accept = "a" }).body)
  end))

  it("gives whole what a 304 is about, and keeps it no more, if it went meanwhile", with_proxy(function(r, n)
    local head = { etag = '"1"', ["cache-control"] = "no-cache", ["x-n"] = tostring(n) }
    if r.method == "DELETE" then return { status = 204 } end
    if not r.headers["if-none-match"] then return { status = 200, headers = head, body = "whole" } end
    weir.sleep(0.1)
    return { status = 304, headers = head }
  end, function(get, seen, proxy)
    get "/"
    local asking = weir.spawn(get, "/")
    support.wait_until(function() return seen["/"] == 2 end)
    get("/", nil, "DELETE")
    local response = asking:await()
    assert.same({ 200, "whole", "REVALIDATED", "2" },
      { response.status, response.body, response.headers["x-cache"], response.headers["x-n"] })
    assert.equal(0, proxy:stats().cache.entries)
    assert.equal("MISS", get("/").headers["x-cache"])
  end))

  it("keeps the length of what it passes on", with_proxy(function()
    return { status = 200, body = ("x"):rep(100000), headers = { ["cache-control"] = "no-store" } }
  end, function(get)
    assert.equal("100000", get("/", { cookie = "a=1" }).headers["content-length"])
    assert.equal("100000", get("/", nil, "HEAD").headers["content-length"])
  end))

  it("says the length of what the client has in a 304", with_proxy(function()
    return { status = 200, headers = { etag = '"1"' }, body = "thing" }
  end, function(get, _, proxy)
    get "/"
    local client <close> = raw.connect(proxy.port)
    client:send('GET / HTTP/1.1\r\nHost: 127.0.0.1:' .. proxy.port .. '\r\nIf-None-Match: "1"\r\n\r\n')
    local answer = client:response(true)
    assert.same({ 304, "5", "HIT" }, { answer.status, answer.headers["content-length"], answer.headers["x-cache"] })
    assert.equal("thing", client:get("/").body)
  end))

  it("understands a target in absolute form, and one that names no resource", with_proxy(function(r)
    return { status = 200, body = r.headers["x-forwarded-host"] .. " " .. r.target }
  end, function(_, _, proxy)
    local function ask(line)
      local client = raw.connect(proxy.port)
      client:send(line .. " HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
      local answer = client:response()
      client:close()
      return { answer.status, answer.body }
    end
    assert.same({ 200, "a.example /x?y" }, ask "GET http://a.example/x?y")
    assert.equal(204, ask("OPTIONS *")[1])
    assert.equal(400, ask("GET *")[1])
  end))

  -- What the origin of the next tests answers is as old as its Age says: nobody waits for it to become so.
  -- How long that is past or to come depends on the machine, so of a ttl only its sign is looked at.
  local function status_of(response)
    return (response.headers["cache-status"]:gsub("ttl=%d+", "ttl=+"):gsub("ttl=%-%d+", "ttl=-"))
  end

  it("asks about what is too old, and a 304 brings it up to date", with_proxy(function(r, n)
    local head = { etag = '"1"', ["cache-control"] = "max-age=10, must-revalidate", age = n == 1 and "20" or nil,
      ["x-n"] = tostring(n) }
    if r.headers["if-none-match"] == '"1"' then return { status = 304, headers = head } end
    return { status = 200, headers = head, body = "whole" }
  end, function(get, seen, proxy)
    local first = get "/"
    assert.same({ 200, "whole", "MISS" }, { first.status, first.body, first.headers["x-cache"] })
    local second = get "/"
    assert.same({ 200, "whole", "REVALIDATED", "2" },
      { second.status, second.body, second.headers["x-cache"], second.headers["x-n"] })
    assert.is_true(tonumber(first.headers.age) >= 20) -- of a cache behind
    assert.is_nil(second.headers.age) -- of none
    assert.equal("weir-dedup; fwd=stale; fwd-status=304; stored; ttl=+", status_of(second))
    local third = get "/"
    assert.same({ "HIT", "whole" }, { third.headers["x-cache"], third.body })
    assert.is_true(tonumber(third.headers.age) < 20)
    assert.equal(304, get("/", { ["if-none-match"] = 'W/"1"' }).status)
    assert.equal(2, seen["/"])
    assert.equal(1, proxy:stats().origin.confirmed)
  end))

  it("asks by date where there is no tag, and takes what comes in its place", with_proxy(function(r, n)
    local head = { ["last-modified"] = "Sun, 06 Nov 1994 08:49:37 GMT", ["cache-control"] = "s-maxage=10", age = "20" }
    local same = r.headers["if-modified-since"] == "Sun, 06 Nov 1994 08:49:37 GMT"
    if same and n == 2 then return { status = 304, headers = head } end
    return { status = 200, headers = head, body = ("%d %s"):format(n, tostring(same)) }
  end, function(get)
    assert.equal("1 false", get("/").body)
    local second = get "/"
    assert.same({ "1 false", "REVALIDATED" }, { second.body, second.headers["x-cache"] })
    local third = get "/"
    assert.same({ "3 true", "MISS" }, { third.body, third.headers["x-cache"] })
    assert.equal("weir-dedup; fwd=stale; fwd-status=200; stored; ttl=-", status_of(third))
  end))

  it("fetches whole what a 304 names another tag for", with_proxy(function(r, n)
    local head = { etag = ('"%d"'):format(n), ["cache-control"] = "max-age=10, must-revalidate", age = "20" }
    if r.headers["if-none-match"] then return { status = 304, headers = head } end
    return { status = 200, headers = head, body = tostring(n) }
  end, function(get, seen)
    assert.equal("1", get("/").body)
    assert.equal("3", get("/").body)
    assert.equal(3, seen["/"])
  end))

  it("asks once for a herd that finds it too old", with_proxy(function(r)
    weir.sleep(0.05)
    local head = { etag = '"1"', ["cache-control"] = "s-maxage=10", age = r.headers["if-none-match"] and "0" or "20" }
    return { status = r.headers["if-none-match"] and 304 or 200, headers = head, body = "x" }
  end, function(get, seen)
    get "/"
    local kinds = {}
    for _, response in ipairs(all(20, function() return get "/" end)) do
      assert.same({ 200, "x" }, { response.status, response.body })
      kinds[status_of(response)] = (kinds[status_of(response)] or 0) + 1
    end
    assert.same({ ["weir-dedup; fwd=stale; fwd-status=304; stored; ttl=+"] = 1,
      ["weir-dedup; fwd=stale; fwd-status=304; collapsed; stored; ttl=+"] = 19 }, kinds)
    assert.equal(2, seen["/"])
  end))

  it("gives stale what the answer allows, not what the command line would", with_proxy(function(r, n)
    return { status = 200, body = tostring(n), headers = { age = "20", ["cache-control"] = r.target == "/some"
      and "max-age=10, stale-while-revalidate=60" or "max-age=10, stale-while-revalidate=5" } }
  end, function(get, seen)
    get "/some"
    local stale = get "/some"
    assert.same({ "1", "STALE", "weir-dedup; hit; ttl=-" },
      { stale.body, stale.headers["x-cache"], status_of(stale) })
    support.wait_until(function() return seen["/some"] == 2 end)
    assert.equal("1", get("/none").body)
    assert.equal("2", get("/none").body)
  end, "--stale", "0"))

  it("lets an old answer stand as long as the answer allows, whatever the failure says of itself",
    with_proxy(function(r, n)
      if n > 1 then return { status = 503, body = "down", headers = { ["cache-control"] = "no-store" } } end
      return { status = 200, body = "old", headers = { age = "20",
        ["cache-control"] = "max-age=10, stale-while-revalidate=0, stale-if-error=" .. r.target:sub(2) } }
    end, function(get)
      get "/60"
      for _ = 1, 2 do
        local response = get "/60"
        assert.same({ 200, "old", "STALE" }, { response.status, response.body, response.headers["x-cache"] })
        assert.equal("weir-dedup; fwd=stale; fwd-status=503; ttl=-; detail=error", status_of(response))
      end
      get "/5"
      assert.equal(503, get("/5").status)
    end))

  it("gives nobody another's failure that is private", with_proxy(function(r)
    weir.sleep(0.02)
    return { status = 500, body = r.headers["x-who"], headers = { ["cache-control"] = "private" } }
  end, function(get)
    for i, response in ipairs(all(5, function(i) return get("/", { ["x-who"] = "client" .. i }) end)) do
      assert.same({ 500, "client" .. i }, { response.status, response.body })
    end
  end))

  it("says in Cache-Status why a request was not answered from memory", with_proxy(function(r)
    return { status = 200, body = "x", headers = { vary = "accept", ["cache-status"] = "behind; hit",
      ["cache-control"] = r.target == "/mine" and "private" or "max-age=60" } }
  end, function(get)
    local function said(...) return (status_of(get(...)):gsub("^behind; hit, weir%-dedup; ", "")) end
    assert.equal("fwd=uri-miss; fwd-status=200; stored; ttl=+", said "/")
    assert.equal("hit; ttl=+", said "/")
    assert.equal("fwd=vary-miss; fwd-status=200; stored; ttl=+", said("/", { accept = "text/x" }))
    assert.equal("fwd=request; fwd-status=200; stored; ttl=+", said("/", { ["cache-control"] = "no-cache" }))
    assert.equal("fwd=bypass; fwd-status=200; detail=cookie", said("/", { cookie = "a=1" }))
    assert.equal("fwd=method; fwd-status=200; detail=method", said("/", nil, "POST"))
    assert.equal("fwd=uri-miss; fwd-status=200; detail=private", said "/mine")
    assert.equal("fwd=uri-miss; fwd-status=200; detail=private", said "/mine")
  end))

  it("gives the origin's request up when the last client has left", with_proxy(function(r)
    if r.target == "/slow" then weir.sleep(30) end
    return { status = 200, body = "x" }
  end, function(get, seen, proxy, origin)
    local tasks = {}
    for i = 1, 5 do tasks[i] = weir.spawn(pcall, get, "/slow") end
    -- All five are there: one that came after the others had left would have a request of its own.
    support.wait_until(function() return seen["/slow"] == 1 and proxy:stats().cache.joined == 4 end)
    for _, task in ipairs(tasks) do task:cancel() end
    support.wait_until(function() return origin:stats().active == 0 end)
    assert.equal(1, proxy:stats().origin.requests)
  end))

  it("gives everybody what is his, and leaves nothing, whoever leaves and whatever fails", function()
    local random = helper.random()
    local kinds = {
      mine = { ["cache-control"] = "private" }, vary = { vary = "x-who", ["cache-control"] = "max-age=0" },
      ask = { ["cache-control"] = "no-cache", etag = '"1"' }, page = { ["cache-control"] = "max-age=0" },
    }
    with_proxy(function(r, n)
      local kind = r.path:match "^/(%a+)"
      weir.sleep(random(0, 3) / 1000)
      if kind == "fail" and n % 2 == 0 then return { status = 503 } end
      local head = { ["x-n"] = tostring(n) }
      for name, value in pairs(kinds[kind] or {}) do head[name] = value end
      if kind == "ask" and r.headers["if-none-match"] and n % 3 > 0 then return { status = 304, headers = head } end
      return { status = 200, headers = head, body = kind == "page" and "page" or r.headers["x-who"] }
    end, function(get, seen, proxy, origin)
      local names, done = { "mine", "vary", "ask", "page", "fail" }, 0
      local function client(i)
        local kind, who = names[random(1, #names)], "who" .. random(1, 4)
        local path = ("/%s/%d"):format(kind, random(1, 2))
        local before = seen[path] or 0
        local patience = random(0, 1) == 0 and 60 or random(1, 30) / 1000
        local fine, response = pcall(weir.timeout, patience, get, path, { ["x-who"] = who },
          i % 20 == 0 and "POST" or "GET")
        if not fine or response.status ~= 200 then
          assert.truthy(not fine and weir.kind(response) == "timeout" or response.status == 503, tostring(response))
          return
        end
        done = done + 1
        local own = kind == "mine" or kind == "vary" or i % 20 == 0 and kind ~= "page"
        assert.truthy(not own or response.body == who, kind .. ": " .. response.body .. " for " .. who)
        assert.truthy(kind ~= "ask" or tonumber(response.headers["x-n"]) > before, response.headers["x-n"])
      end
      weir.each({ n = 1000 }, function(_, i) client(i) end, { limit = 30 })
      assert.is_true(done > 100, done)
      support.wait_until(function() return proxy.server:stats().active == 0 and origin:stats().active == 0 end)
      local inner = proxy.proxy
      support.wait_until(function() return not next(inner.renewing) end)
      assert.same({ 0, 0, 0 }, { inner.cache.loading, inner.cache.waiting, inner.origin.client:stats().held })
    end, "--timeout", "30")()
  end)

  it("shows its counts", with_proxy(function() return { status = 200, body = "x" } end, function(get)
    get "/"
    get "/"
    local stats = get("/stats"):json()
    assert.same({ 2, 1, 1, 1 }, { stats.seen.requests, stats.seen.hit, stats.seen.miss, stats.cache.entries })
  end))
end)
