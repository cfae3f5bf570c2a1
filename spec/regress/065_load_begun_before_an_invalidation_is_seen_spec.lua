-- 065 - ben-manes/caffeine#193: an entry is invalidated while it is loaded, and the load, which read what was there
-- before, becomes visible afterwards. dataloader: a load that fails late clears what is newer.

local helper = require "support.helper"
local weir = require "weir"

describe("a load that began before its key was invalidated", function()
  for _, what in ipairs { "delete", "clear", "delete_tag", "set" } do
    it("is not seen after it: " .. what, helper.virtual(function()
      local cache, database = weir.cache { negative_ttl = 100 }, "old"
      local function read(_, fails)
        local value = database
        weir.sleep(5)
        if fails then error("late", 0) end
        return value, { tags = "row" }
      end
      for _, fails in ipairs(what == "delete_tag" and { false } or { false, true }) do -- an error has no tag
        cache:delete("k")
        database = "old"
        local reader = weir.spawn(pcall, cache.get, cache, "k", read, fails)
        weir.sleep(1)
        database = "new"
        if what == "set" then cache:set("k", "new") else cache[what](cache, what == "delete" and "k" or "row") end
        reader:await()
        assert.not_equal("old", cache:peek("k"))
        assert.equal("new", cache:get("k", read))
      end
    end))
  end
end)
