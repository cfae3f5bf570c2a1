-- bucket.lua - one token of a rate limit: granted at once on the turn's clock, refused, and waited for.
--
-- `bucket_take` spends a budget unit per take and yields once in a hundred, as every operation that
-- need not wait. `bucket_limits` charges two buckets and a window, all or nothing. `bucket_wait` is
-- a thousand tasks in the queue of one bucket on virtual time: one operation is a queued take, its
-- timer and the switch. Peers: Go's rate.Allow is 86 ns, most of it the clock (research figure).
-- Usage: bucket.lua [N]

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"

local n = tonumber(arg[1]) or 300000

local function takes(bucket)
  return function()
    for _ = 1, n do bucket:take() end
  end
end

weir.run(function()
  bench.pair()

  local full = weir.bucket { rate = 1e9, burst = 1e12 }
  bench.rounds("bucket_take", "weir", n, takes(full))
  bench.rounds("bucket_try_take", "weir", n, function()
    for _ = 1, n do full:try_take() end
  end)
  bench.rounds("bucket_reserve", "weir", n, function()
    for _ = 1, n do full:reserve() end
  end)

  local empty = weir.bucket { rate = 1e-3 }
  empty:take()
  bench.rounds("bucket_refuse", "weir", n, function()
    for _ = 1, n do empty:try_take() end
  end)

  bench.rounds("bucket_limits", "weir", n, takes(weir.bucket {
    limits = { { rate = 1e9, burst = 1e12 }, { rate = 1e8, burst = 1e12 } },
    window = { n = 1 << 20, per = 1e-9 },
  }))
end)

local tasks <const> = 1000
bench.rounds("bucket_wait", "weir", n // tasks * tasks, function()
  weir.test.run(function()
    local bucket = weir.bucket { rate = 1e6 }
    weir.scope(function(s)
      for _ = 1, tasks do
        s:spawn(function()
          for _ = 1, n // tasks do bucket:take() end
        end)
      end
    end)
  end)
end)
