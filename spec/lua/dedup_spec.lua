-- dedup_spec.lua - scripts/dedup: what HTTP lets a shared cache do, and the proxy on real servers.

package.path = "scripts/?.lua;" .. package.path

local directives = require "dedup.directives"
local heads = require "dedup.headers"
local helper = require "support.helper"
local options = require "dedup.options"
local policy = require "dedup.policy"
local support = require "support.http_server"
local weir = require "weir"

local has_client, http = pcall(require, "weir.http")
local given = assert(options.parse { "--origin", "http://127.0.0.1:1" })

local function request(method, headers, body)
  return { method = method, headers = headers or {}, body = body or "", target = "/", path = "/",
    remote = "127.0.0.1" }
end

describe("dedup: the words of Cache-Control", function()
  local function seconds(value, name) return directives.seconds(directives.parse(value), name) end

  it("are names, with values or without", function()
    assert.same({ ["max-age"] = "60", public = true }, directives.parse "max-age=60, Public")
    assert.same({ private = "set-cookie, x", ["max-age"] = "5" },
      directives.parse 'private="set-cookie, x" , max-age = 5')
    assert.same({}, directives.parse(nil))
    assert.same({}, directives.parse " , ,")
  end)

  it("survive what cannot be read beside them", function()
    assert.truthy(directives.parse("=x, no-store")["no-store"])
    assert.truthy(directives.parse('a="unfinished, no-store')["no-store"])
    assert.truthy(directives.parse("@@@; ,no-store")["no-store"])
  end)

  it("that are repeated count once, the first", function()
    assert.equal("1", directives.parse("max-age=1, max-age=100")["max-age"])
  end)

  it("have seconds; what is no number is the safe 0", function()
    assert.equal(60, seconds("max-age=60", "max-age"))
    assert.equal(10, seconds('s-maxage="10"', "s-maxage"))
    for _, odd in ipairs { "max-age", "max-age=-1", "max-age=1.5", "max-age=soon" } do
      assert.equal(0, seconds(odd, "max-age"), odd)
    end
    assert.equal(2 ^ 31, seconds("max-age=99999999999999999999", "max-age"))
    assert.is_nil(seconds("public", "max-age"))
  end)

  it("of a Vary are names, or anything", function()
    assert.same({ "accept", "accept-language" }, directives.vary "Accept-Language,accept ,, Accept")
    assert.equal("*", directives.vary "accept, *")
    assert.same({}, directives.vary(nil))
  end)
end)

describe("dedup: a request", function()
  it("is passed on if its answer could be its own", function()
    for why, r in pairs {
      method = request "POST", body = request("GET", {}, "x"), cookie = request("GET", { cookie = "a=1" }),
      authorization = request("GET", { authorization = "Basic eDp5" }), range = request("GET", { range = "bytes=0-1" }),
      ["no-store"] = request("GET", { ["cache-control"] = "no-store" }),
      upgrade = request("GET", { upgrade = "websocket" }),
    } do
      assert.equal(why, policy.passes(r, given))
    end
    assert.is_nil(policy.passes(request "GET", given))
    assert.is_nil(policy.passes(request "HEAD", given))
  end)

  it("may be told to share in spite of cookies and no-store", function()
    local generous = { ignore_cookies = true, ignore_clients = true }
    assert.is_nil(policy.passes(request("GET", { cookie = "a=1" }), generous))
    assert.is_nil(policy.passes(request("GET", { ["cache-control"] = "no-store" }), generous))
    assert.equal("authorization", policy.passes(request("GET", { authorization = "x" }), generous))
    assert.is_false(policy.wants_fresh(request("GET", { ["cache-control"] = "no-cache" }), generous))
  end)

  it("may want what is newer than anything kept", function()
    for _, headers in ipairs {
      { ["cache-control"] = "no-cache" }, { ["cache-control"] = "max-age=0" }, { pragma = "no-cache" },
    } do
      assert.is_true(policy.wants_fresh(request("GET", headers), given))
    end
    for _, headers in ipairs {
      {}, { ["cache-control"] = "max-age=60" }, { pragma = "x", ["cache-control"] = "max-age=9" },
    } do
      assert.is_false(policy.wants_fresh(request("GET", headers), given))
    end
  end)
end)

