-- 076 - a task whose child failed had no stack of that: `weir.spawn(f)` at the top of a script ended the program with
-- the bare message; where it was raised and where f was spawned went unsaid. Under plain Lua a wait outside weir.run
-- was refused without saying which.

local helper = require "support.helper"
local weir = require "weir"

local function fail() error("no such luck") end

describe("a task that a child failed", function()
  it("has the child's stack", helper.virtual(function()
    local parent <const> = weir.spawn(function()
      weir.spawn(fail).name = "child"
      weir.sleep(1)
    end)
    assert.is_false((parent:pawait()))
    assert.truthy(parent.traceback:find("\n.-child.- spawned at .-076_main"), parent.traceback)
  end))

  it("has it from any depth, and where its own body had ended well", helper.virtual(function()
    local top <const> = weir.spawn(function()
      weir.spawn(function() weir.spawn(fail).name = "child" end)
    end)
    assert.is_false((top:pawait()))
    assert.truthy(top.traceback:find("\n.-child.- spawned at .-076_main"), top.traceback)
  end))

  it("ends so or with its memory gone, whichever allocation fails", function()
    helper.fail_allocations(function()
      pcall(weir.scope, function()
        weir.spawn(function() weir.spawn(fail) end)
        weir.sleep(1)
      end)
    end)
  end)

  it("shows it where it ends the program", function()
    local host <const> = os.getenv "WEIR"
    if not host then return pending("needs the binary in WEIR") end
    local output, code = helper.program([[
      local weir = require "weir"
      weir.spawn(function()
        error("no such luck")
      end)
      weir.sleep(1)
    ]], host)
    assert.equal(1, code)
    assert.truthy(output:find(":3: no such luck\nstack traceback:\n.-:3: in .-spawned at .-:2"), output)
  end)
end)

describe("what must be called inside a task", function()
  it("says in plain Lua, which shows no stack of it, where it was called", function()
    for _, call in ipairs { "weir.sleep(1)", "weir.spawn(print)", "weir.limit(1)(print)", "weir.map({ 1 }, print)" } do
      local output <const>, code <const> = helper.program('local weir = require "weir"\n\n' .. call)
      assert.equal(1, code)
      assert.truthy(output:find("must be called inside a task %([^)]*%), is called at [^\n]*:3\n"), output)
    end
  end)
end)
