-- support.lua - timing and row printing for the Lua programs of bench/.
--
-- A row is one line of words, `row name=... impl=... unit=ns value=... n=...`; bench/run reads
-- it and leaves every other line alone. Time is CPU time (user + sys) of the process, which a
-- busy machine disturbs least; the programs are single-threaded, so it is elapsed time too.

local bench = {}

function bench.row(name, impl, unit, value, n, extra)
  local words = { ("row name=%s impl=%s unit=%s value=%.1f n=%d"):format(name, impl, unit, value, n) }
  local keys = {}
  for key in pairs(extra or {}) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do words[#words + 1] = ("%s=%.1f"):format(key, extra[key]) end
  print(table.concat(words, " "))
end

function bench.median(list)
  table.sort(list)
  return list[#list // 2 + 1]
end

-- The environment variable BENCH_ROW leaves the one row of that name, run once, for a profiler.
local row = os.getenv "BENCH_ROW"

function bench.wanted(name) return not row or row == name end

-- Run `fn` once to warm up, then `count` times: the median CPU time in ns for one of its `n` operations.
function bench.measure(n, fn, count)
  fn()
  local list = {}
  for i = 1, row and 1 or count or 5 do
    collectgarbage()
    local start = os.clock()
    fn()
    list[i] = (os.clock() - start) * 1e9 / n
  end
  return bench.median(list)
end

function bench.rounds(name, impl, n, fn, count)
  if not bench.wanted(name) then return end
  bench.row(name, impl, "ns", bench.measure(n, fn, count), n)
end

-- The reference of most rows: one coroutine.resume and the yield that answers it.
function bench.pair(n)
  n = n or 1000000
  local yield, resume = coroutine.yield, coroutine.resume
  local co = coroutine.create(function() while true do yield() end end)
  bench.rounds("pair", "coroutine", n, function()
    for _ = 1, n do resume(co) end
  end)
end

-- Bytes of this process in memory; 0 where there is no /proc.
function bench.resident()
  local file = io.open("/proc/self/statm")
  if not file then return 0 end
  local _, pages = file:read("n", "n")
  file:close()
  return pages * 4096
end

return bench
