-- 044 - our own: __index and __gc of a semaphore, called with anything else, read its memory.

local helper = require "support.helper"
local core = require "weir.core"
local weir = require "weir"

describe("a metamethod of an object of weir", function()
  for _, case in ipairs {
    { "semaphore", function() return weir.semaphore(1) end },
    { "limit", function() return weir.limit(1) end },
    { "permit", function() return weir.semaphore(1):acquire() end },
    { "task", function() return weir.spawn(function() end) end },
    { "pool", function() return weir.pool { create = function() return 1 end } end },
    { "lease", function() return weir.pool { create = function() return 1 end }:acquire() end },
    { "scope", function() return weir.scope(function(s) return s end) end },
    { "bucket", function() return weir.bucket { rate = 1 } end },
    { "reservation", function() return weir.bucket({ rate = 1 }):reserve() end },
    { "simulator", function() return core.simulator() end },
    { "pool", function() return weir.pool { create = function() return {} end } end },
    { "cache", function() return weir.cache { ttl = 1 } end },
    { "batch", function() return weir.batch(function() return {} end) end },
  } do
    local name, make <const> = case[1], case[2]
    it(("of type %s refuses what is of another type"):format(name), helper.virtual(function()
      local object = make()
      local strangers = { {}, io.stdout, 42, "x", name == "bucket" and weir.semaphore(1) or weir.bucket { rate = 1 } }
      local called = 0
      for key, method in pairs(debug.getmetatable(object)) do
        for _, stranger in ipairs(strangers) do
          if type(method) == "function" then
            helper.error("misuse", method, stranger, "capacity")
            called = called + 1
          end
        end
        if type(method) == "function" then helper.error("misuse", method) end
        assert.is_string(key)
      end
      assert.is_true(called >= #strangers)
      if name == "permit" or name == "lease" then object:release() end
    end))
  end
end)
