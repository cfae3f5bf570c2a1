-- support/bucket.lua - buckets that are empty, and tasks that note when they are served.

local assert = require "luassert"
local weir = require "weir"

local support = {}

--- A bucket that has nothing in it.
function support.empty(options)
  local bucket = weir.bucket(options)
  bucket:take(bucket.burst)
  return bucket
end

--- Spawn takes of `costs` in order; returns the list of {index, time} that fills as they are served.
function support.takers(bucket, costs)
  local served, start = {}, weir.now()
  for i, n in ipairs(costs) do
    weir.spawn(function()
      bucket:take(n)
      served[#served + 1] = { i, weir.now() - start }
    end)
  end
  weir.checkpoint()
  return served
end

--- Assert that `served` (of takers) is `expected`, times to a microsecond.
function support.assert_served(expected, served)
  assert.equal(#expected, #served)
  for k, e in ipairs(expected) do
    assert.equal(e[1], served[k][1])
    assert.near(e[2], served[k][2], 1e-6)
  end
end

return support
