-- http.lua - N keep-alive requests at 50 in flight with weir.http: CPU time (user + sys) of each.
--
-- Usage: http.lua URL [N [LIMIT]]

local bench = dofile((arg[0]:match("^(.*)/") or ".") .. "/support.lua")
local weir = require "weir"
local http = require "weir.http"

local url, n, limit = arg[1], tonumber(arg[2]) or 10000, tonumber(arg[3]) or 50

local function count(last)
  local i = 0
  return function()
    if i < last then
      i = i + 1
      return i
    end
  end
end

weir.run(function()
  local client = http.client { max = limit, max_per_host = limit }
  local bytes
  local function get()
    local response = client:get(url)
    assert(response.status == 200, response.status)
    bytes = bytes + #response.body
  end
  local function fan_out(requests)
    bytes = 0
    weir.each(count(requests), get, { limit = limit })
  end
  fan_out(500) -- connect
  weir.checkpoint()
  local cpu, wall = os.clock(), weir.now()
  fan_out(n)
  weir.checkpoint()
  bench.row("http", "weir", "ns", (os.clock() - cpu) * 1e9 / n, n,
    { wall = (weir.now() - wall) * 1e9 / n, bytes = bytes / n })
end)
