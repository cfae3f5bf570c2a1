-- 075 - weir itself: the work that is done for many claims its failure, since who waits gets it. Where everybody had
-- left, the work was cancelled, and what its cleanup failed with was nobody's: lost without a word.

local helper = require "support.helper"
local weir = require "weir"

local function fails_in_cleanup()
  local _ <close> = helper.closing(function() error("cannot undo", 0) end)
  weir.sleep(10)
end

-- A function and its arguments, for whose caller `fn` works.
local works <const> = {
  ["a load"] = function(fn)
    local cache <const> = weir.cache()
    return cache.get, cache, "k", fn
  end,
  ["a load of many keys"] = function(fn)
    local cache <const> = weir.cache()
    return cache.get_many, cache, { 1, 2 }, fn
  end,
  ["the call of a batch"] = function(fn) return weir.batch(fn), 1 end,
}

for what, make in pairs(works) do
  describe(what .. " that everybody left", function()
    local function reported(fn)
      local seen = {}
      local before <const> = weir.on_unhandled(function(err) seen[#seen + 1] = err return true end)
      helper.error("timeout", weir.timeout, 1, make(fn))
      weir.sleep(1)
      weir.on_unhandled(before)
      return seen
    end

    it("is reported if its cleanup fails", helper.virtual(function()
      assert.same({ "cannot undo" }, reported(fails_in_cleanup))
    end))

    it("is not if it just ends", helper.virtual(function()
      assert.same({}, reported(function() weir.sleep(10) end))
    end))
  end)
end
