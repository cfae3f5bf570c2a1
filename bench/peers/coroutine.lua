-- coroutine.lua - bare Lua coroutines: the resume/yield pair, and N of them suspended at once.
--
-- The floor under every scheduler written for Lua: nothing here waits for anything, keeps
-- time or can be cancelled. Usage: coroutine.lua pair | coroutine.lua parked N

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/../support.lua")

if arg[1] == "pair" then
  bench.pair(tonumber(arg[2]))
elseif arg[1] == "parked" then
  local n = tonumber(arg[2]) or 100000
  local yield, resume, create = coroutine.yield, coroutine.resume, coroutine.create
  local before, start = bench.resident(), os.clock()
  local all, woken = {}, 0
  for i = 1, n do
    local co = create(function() yield(i) woken = woken + 1 end)
    resume(co)
    all[i] = co
  end
  bench.row("parked_bytes", "coroutine", "bytes", (bench.resident() - before) / n, n)
  for i = 1, n do resume(all[i]) end
  assert(woken == n)
  bench.row("parked_life", "coroutine", "ns", (os.clock() - start) * 1e9 / n, n)
else
  error("usage: coroutine.lua pair [N] | coroutine.lua parked [N]")
end
