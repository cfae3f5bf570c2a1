-- 074 - weir itself: the Lua half waits for its caller (map, get_many, all ...), and a deadlock report named the
-- line of the library, not the one that called it. So do reports of others: one looks at a line one did not write.

local helper = require "support.helper"
local weir = require "weir"

local function nobody() weir.await(function() end) end

-- Run `fn`, which waits for ever, and check that the report names `line` of this file.
local function check(fn, line)
  local err = helper.error("deadlock", fn)
  local first = err.message:match("the main task waits in [^\n]*")
  assert.matches("074[%w_]*%.lua:" .. line .. "$", first)
end

describe("a deadlock report", function()
  it("names the line that called the library", helper.virtual(function()
    local cache <const> = weir.cache {}
    check(function()
      cache:get_many({ 1, 2 }, nobody)
      return true
    end, helper.line(-2))
    local batch <const> = weir.batch(nobody)
    check(function()
      batch:load_many { 1, 2 }
      return true
    end, helper.line(-2))
    check(function()
      weir.map({ 1, 2 }, nobody)
      return true
    end, helper.line(-2))
    check(function()
      weir.any { nobody, nobody }
      return true
    end, helper.line(-2))
  end))
end)
