-- 051 - pgx #1164 and others: what is missing to the minimum is made by a health check once a minute, not when it
-- goes missing; pg-pool and tarn make nothing ahead at all.

local helper = require "support.helper"
local server = require "support.pool"
local weir = require "weir"

describe("what is missing to min", function()
  it("is made as soon as it is missing", helper.virtual(function()
    local s = server { create = 0.1 }
    local pool = s:pool { min = 2, max = 4, max_lifetime = 50, jitter = 0, dial_stagger = 0 }
    weir.sleep(0.25)
    assert.equal(2, pool.idle, "ahead")
    pool:acquire():discard()
    weir.sleep(0.25)
    assert.equal(2, pool.idle, "after one was broken")
    weir.sleep(50)
    assert.equal(2, pool.idle, "after both were too old")
    pool:resize { min = 4 }
    weir.sleep(0.25)
    assert.equal(4, pool.idle, "after min grew")
  end))
end)
