-- 050 - tarn (Knex), HikariCP: what create failed with is not told to who waits: after 30 seconds they get "timeout,
-- the pool is probably full", though the server refused the connection at once.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

describe("a create that fails", function()
  it("is told to who waits at once, and then refuses at once", helper.virtual(function()
    local s = server { create = 0.05 }
    s.refuses = { message = "ECONNREFUSED" }
    local pool = s:pool { max = 2 }
    local start = weir.now()
    local tasks = {}
    for i = 1, 10 do tasks[i] = weir.spawn(pcall, pool.acquire, pool) end
    local causes = 0
    for i = 1, 10 do
      local ok, err = tasks[i]:await()
      assert.is_false(ok)
      if err == s.refuses or (weir.kind(err) == "open" and err.cause == s.refuses) then causes = causes + 1 end
    end
    assert.equal(10, causes)
    assert.is_true(weir.now() - start < 1)
  end))
end)
