-- http_body_spec.lua - a reply whose body is read: an open file, a streamed response of another server.

local helper = require "support.helper"
local support = require "support.http_server"
local weir = require "weir"

local has_client, http = pcall(require, "weir.http")

-- A thing with a `read`, that counts.
local function source(pieces)
  local body = { n = 0, closed = 0 }
  function body.read()
    body.n = body.n + 1
    return pieces(body.n)
  end
  function body.close() body.closed = body.closed + 1 end
  return body
end

local function base(server) return "http://127.0.0.1:" .. server.port .. "/" end

describe("a body that is read #real", function()
  if not (support.serve and has_client) then
    pending("needs both modules of weir.http and luv")
    return
  end

  it("is sent piece by piece, and closed", helper.real(function()
    local body = source(function(n) return n <= 3 and ("piece %d "):format(n) or nil end)
    local server <close> = http.serve({}, function() return { status = 200, body = body } end)
    assert.equal("piece 1 piece 2 piece 3 ", http.get(base(server)).body)
    assert.equal(1, body.closed)
  end))

  it("may be an open file", helper.real(function()
    local name = os.tmpname()
    local _ <close> = helper.closing(function() os.remove(name) end)
    local text = ("0123456789abcdef"):rep(20000)
    local file = assert(io.open(name, "wb"))
    file:write(text)
    file:close()
    local opened
    local server <close> = http.serve({}, function()
      opened = assert(io.open(name, "rb"))
      return { status = 200, body = opened }
    end)
    assert.equal(text, http.get(base(server)).body)
    assert.equal("closed file", io.type(opened))
  end))

  it("is closed when it fails, and the answer is cut", function()
    local output = support.program([[
      local body = { n = 0 }
      function body:read()
        self.n = self.n + 1
        return self.n < 2 and "piece" or error("the disk is gone")
      end
      function body:close() print("closed") end
      return { status = 200, body = body }]], [[
      local r = c:get("/")
      return r.body, r.whole]])
    assert.truthy(output:find("closed\n", 1, true), output)
    assert.truthy(output:find("piece\tfalse", 1, true), output)
    assert.truthy(output:find("the disk is gone", 1, true), output)
  end)

  it("is closed when the client leaves", helper.real(function()
    local body = source(function() return ("x"):rep(100000) end)
    local server <close> = http.serve({}, function() return { status = 200, body = body } end)
    do
      local response <close> = http.get(base(server), { stream = true })
      assert.equal(200, response.status)
    end
    while body.closed == 0 do weir.sleep(0.001) end
    assert.equal(1, body.closed)
  end))

  it("passes another server's answer on, no faster than it is read", helper.real(function()
    local made = 0
    local origin <close> = http.serve({}, function()
      return { status = 200, body = function()
        made = made + 1
        return made <= 1000 and ("x"):rep(100000) or nil
      end }
    end)
    local proxy <close> = http.serve({}, function()
      local response = http.get(base(origin), { stream = true })
      return { status = response.status, body = response }
    end)
    local response <close> = http.get(base(proxy), { stream = true })
    local size = #response:read()
    weir.sleep(0.05) -- the buffers of two connections fill, no more
    assert.is_true(made < 900, ("%d pieces were made before they were asked for"):format(made))
    for piece in response:chunks() do size = size + #piece end
    assert.equal(1000 * 100000, size)
  end))

  it("is refused if it has no read", function()
    local output = support.program("return { status = 200, body = {} }", "return c:get('/').status")
    assert.truthy(output:find("500\n", 1, true), output)
    assert.truthy(output:find("or have a read method, got table", 1, true), output)
  end)
end)
