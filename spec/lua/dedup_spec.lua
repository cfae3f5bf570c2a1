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
    local answer = { at = 0, verdict = policy.judge(200, {}, given) }
    assert.equal("fresh", (policy.use(answer, request("GET", { ["cache-control"] = "no-cache" }), generous, 1)))
  end)

  it("with a condition on what must be there is for the origin", function()
    for _, name in ipairs { "if-match", "if-unmodified-since" } do
      assert.equal("condition", policy.passes(request("GET", { [name] = '"1"' }), given))
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
    assert.equal(-40, judge(200, { ["cache-control"] = "max-age=60", age = "100" }).ttl)
    assert.equal(0, judge(200, { expires = "0" }).ttl)
    assert.equal(0, judge(200, { expires = "Thu, 01 Jan 1970 00:00:00 GMT" }).ttl)
    local function at(seconds) return os.date("!%a, %d %b %Y %H:%M:%S GMT", seconds) end
    local slow = { date = at(1000), expires = at(1500) } -- a clock that is behind ours moves Expires along
    assert.equal(500, judge(200, { expires = at(os.time() + 500), date = at(os.time()) }).ttl)
    assert.equal(500 - 99, policy.judge(200, slow, given, 0, 1100).ttl)
  end)

  it("is as old as Age and the way say, or as Date does, whichever is more", function()
    local function at(seconds) return os.date("!%a, %d %b %Y %H:%M:%S GMT", seconds) end
    local function age(headers, delay) return policy.judge(200, headers, given, delay, 5000).age end
    assert.equal(0, age({}))
    assert.equal(2.5, age({ age = "2" }, 0.5))
    assert.equal(3, age({ age = "3, 90" }))
    assert.equal(0, age({ age = "soon" }))
    assert.equal(99, age({ date = at(4900), age = "7" }))
    assert.equal(7, age({ date = at(4999), age = "7" }))
    assert.equal(0, age({ date = at(4999) })) -- within a second both clocks may mean the same
    assert.equal(0, age({ date = at(9000) }))
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

  it("may say how long it is good for after that", function()
    local function windows(value)
      local verdict = judge(200, { ["cache-control"] = value })
      return { verdict.stale, verdict.stale_if_error }
    end
    assert.same({ 30, 300 }, windows "max-age=1")
    assert.same({ 7, 300 }, windows "max-age=1, stale-while-revalidate=7")
    assert.same({ 0, 0 }, windows "max-age=1, stale-while-revalidate=0, stale-if-error=0")
    assert.same({ 0, 0 }, windows "s-maxage=1")
    assert.same({ 7, 9 }, windows "s-maxage=1, stale-while-revalidate=7, stale-if-error=9")
    assert.same({ 0, 0 }, windows "must-revalidate, stale-while-revalidate=7, stale-if-error=9")
    assert.same({ 0, 0 }, windows "proxy-revalidate, stale-while-revalidate=7")
  end)

  it("is kept as long as there is a use for it", function()
    local function worth(status, headers)
      return policy.worth({ headers = headers, verdict = judge(status, headers) }, given)
    end
    assert.equal(60 + 300, worth(200, {}))
    assert.equal(60 + 3600, worth(200, { etag = '"1"' }))
    assert.equal(60 + 3600, worth(200, { ["last-modified"] = "x", ["cache-control"] = "max-age=60, must-revalidate" }))
    assert.equal(5, worth(200, { ["cache-control"] = "max-age=5, must-revalidate" }))
    assert.equal(0, worth(200, { ["cache-control"] = "max-age=5, must-revalidate", age = "9" }))
    assert.equal(0, worth(200, { ["cache-control"] = "private", etag = '"1"' }))
    assert.equal(0, worth(302, { etag = '"1"' }))
  end)

  it("of a 304 that nobody asked for is nothing to keep", function()
    assert.equal("condition", judge(304, { ["cache-control"] = "max-age=60" }).why)
  end)

  it("is fresh, stale or to be asked about, by itself and by what the request asks", function()
    local function use(said, asked, seconds, headers)
      local head = { ["cache-control"] = said }
      local r = request("GET", headers or { ["cache-control"] = asked })
      return (policy.use({ at = 100, verdict = judge(200, head) }, r, given, 100 + seconds))
    end
    assert.equal("fresh", use("max-age=10", nil, 9))
    assert.equal("stale", use("max-age=10", nil, 10))
    assert.equal("stale", use("max-age=10", nil, 39))
    assert.equal("expired", use("max-age=10", nil, 40))
    assert.equal("expired", use("max-age=10, must-revalidate", nil, 10))
    assert.equal("stale", use("max-age=10, stale-while-revalidate=50", nil, 59))
    for _, asked in ipairs { "no-cache", "max-age=0", "max-age=5", "min-fresh=6" } do
      assert.equal("request", use("max-age=10", asked, 5), asked)
    end
    assert.equal("request", use("max-age=10", nil, 5, { pragma = "no-cache" }))
    assert.equal("fresh", use("max-age=10", nil, 5, { pragma = "no-cache", ["cache-control"] = "max-age=9" }))
    assert.equal("fresh", use("max-age=10", "min-fresh=5", 5))
    assert.equal("stale", use("max-age=10, stale-while-revalidate=0", "max-stale=5", 14))
    assert.equal("expired", use("max-age=10, stale-while-revalidate=0", "max-stale=5", 15))
    assert.equal("stale", use("max-age=10, stale-while-revalidate=0", "max-stale", 1e6))
    assert.equal("expired", use("s-maxage=10", "max-stale", 11))
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
    local head = { etag = 'W/"1"', ["last-modified"] = "Sun, 06 Nov 1994 08:49:37 GMT" }
    local function has(headers) return heads.is_not_modified(request("GET", headers), head) end
    assert.is_true(has { ["if-none-match"] = '"0", "1"' })
    assert.is_true(has { ["if-none-match"] = "*" })
    assert.is_true(has { ["if-modified-since"] = "Sun, 06 Nov 1994 08:49:37 GMT" })
    assert.is_true(has { ["if-modified-since"] = "Monday, 07-Nov-94 08:49:37 GMT" })
    assert.is_false(has { ["if-modified-since"] = "Sun, 06 Nov 1994 08:49:36 GMT" })
    assert.is_false(has { ["if-modified-since"] = "yesterday" })
    assert.is_false(has { ["if-none-match"] = '"0"', ["if-modified-since"] = "Sun, 06 Nov 1994 08:49:37 GMT" })
    assert.is_false(has {})
  end)
end)

