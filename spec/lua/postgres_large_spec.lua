-- postgres_large_spec.lua - weir.postgres: a result of many rows is made into tables a slice at a time.
--
-- What is seen of that without a clock: how much Lua's memory grows between two turns of another task.

local client = require "support.postgres_client"
local helper = require "support.helper"
local weir = require "weir"

describe("weir.postgres: a large result #real", function()
  if not client.found then
    pending(client.missing)
    return
  end

  local get = client.server(setup, teardown)
  local function with(fn) return client.with(get, fn) end

  local ROWS <const> = 100000
  local SQL <const> = "select i, 'row' as s from generate_series(1, $1::int) i"

  -- The collector stands still until the block is left.
  local function uncollected()
    collectgarbage()
    collectgarbage "stop"
    return setmetatable({}, { __close = function() collectgarbage "restart" end })
  end

  -- A task that calls see(kilobytes since the turn before) in each of its turns.
  local function watch(see)
    return weir.spawn(function()
      local before = collectgarbage "count"
      while true do
        weir.checkpoint()
        local now = collectgarbage "count"
        see(now - before)
        before = now
      end
    end)
  end

  it("gives others their turn between its slices, and is whole", with(function(db)
    local _ <close> = uncollected()
    local largest, all = 0, 0
    local watcher = watch(function(kilobytes)
      largest = math.max(largest, kilobytes)
      all = all + kilobytes
    end)
    weir.checkpoint()
    local rows = db:query(SQL, ROWS)
    weir.checkpoint()
    watcher:cancel()
    assert.is_true(all > 10000, all .. " KB were seen")
    assert.is_true(largest < all / 4, ("%.0f of %.0f KB in one turn"):format(largest, all))
    assert.same({ ROWS, ROWS }, { rows.n, #rows })
    assert.same({ "i", "s" }, rows.columns)
    for i = 1, ROWS do
      if rows[i].i ~= i or rows[i].s ~= "row" then error("row " .. i .. " is another") end
    end
  end))

  it("can be given up between them, and the connection is as good as before", with(function(db)
    local _ <close> = uncollected()
    local task = weir.spawn(db.query, db, SQL, ROWS)
    local all = 0
    local watcher = watch(function(kilobytes)
      all = all + kilobytes
      if all > 6000 then task:cancel "enough" end
    end)
    local ok, err = task:pawait()
    watcher:cancel()
    assert.is_false(ok)
    assert.same({ "cancelled", "enough" }, { weir.kind(err), err.reason })
    assert.is_true(all < 12000, all .. " KB")
    assert.equal(1, db:value "select 1")
  end))

  it("is the caller's though the connection is closed meanwhile", with(function(db)
    local _ <close> = uncollected()
    local task = weir.spawn(db.query, db, SQL, ROWS)
    local all = 0
    local watcher = watch(function(kilobytes)
      all = all + kilobytes
      if all > 6000 and not db.closed then weir.detach(db.close, db) end
    end)
    local rows = task:await()
    watcher:cancel()
    assert.equal(ROWS, rows[ROWS].i)
    helper.error("closed", db.query, db, "select 1")
  end))
end)
