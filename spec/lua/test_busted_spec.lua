-- test_busted_spec.lua - weir.test.wrap: what busted shows of runs that fail, in the host and under plain Lua.

local helper = require "support.helper"
local test = require "weir.test"
local weir = require "weir"

local SPEC <const> = [[
local test, weir = require "weir.test", require "weir"
describe("wrapped", function()
  it("passes", test.wrap(function() weir.sleep(3600) assert.near(3600, weir.now(), 1e-6) end))
  it("in main", test.wrap(function() weir.sleep(1) assert.equal(1, 2) end))
  it("in a child", test.wrap(function()
    weir.spawn(function() assert.equal(3, 4) end)
  end))
  it("error", test.wrap(function() weir.spawn(error, "oops") end))
  it("a leak", test.wrap(function() weir.semaphore(1):acquire() end))
  it("later", test.wrap(function() pending("not yet") end))
  it("in some order", test.wrap(function()
    local n = 0
    weir.all { function() weir.sleep(1) n = n + 1 end, function() weir.sleep(1) n = n * 2 end }
    assert.equal(2, n)
  end, { explore = math.huge }))
end)
]]

-- What busted prints for the spec, run by the program `command`.
local function output_of(command)
  local name = os.tmpname()
  os.remove(name)
  name = name .. "_spec.lua"
  local file <close> = assert(io.open(name, "w"))
  file:write(SPEC)
  file:close()
  local runner = os.tmpname()
  local out <close> = assert(io.open(runner, "w"))
  out:write(("arg = { [0] = 'busted', '--ignore-lua', '-o', 'plainTerminal', %q }\n"):format(name),
    "local run = require 'busted.runner'\nrun { standalone = false }\n")
  out:close()
  local pipe = assert(io.popen(("LUA_PATH='%s' LUA_CPATH='%s' %s %s 2>&1"):format(package.path, package.cpath, command,
    runner)))
  local text = pipe:read("a")
  pipe:close()
  os.remove(name)
  os.remove(runner)
  return text
end

local function check(text)
  local function has(what)
    assert.is_truthy(text:find(what, 1, true), ("no %q in:\n%s"):format(what, text))
  end
  has "1 success / 3 failures / 2 errors / 1 pending"
  has "_spec.lua:4: Expected objects to be equal."
  has "_spec.lua:6: Expected objects to be equal."
  has "_spec.lua:9: leak: the main task ended and still held a permit, which was released"
  has "oops\nstack traceback:"
  has "_spec.lua:10: not yet"
  assert.is_truthy(text:find "schedule %d+, choices = {[%d, ]+}: [^\n]+_spec.lua:14: Expected", text)
end

describe("weir.test.wrap", function()
  it("shows failures where they are, under plain Lua", function()
    check(output_of("lua5.4"))
  end)

  it("shows failures where they are, in the host", function()
    local host = os.getenv("WEIR")
    if not host then return pending("no WEIR in the environment") end
    check(output_of(host))
  end)

  it("gives a function that runs on virtual time", function()
    local ran, seeds = 0, {}
    test.wrap(function() weir.sleep(3600) ran = ran + 1 end)()
    test.wrap(function() ran = ran + 1 seeds[test.random()] = true end, { explore = 5, seed = 3 })()
    assert.equal(6, ran)
    local n = 0
    for _ in pairs(seeds) do n = n + 1 end
    assert.equal(5, n)
  end)

  it("is misuse with wrong arguments", function()
    helper.error("misuse", test.wrap)
    helper.error("misuse", test.wrap, 1)
    helper.error("misuse", test.wrap, function() end, { explore = 0 })
    helper.error("misuse", test.wrap, function() end, { bogus = 1 })
  end)
end)