describe("dedup: a 304 of the origin", function()
  it("is about what is kept unless it names another", function()
    assert.is_true(heads.confirms({}, { etag = '"1"' }))
    assert.is_true(heads.confirms({ etag = 'W/"1"' }, { etag = '"1"' }))
    assert.is_true(heads.confirms({ etag = '"1"' }, {}))
    assert.is_false(heads.confirms({ etag = '"2"' }, { etag = '"1"' }))
  end)

  it("brings the head up to date, but for what belongs to the body", function()
    assert.same({ etag = '"1"', ["content-type"] = "a/b", ["cache-control"] = "max-age=9", ["x-new"] = "1" },
      heads.freshened({ etag = '"1"', ["content-type"] = "a/b", ["cache-control"] = "max-age=1", age = "5" },
        { ["cache-control"] = "max-age=9", ["x-new"] = "1", ["content-type"] = "c/d", ["content-length"] = "0",
          connection = "close, x-hop", ["x-hop"] = "1" }))
  end)
end)

describe("dedup: Cache-Status", function()
  local cache_status = require "dedup.status"

  it("says how an answer came about, after what caches behind said", function()
    assert.equal("weir-dedup; hit; ttl=12", cache_status(nil, { hit = true, ttl = 12.9 }))
    assert.equal("weir-dedup; hit; ttl=-3", cache_status(nil, { hit = true, ttl = -2.5 }))
    assert.equal("a; hit, weir-dedup; fwd=stale; fwd-status=200; collapsed; stored; ttl=60; detail=x",
      cache_status("a; hit", { fwd = "stale", status = 200, collapsed = true, stored = true, ttl = 60, detail = "x" }))
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
    assert.equal("weir-dedup; fwd=stale; fwd-status=304; stored; ttl=+", status_of(second))
    local third = get "/"
    assert.same({ "HIT", "whole", "0" }, { third.headers["x-cache"], third.body, third.headers.age })
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
    support.wait_until(function() return seen["/slow"] == 1 end)
    for _, task in ipairs(tasks) do task:cancel() end
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
