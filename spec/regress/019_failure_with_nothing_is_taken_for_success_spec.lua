-- 019 - fastq, p-map: `reject(undefined)` counted as success because the error was tested for truth.

local helper = require "support.helper"
local weir = require "weir"

describe("an error of nil or false", function()
  it("is a failure everywhere", helper.virtual(function()
    for _, value in ipairs { "nil", "false" } do
      local v = nil
      if value == "false" then v = false end
      local function failing() error(v, 0) end
      local function fails(fn, ...)
        local r = table.pack(pcall(fn, ...))
        assert.is_false(r[1])
        assert.equal(v, r[2])
      end
      local t = weir.spawn(failing)
      assert.is_false((t:pawait()))
      assert.equal("failed", t.status)
      fails(weir.scope, failing)
      fails(weir.scope, function(s) s:spawn(failing) end)
      fails(weir.all, { failing })
      fails(weir.race, { failing })
      fails(weir.map, { 1 }, failing)
      fails(weir.timeout, 1, failing)
      local sem = weir.semaphore(1)
      fails(sem.with, sem, failing)
      assert.is_false(weir.settle({ failing })[1].ok)
      assert.equal("other", (weir.any { failing, function() return "other" end }))
      local _, errors = weir.map({ 1 }, failing, { on_error = "collect" })
      assert.is_table(errors)
    end
  end))
end)
