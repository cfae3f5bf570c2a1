-- webhooks_spec.lua - the parts of scripts/webhooks.lua that need no network: pacing, journal, lines.

package.path = "scripts/?.lua;" .. package.path

local delivery = require "webhooks.delivery"
local destination = require "webhooks.destination"
local fifo = require "support.fifo"
local helper = require "support.helper"
local journal = require "webhooks.journal"
local origin = require "webhooks.origin"
local retry = require "support.retry"
local source = require "webhooks.source"
local weir = require "weir"

local function new_destination(options)
  return destination.new("d", setmetatable(options or {}, { __index = {
    rate = 10, burst = 5, per_host_limit = 20, give_up = 6,
  } }))
end

-- Make `n` attempts, each as soon as it may begin, of so many seconds each. Returns when they began.
local function attempts(to, n, seconds)
  local began = {}
  weir.scope(function(s)
    for i = 1, n do
      repeat to:wait() until to:try_start()
      began[i] = weir.now()
      local attempt = to:enter()
      s:spawn(function()
        weir.sleep(type(seconds) == "function" and seconds(i) or seconds)
        to:leave(attempt)
      end)
    end
  end)
  return began
end

-- A file with this text, removed when what is returned is closed.
local function file_of(text)
  local name = os.tmpname()
  local file <close> = assert(io.open(name, "wb"))
  file:write(text)
  return setmetatable({ name = name }, { __close = function() os.remove(name) end })
end

local function content(name)
  local file <close> = assert(io.open(name, "rb"))
  return file:read("a")
end

