-- keyed.lua - look-ups among 100,000 keys of weir.keyed, and what it costs to make and forget them.
--
-- `keyed_look_up` asks for one key after the other (each moves to the young end of the list),
-- `keyed_table` is the same on a plain table: the bare look-up, without a limit for what is kept.
-- `keyed_make` makes a key whose object is there already, `keyed_evict` does so at `max`, where each
-- new key sends the oldest away; `keyed_with` is a look-up and a semaphore's with.
-- Usage: keyed.lua [N]

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"

local n = tonumber(arg[1]) or 100000
local names = {}
for i = 1, n do names[i] = "host-" .. i * 7919 % n end

local idle = { __index = { is_idle = function() return true end } }
local function factory() return setmetatable({}, idle) end
local function nothing() end

weir.run(function()
  bench.pair()

  local keys, plain = weir.keyed(factory, { max = n }), {}
  for i = 1, n do
    keys(names[i])
    plain[names[i]] = keys
  end
  bench.rounds("keyed_look_up", "weir", n, function()
    for i = 1, n do keys(names[i]) end
  end)
  bench.rounds("keyed_table", "weir", n, function()
    for i = 1, n do nothing(plain[names[i]]) end
  end)
  bench.rounds("keyed_make", "weir", n, function()
    local made = weir.keyed(factory, { max = n })
    for i = 1, n do made(names[i]) end
  end)
  bench.rounds("keyed_evict", "weir", n, function()
    local made = weir.keyed(factory, { max = 100 })
    for i = 1, n do made(names[i]) end
  end)
  local semaphores = weir.keyed(function() return weir.semaphore(1) end, { max = 1000 })
  bench.rounds("keyed_with", "weir", n, function()
    for i = 1, n do semaphores:with(names[i % 1000 + 1], nothing) end
  end)
  assert(#keys == n and keys:stats().made == n)
end)