describe("dedup: an answer", function()
  local function judge(status, headers) return policy.judge(status, headers, given) end

  it("is its asker's alone where the origin says so", function()
    for why, headers in pairs {
      ["no-store"] = { ["cache-control"] = "public, no-store" },
      private = { ["cache-control"] = "private, max-age=60" }, vary = { vary = "*" },
      ["no-cache"] = { ["cache-control"] = "no-cache" }, ["set-cookie"] = { ["set-cookie"] = "a=1" },
    } do
      local verdict = judge(200, headers)
      assert.is_true(verdict.private)
      assert.equal(why, verdict.why)
      assert.equal(0, verdict.ttl)
    end
  end)

  it("is fresh as long as it says, shared caches first, less its age", function()
    assert.equal(10, judge(200, { ["cache-control"] = "max-age=60, s-maxage=10" }).ttl)
    assert.equal(40, judge(200, { ["cache-control"] = "max-age=60", age = "20" }).ttl)
    assert.equal(0, judge(200, { ["cache-control"] = "max-age=60", age = "100" }).ttl)
    assert.equal(0, judge(200, { expires = "0" }).ttl)
    assert.equal(0, judge(200, { expires = "Thu, 01 Jan 1970 00:00:00 GMT" }).ttl)
    local later = os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 500)
    assert.near(500, judge(200, { expires = later }).ttl, 2)
  end)

  it("is fresh for the command line's ttl where it says nothing and may be kept", function()
    assert.equal(60, judge(200, {}).ttl)
    assert.equal(1, judge(404, {}).ttl)
    assert.equal(0, judge(302, {}).ttl)
    assert.equal(0, judge(500, {}).ttl)
    assert.equal(5, judge(302, { ["cache-control"] = "max-age=5" }).ttl)
  end)

  it("may forbid to be given stale", function()
    assert.is_true(judge(200, { ["cache-control"] = "max-age=1, must-revalidate" }).strict)
    assert.is_true(judge(200, { ["cache-control"] = "s-maxage=1" }).strict)
    assert.is_false(judge(200, { ["cache-control"] = "max-age=1" }).strict)
  end)
end)

describe("dedup: heads", function()
  local origin = { authority = "origin:80" }

  it("leave the connection's own fields, and those that Connection names, behind", function()
    local out = heads.to_origin(request("GET", {
      connection = "close, x-mine", ["x-mine"] = "1", te = "trailers", accept = "a/b",
    }), origin, false)
    assert.same({ nil, nil, nil, "a/b" }, { out.connection, out["x-mine"], out.te, out.accept })
    assert.equal("origin:80", out.host)
    assert.equal("127.0.0.1", out["x-forwarded-for"])
  end)

  it("of a shared request have nothing of who asked", function()
    local out = heads.to_origin(request("GET", {
      cookie = "a", ["if-none-match"] = '"1"', ["cache-control"] = "no-cache",
    }), origin, true)
    assert.same({}, { out.cookie, out["if-none-match"], out["cache-control"], out["x-forwarded-for"] })
  end)

  it("know a client that has it already", function()
    local head = { etag = 'W/"1"', ["last-modified"] = "yesterday" }
    local function has(headers) return heads.is_not_modified(request("GET", headers), head) end
    assert.is_true(has { ["if-none-match"] = '"0", "1"' })
    assert.is_true(has { ["if-none-match"] = "*" })
    assert.is_true(has { ["if-modified-since"] = "yesterday" })
    assert.is_false(has { ["if-none-match"] = '"0"', ["if-modified-since"] = "yesterday" })
    assert.is_false(has {})
  end)
end)

describe("dedup: the command line", function()
  it("refuses what it cannot use", function()
    for _, line in ipairs {
      { "--origin", "ftp://x" }, { "--origin", "http://x/path" }, { "--origin", "http://x", "--listen", "none" },
      { "--origin", "http://x", "--ttl", "-1" }, { "--origin", "http://x", "--max-bytes", "1M" },
      { "--origin", "http://x", "--demo", "10" }, { "--stats-path", "stats" }, { "--nonsense" },
    } do
      local parsed, complaint = options.parse(line)
      assert.is_nil(parsed, table.concat(line, " "))
      assert.truthy(complaint:find("dedup.lua", 1, true), complaint)
    end
    assert.equal(1 << 30, options.parse({ "--origin", "http://x", "--max-bytes", "1G" }).max_bytes)
    assert.same({ host = "*", port = 80 }, options.parse({ "--origin", "http://x", "--listen", "*:80" }).listen)
  end)
end)

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

  it("gives the origin's request up when the last client has left", with_proxy(function(r)
    if r.target == "/slow" then weir.sleep(30) end
    return { status = 200, body = "x" }
  end, function(get, _, proxy, origin)
    local function try() return pcall(weir.timeout, 0.05, get, "/slow") end
    all(5, try)
    support.wait_until(function() return origin:stats().active == 0 end)
    assert.equal(1, proxy:stats().origin.requests)
  end))

  it("shows its counts", with_proxy(function() return { status = 200, body = "x" } end, function(get)
    get "/"
    get "/"
    local stats = get("/stats"):json()
    assert.same({ 2, 1, 1, 1 }, { stats.seen.requests, stats.seen.hit, stats.seen.miss, stats.cache.entries })
  end))
end)