describe("a destination", function()
  it("gets a burst, then its rate", helper.virtual(function()
    local began = attempts(new_destination(), 25, 0.01)
    assert.is_true(began[5] == began[1])
    assert.is_true(math.abs(began[25] - began[1] - 2) < 0.01)
  end))

  it("gets no more than rate + burst in a second, whenever what was sent arrives", helper.virtual(function()
    local random = helper.random()
    local took = {}
    local began = attempts(new_destination { rate = 20 }, 300, function(i)
      took[i] = random(1, 1000) / 1000
      return took[i]
    end)
    local arrived = {} -- each at some time while its attempt lasts, the worst for a second that ends early
    for i = 1, #began do arrived[i] = began[i] + took[i] * random(0, 1000) / 1000 end
    table.sort(arrived)
    for i = 1, #arrived - 25 do
      assert.is_true(arrived[i + 25] - arrived[i] > 1)
    end
  end))

  it("that is slow gets its rate all the same", helper.virtual(function()
    local to, random = new_destination { burst = 10, per_host_limit = 50 }, helper.random()
    to.bucket:take(10) -- rested it is not
    local function latency() return 2 + random(0, 2000) / 1000 end
    for _ = 1, 8 do to:succeeded(3) end
    assert.equal(50, to.places)
    local began = attempts(to, 300, latency)
    assert.is_true(began[300] - began[1] <= 299 / 10 * 1.02) -- not 2.5 times as long
    for i = 1, #began - 20 do -- what arrives within `transit` still is no more than 20 in a second
      assert.is_true(began[i + 20] - began[i] > 1 + to.transit)
    end
  end))

  it("that stands still for a while is not sent more, neither meanwhile nor when it goes on", helper.virtual(function()
    local to = new_destination { burst = 10 }
    to:succeeded(0.02)
    local start, arrived = weir.now(), {}
    local began = attempts(to, 100, function(i) -- from 3 s to 9 s it takes nothing
      local at = weir.now() - start
      arrived[i] = (at > 3 and at < 9 and 9 or at) + start
      weir.spawn(function()
        weir.sleep(arrived[i] - weir.now() + 0.02)
        to:succeeded(weir.now() - start - at)
      end)
      return arrived[i] - weir.now() + 0.02
    end)
    assert.is_true(began[61] - start > 9)
    for i = 1, #arrived - 20 do
      assert.is_true(arrived[i + 20] - arrived[i] > 1)
    end
  end))

  it("has as many places as its rate needs at its latency, twice over", helper.virtual(function()
    local to = new_destination { per_host_limit = 20 }
    local function answer(seconds)
      for _ = 1, 40 do
        weir.sleep(1)
        to:succeeded(seconds)
      end
      return to.places
    end
    assert.equal(3, answer(0.02))
    assert.equal(10, answer(0.4))
    assert.equal(20, answer(3))
    assert.equal(4, answer(0.02))
  end))

  it("that asks for it is left alone", helper.virtual(function()
    local to, start = new_destination(), weir.now()
    to:hold(7)
    to:hold(3)
    attempts(to, 1, 0)
    helper.elapsed(7, start)
  end))

  it("is slowed down by failures in a row, opened by successes, given up in the end", helper.virtual(function()
    local to, start = new_destination(), weir.now()
    for _, places in ipairs { 4, 8, 15, 15 } do
      to:succeeded(0.65)
      assert.equal(places, to.places)
    end
    for _ = 1, 2 do to:failed(weir.now(), "no") end
    assert.equal(15, to.places)
    attempts(to, 1, 0)
    helper.elapsed(0, start)
    to:failed(weir.now(), "no")
    assert.equal(1, to.places)
    to:wait()
    helper.elapsed(0.5, start)
    to:failed(weir.now(), "no")
    to:wait()
    helper.elapsed(1.5, start)
    to:succeeded(0.65)
    assert.equal(2, to.places)
    for _ = 1, 6 do
      to:wait()
      to:failed(weir.now(), "no answer")
    end
    assert.equal("destination given up after 6 failures in a row: no answer", to.dead)
    assert.is_true(to:try_start())
  end))

  it("has two places before its first answer, or fewer", function()
    assert.equal(2, new_destination().places)
    assert.equal(1, new_destination({ per_host_limit = 1, rate = 10, burst = 5, give_up = 6 }).places)
  end)

  it("that asks to wait longer than a run lasts gets nothing more", helper.virtual(function()
    local to = new_destination()
    to:postpone(1000000000, true)
    assert.equal("destination asks to wait 1000000000 s", to.dead)
    assert.is_true(to.is_postponed)
    to = new_destination { give_up = 1, rate = 10, burst = 5, per_host_limit = 20 }
    to:failed(weir.now(), "no")
    to:postpone(400, true) -- given up before: what is left fails
    assert.is_false(to.is_postponed)
  end))

  it("learns nothing new from attempts that began before it was slowed down", helper.virtual(function()
    local to, began = new_destination(), weir.now()
    weir.sleep(1)
    for _ = 1, 20 do to:failed(began, "timed out") end
    assert.equal(3, to.failures)
    assert.is_nil(to.dead)
  end))

  it("is forgotten when it is quiet and owes nothing", helper.virtual(function()
    local to = new_destination()
    assert.is_true(to:is_idle())
    to:push(1)
    assert.is_false(to:is_idle())
    attempts(to, 1, 0)
    assert.equal(1, to:pop())
    assert.is_false(to:is_idle())
    weir.sleep(1)
    assert.is_true(to:is_idle())
  end))

  it("sends what has slept before what is new, in order", helper.virtual(function()
    local to = new_destination()
    for i = 1, 3 do to:push(i) end
    assert.equal(1, to:pop())
    to:push_again("a")
    to:push_again("b")
    assert.equal(4, to:size())
    assert.same({ "a", "b", 2, 3 }, { to:pop(), to:pop(), to:pop(), to:pop() })
    to:push(4)
    assert.equal(4, to:pop())
    assert.equal(0, to:size())
  end))

  it("takes as many that have slept as there are", helper.virtual(function()
    local to = new_destination()
    for i = 1, 300000 do to:push_again(i) end
    for i = 1, 300000 do assert(to:pop() == i) end
  end))
end)

describe("a fifo", function()
  it("gives what was put in, in order", function()
    local random, queue, put, got = helper.random(), fifo.new(), 0, 0
    for _ = 1, 20000 do
      if random(1, 2) == 1 then
        put = put + 1
        queue:push(put)
      else
        local expected = got < put and got + 1 or nil
        assert.equal(expected, queue:peek())
        assert.equal(expected, queue:pop())
        got = expected or got
      end
      assert.equal(put - got, queue:size())
    end
  end)
end)

