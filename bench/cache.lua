-- cache.lua - weir.cache and weir.batch: hits, misses, a herd on one key, a million keys.
--
-- `cache_hit`: a key that is there, one after the other among 1,000; `cache_miss`: a key that is not,
-- loaded by a function that answers at once, each time another (at 1,000 kept one goes for each);
-- `cache_herd`: 10,000 tasks ask for one key while its load lasts, for each of them, the task's own
-- life included. `batch_load`: 100 keys asked for at once, one call of the batch function, for each.
-- Usage: cache.lua [N]

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"

local n = tonumber(arg[1]) or 100000
local keys = {}
for i = 1, 1000 do keys[i] = "key-" .. i end

weir.run(function()
  bench.pair()
  local function length(key) return #key end
  local cache = weir.cache { max = 1000, ttl = 3600, load = length }
  for _, key in ipairs(keys) do cache:get(key) end
  bench.rounds("cache_hit", "weir", n, function()
    for i = 1, n do cache:get(keys[i % 1000 + 1]) end
  end)
  bench.rounds("cache_peek", "weir", n, function()
    for i = 1, n do cache:peek(keys[i % 1000 + 1]) end
  end)
  local fresh = 0
  bench.rounds("cache_miss", "weir", n, function()
    for _ = 1, n do
      cache:get("new-" .. fresh)
      fresh = fresh + 1
    end
  end)

  local loads = 0
  local slow = weir.cache { max = 1000, ttl = 3600, load = function()
    loads = loads + 1
    weir.sleep(0.001)
    return 1
  end }
  bench.rounds("cache_herd", "weir", 10000, function()
    slow:clear()
    loads = 0
    weir.scope(function(scope)
      for _ = 1, 10000 do scope:spawn(slow.get, slow, "hot") end
    end)
    assert(loads == 1)
  end)

  local load = weir.batch(function(list) return list end, { max = 1000 })
  bench.rounds("batch_load", "weir", n, function()
    for _ = 1, n, 100 do
      weir.scope(function(scope)
        for k = 1, 100 do scope:spawn(load, k) end
      end)
    end
  end)
end)
