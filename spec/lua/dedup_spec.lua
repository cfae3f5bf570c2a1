-- dedup_spec.lua - scripts/dedup: what HTTP lets a shared cache do. The proxy itself: dedup_proxy_spec.lua.

package.path = "scripts/?.lua;" .. package.path

local directives = require "dedup.directives"
local heads = require "dedup.headers"
local options = require "dedup.options"
local policy = require "dedup.policy"

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

  it("beside it: dates have three forms, and must be ones that there are", function()
    for _, text in ipairs { "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994" } do
      assert.equal(784111777, directives.date(text), text)
    end
    for _, text in ipairs { "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT", "0", "-1",
      "Sun, 06 Now 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
      "Sun, 06 Nov 1994 08:49:37" } do
      assert.is_nil(directives.date(text), text)
    end
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
      ["set-cookie"] = { ["set-cookie"] = "a=1" },
    } do
      local verdict = judge(200, headers)
      assert.is_true(verdict.private)
      assert.equal(why, verdict.why)
      assert.equal(0, verdict.ttl)
    end
  end)

  it("of no-cache is kept to be asked about, and never fresh nor given stale", function()
    for _, value in ipairs { "no-cache", "max-age=60, no-cache", "no-cache, stale-if-error=60", 'no-cache="x"' } do
      local verdict = judge(200, { ["cache-control"] = value })
      assert.same({ false, true, 0, 0, 0, true },
        { verdict.private, verdict.kept, verdict.ttl, verdict.stale, verdict.stale_if_error, verdict.strict })
      assert.is_false(policy.may_stand({ at = 0, verdict = verdict }, 0))
    end
    assert.equal("private", judge(200, { ["cache-control"] = "no-cache, private" }).why)
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
    for _, asked in ipairs { "max-age=60", "min-fresh=1", "min-fresh=0" } do
      assert.equal("request", use("max-age=10", asked, 11), asked)
      assert.equal("stale", use("max-age=10", asked .. ", max-stale=5", 11), asked)
    end
    assert.equal("expired", use("no-cache", "max-stale", 0))
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
      cookie = "a", ["if-none-match"] = '"1"', ["cache-control"] = "no-cache", forwarded = "for=10.0.0.1",
    }), origin, true)
    assert.same({}, { out.cookie, out["if-none-match"], out["cache-control"], out["x-forwarded-for"], out.forwarded })
    for _, name in ipairs { "cookie", "accept-encoding", "x-forwarded-for", "te", "host" } do
      assert.is_false(heads.tells_apart(name), name)
    end
    assert.is_true(heads.tells_apart "accept-language")
  end)

  it("tell sites apart by what the origin is told of them", function()
    local function site(headers) return heads.site(request("GET", headers)) end
    assert.equal("http://a.example:8080", site { host = "A.example:8080" })
    assert.equal("https://b", site { host = "a", ["x-forwarded-host"] = "b", ["x-forwarded-proto"] = "HTTPS" })
  end)

  it("take the host of a target in absolute form", function()
    local function normal(target)
      local r = request("GET", { host = "other" })
      r.target = target
      heads.normalize(r)
      return { r.headers.host, r.target }
    end
    assert.same({ "a:80", "/x?http://b/" }, normal "http://a:80/x?http://b/")
    assert.same({ "a", "/" }, normal "HTTP://a")
    assert.same({ "a", "/?q" }, normal "http://a?q")
    assert.same({ "other", "/x?u=http://a/" }, normal "/x?u=http://a/")
    assert.same({ "other", "*" }, normal "*")
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
      heads.freshened({ etag = '"1"', ["content-type"] = "a/b", ["cache-control"] = "max-age=1", age = "5",
        date = "Sun, 06 Nov 1994 08:49:37 GMT" },
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