describe("the journal", function()
  it("tells what is done, what was in flight, and what is cut", function()
    local file <close> = file_of("")
    do
      local j <close> = assert(journal.open(file.name))
      j:begin("a", 1)
      j:finish("a", { ok = true, status = 200 }, 1, "line")
      j:begin("b/c", 1)
      j:again("b/c", 1, "HTTP 503")
      j:begin("d", 1)
      j:begin("e", 1)
      j:finish("e", { ok = false, message = "HTTP 404" }, 1, "line")
    end
    local text <const> = content(file.name)
    for cut = 0, 30 do
      local torn <close> = file_of(text .. ('{"id":"d","delivered":200,"attempts":1}'):sub(1, cut))
      do
        local j <close> = assert(journal.open(torn.name, true))
        assert.same({ a = "delivered", e = "failed" }, j.done)
        assert.same({ 1, 1, 1 }, { j.delivered, j.failed, j.in_flight })
        assert.equal(cut > 0 and 1 or 0, j.torn)
        j:finish("d", { ok = true, status = 204 }, 2, "line")
      end
      local j <close> = assert(journal.open(torn.name, true))
      assert.equal("delivered", j.done.d)
      assert.equal(0, j.in_flight)
    end
  end)

  it("is not written over", function()
    local file <close> = file_of('{"id":"a","attempt":1}\n')
    local j, why = journal.open(file.name)
    assert.is_nil(j)
    assert.is_truthy(why:find("--resume", 1, true))
    assert.equal('{"id":"a","attempt":1}\n', content(file.name))
  end)

  it("is locked as long as it is open", function()
    if not os.execute("command -v flock >/dev/null") then
      pending("needs flock")
      return
    end
    local file <close> = file_of("")
    local function is_free() return os.execute(("flock -n %s true"):format(file.name)) == true end
    do
      local _ <close> = assert(journal.open(file.name))
      assert.is_false(is_free())
    end
    assert.is_true(is_free())
    local _ <close> = assert(io.popen(("flock %s cat"):format(file.name), "w"))
    repeat until not is_free()
    local j, why = journal.open(file.name, true)
    assert.is_nil(j)
    assert.equal(file.name .. ": another run is using it", why)
  end)

  it("belongs to its source, by the first line and those that are done", function()
    local file <close> = file_of("")
    do
      local j <close> = assert(journal.open(file.name))
      j:begin_source("s", "one")
      j:finish("a", { ok = true, status = 200 }, 1, "line of a")
      j:finish("b", { ok = false, message = "no" }, 1, "line of b")
    end
    local function failure_of(fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      return tostring(err)
    end
    do
      local j <close> = assert(journal.open(file.name, true))
      assert.is_truthy(failure_of(j.begin_source, j, "t", "two"):find("begun with s, and t is another source", 1, true))
      j:begin_source("moved", "one")
      assert.equal("delivered", j:outcome("a", "line of a", "s"))
      assert.equal("failed", j:outcome("b", "line of b", "s"))
      assert.is_nil(j:outcome("c", "whatever", "s"))
      assert.is_truthy(failure_of(j.outcome, j, "b", "mended", "s"):find("'b' was failed with another line", 1, true))
    end
    for _ = 1, 2 do -- it is meant, then it is known
      local j <close> = assert(journal.open(file.name, true))
      j:begin_source("t", "two", _ == 1)
      assert.equal("failed", j:outcome("b", "mended", "t"))
      j:finish("c", { ok = true, status = 200 }, 1, "line of c")
    end
    local j <close> = assert(journal.open(file.name, true))
    j:begin_source("t", "two", true) -- the same, and its lines were changed: that is meant too
    assert.equal("delivered", j:outcome("c", "changed", "t"))
  end)

  it("from before it said so belongs to any source", function()
    local file <close> = file_of('{"id":"a","attempt":1}\n{"id":"a","delivered":200,"attempts":1}\n')
    local j <close> = assert(journal.open(file.name, true))
    j:begin_source("s", "one")
    assert.equal("delivered", j:outcome("a", "any", "s"))
  end)

  it("is there when it is to be gone on with", function()
    local name <const> = os.tmpname()
    os.remove(name)
    local j, why = journal.open(name, true)
    assert.is_nil(j)
    assert.is_truthy(why:find(name, 1, true))
    assert.is_nil(io.open(name))
  end)
end)

describe("a line", function()
  it("has its JSON body sent as it stands", function()
    local d = delivery.parse('{ "id": 7, "body" : {"a":[], "b":{}, "c":"}\\"],", "n":1.10} ,"url":"http://h:1/x"}')
    assert.equal('{"a":[], "b":{}, "c":"}\\"],", "n":1.10}', d.body)
    assert.equal("7", d.headers["idempotency-key"])
    assert.equal("application/json", d.headers["content-type"])
    assert.equal("http://h:1", d.destination)
    assert.equal("text", delivery.parse('{"id":"a","url":"https://u:p@H/x","body":"text"}').body)
    assert.equal("https://h", delivery.parse('{"id":"a","url":"https://u:p@H/x"}').destination)
  end)

  it("may have been a dead letter", function()
    local text = '{"id":"a","url":"http://h/x","body":[ 1 ]}'
    local answer = { message = "HTTP 500", status = 500 }
    local letter = delivery.dead_letter(text, answer, 3)
    assert.equal('{"id":"a","url":"http://h/x","body":[ 1 ],"error":"HTTP 500","status":500,"attempts":3}\n', letter)
    assert.is_truthy(delivery.parse(letter))
    assert.equal(letter, delivery.dead_letter(letter, answer, 3))
    assert.equal('{"id":"a","url":"http://h/x","body":[ 1 ],"error":"no answer","attempts":1}\n',
      delivery.dead_letter(letter, { message = "no answer" }, 1))
  end)

  it("is read again by its place, whatever the pieces are", helper.virtual(function()
    local long = ("x"):rep(70000)
    for _, tail in ipairs { "", "\n" } do
      local text = "a\n\n" .. long .. "\nb" .. long .. long .. "\r\nlast" .. tail
      local file <close> = file_of(text)
      local from <close> = assert(source.open(file.name))
      local got = {}
      for line, place, number in from.next, from do
        assert.equal(#got + 1, number)
        assert.equal(line, from:again(place))
        got[number] = line
      end
      assert.same({ "a", "", long, "b" .. long .. long .. "\r", "last" }, got)
    end
  end))
end)

describe("a source that is changed while it is read", function()
  it("is noticed when the line is to be sent", helper.virtual(function()
    for _, change in ipairs { "aXa\nbbb\nccc\n", "aaa\nbbbb\nccc\n", "aaa\n" } do
      local file <close> = file_of("aaa\nbbb\nccc\n")
      local from <close> = assert(source.open(file.name))
      local places = {}
      for _, place, number in from.next, from do places[number] = place end
      do
        local other <close> = assert(io.open(file.name, "wb"))
        other:write(change)
      end
      local ok, err = pcall(function()
        for i = 1, 3 do from:again(places[i]) end
      end)
      assert.is_false(ok)
      assert.equal(file.name .. " was changed while it was read", tostring(err))
    end
  end))
end)

describe("who a URL speaks to", function()
  it("is written in one way", function()
    for expected, urls in pairs {
      ["http://h"] = { "http://h/x", "HTTP://H", "http://h:80", "http://h.", "http://h.:080?y", "http://h:/",
        "http://u:p@h#f", "http://%68" },
      ["https://h"] = { "https://h:443/", "https://H./" },
      ["https://h:80"] = { "https://h:80" },
      ["http://h:8080"] = { "http://h:8080/", "http://H.:08080" },
      ["http://[::1]"] = { "http://[::1]:80/", "http://[0:0:0:0:0:0:0:1]", "http://[0::0001]/x" },
      ["http://[2001:db8::1:0:0:1]:81"] = { "http://[2001:DB8:0:0:1:0:0:1]:81/" },
      ["http://[::ffff:102:304]"] = { "http://[::FFFF:1.2.3.4]" },
      ["http://[::]"] = { "http://[::]", "http://[0:0:0:0:0:0:0:0]" },
      ["http://[1::]"] = { "http://[1::]", "http://[1:0:0:0:0:0:0:0]" },
      ["http://[1:2:3:4:5:6:7:8]"] = { "http://[1:2:3:4:5:6:7:8]" },
      ["http://[fe80::1%eth0]"] = { "http://[FE80::1%25eth0]/" },
      ["http://[zz::1]"] = { "http://[zz::1]" },
    } do
      for _, url in ipairs(urls) do
        assert.equal(expected, origin(url))
      end
    end
  end)
end)

describe("Retry-After", function()
  it("is a whole number of seconds, however long, or a date", function()
    assert.equal(7, retry.after(" 7 "))
    for _, text in ipairs { "9223372036854775807", ("9"):rep(20), ("9"):rep(400) } do
      assert.equal("integer", math.type(retry.after(text)))
    end
    for _, text in ipairs { "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994" } do
      assert.equal(0, retry.after(text))
    end
    for _, text in ipairs { "", "-1", "1.5", "soon", "Sun, 06 Nix 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
      "Sun Nov 6 08:49:37 1994", "Sunday, 06-Nix-94 08:49:37 GMT" } do
      assert.is_nil(retry.after(text))
    end
    assert.is_nil(retry.after(nil))
  end)

  it("is the same in the old forms of a date", function()
    for days = 1, 15000, 97 do -- two digits say a year up to 50 years ahead
      local at = os.time() + days * 86400
      for _, form in ipairs { "!%a, %d %b %Y %H:%M:%S GMT", "!%A, %d-%b-%y %H:%M:%S GMT", "!%a %b %e %H:%M:%S %Y" } do
        local asked = retry.after(os.date(form, at))
        assert.is_true(asked <= days * 86400 and asked > (days - 1) * 86400)
      end
    end
  end)
end)
