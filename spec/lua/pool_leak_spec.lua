-- pool_leak_spec.lua - leases that are out too long: who has them, since when, from where.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

describe("leak_after", function()
  it("reports a lease that is held longer, once, with its holder and where it was acquired", function()
    local output = helper.program [[
      local weir = require "weir"
      weir.run(function()
        local pool = weir.pool { name = "db", leak_after = 0.01, create = function() return 1 end }
        local t = weir.spawn(function()
          local lease <close> = pool:acquire()
          weir.sleep(0.05)
        end)
        t.name = "import"
        t:await()
        print(pool:stats().leaks)
      end)
    ]]
    local text = "weir: leak: pool 'db': task 'import' has held a lease for 0%.0%d* s, acquired at [^\n]+:5\n"
    assert.is_truthy(output:find(text), output)
    assert.is_truthy(output:find("\n?1\n"))
    assert.equal(2, select(2, output:gsub("\n", "\n")))
  end)

  it("gives the report to on_leak, which may wait", helper.virtual(function()
    local got
    local s = server()
    local pool = s:pool {
      name = "db", leak_after = 10, on_leak = function(leak) weir.sleep(1) got = leak end,
    }
    local start = weir.now()
    local line = helper.line(1)
    local lease = pool:acquire()
    weir.sleep(9.9)
    assert.is_nil(got)
    weir.sleep(2)
    assert.equal("the main task", got.holder)
    assert.equal("db", got.name)
    assert.equal(lease.value, got.value)
    assert.equal("spec/lua/pool_leak_spec.lua:" .. line, got.acquired_at)
    assert.is_true(math.abs(got.since - start) < 1e-6)
    assert.is_true(math.abs(got.held - 10) < 1e-6)
    got = nil
    weir.sleep(100)
    assert.is_nil(got, "once")
    assert.equal(1, pool:stats().leaks)
    lease:release()
  end))

  it("knows where one was acquired after a wait, by with and by try_acquire", helper.virtual(function()
    local seen = {}
    local pool = server { create = 1 }:pool {
      max = 1, leak_after = 10, on_leak = function(leak) seen[#seen + 1] = leak.acquired_at end,
    }
    local lines = {}
    lines[1] = helper.line(1)
    local lease = pool:acquire()
    weir.sleep(20)
    lease:release()
    lines[2] = helper.line(1)
    pool:with(function() weir.sleep(20) end)
    lines[3] = helper.line(1)
    lease = pool:try_acquire()
    local t = weir.spawn(function()
      lines[4] = helper.line(1)
      pool:with(function() weir.sleep(20) end)
    end)
    weir.sleep(20)
    lease:release()
    t:await()
    for i = 1, 4 do lines[i] = "spec/lua/pool_leak_spec.lua:" .. lines[i] end
    assert.same(lines, seen)
  end))

  it("forgets what comes back in time, and begins anew with each loan", helper.virtual(function()
    local n = 0
    local pool = server():pool { max = 2, leak_after = 1, on_leak = function() n = n + 1 end }
    for _ = 1, 5 do pool:with(function() weir.sleep(0.9) end) end
    assert.equal(0, n)
    local a, b = pool:acquire(), pool:acquire()
    weir.sleep(2)
    assert.equal(2, n)
    a:release()
    b:release()
    a, b = pool:acquire(), pool:acquire()
    weir.sleep(2)
    assert.equal(4, n)
    a:release()
    b:release()
  end))

  it("names the new holder of a lease that was transferred", helper.virtual(function()
    local holder
    local pool = server():pool { leak_after = 1, on_leak = function(leak) holder = leak.holder end }
    local lease = pool:acquire()
    local t = weir.spawn(function() weir.sleep(5) lease:release() end)
    t.name = "heir"
    lease:transfer(t)
    t:await()
    assert.equal("task 'heir'", holder)
  end))

  it("reports a failure of on_leak, and goes on", helper.virtual(function()
    local reported, by
    weir.on_unhandled(function(err, task) reported, by = err, task return true end)
    local pool = server():pool { name = "db", leak_after = 1, on_leak = function() error("oops", 0) end }
    pool:with(function() weir.sleep(3) end)
    assert.equal("oops", reported)
    assert.equal("db: on_leak", by.name)
  end))

  it("says nothing where it is not asked for", helper.virtual(function()
    local pool = server():pool()
    pool:with(function() weir.sleep(1e6) end)
    assert.equal(0, pool:stats().leaks)
  end))

  it("reports nothing that came back at that very instant, under any order", function()
    helper.shuffle(200, function()
      local seen = {}
      local pool = server():pool { max = 2, leak_after = 1, on_leak = function(leak) seen[#seen + 1] = leak.held end }
      weir.scope(function(scope)
        for _ = 1, 3 do
          scope:spawn(function()
            pool:with(function() weir.sleep(1) end)
            pool:with(function() weir.sleep(1) end)
          end)
        end
      end)
      weir.sleep(0)
      assert(#seen <= pool:stats().leaks)
      for _, held in ipairs(seen) do assert(held > 0.99, held) end
    end)
  end)
end)
