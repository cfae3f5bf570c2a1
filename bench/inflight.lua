-- inflight.lua - the client of the proof run: N requests with an id each, at most LIMIT in flight.
--
-- It asserts nothing about the limit: the server counts (see nginx.conf), bench/run reads the
-- server's log. Prints how many answers were 200. Usage: inflight.lua URL [N [LIMIT]]

local weir = require "weir"
local http = require "weir.http"

local url, n, limit = arg[1], tonumber(arg[2]) or 10000, tonumber(arg[3]) or 50
local ids = {}
for i = 1, n do ids[i] = i end

weir.run(function()
  local client = http.client { max = 1000, max_per_host = 1000 } -- the limit under test is weir.limit
  local answers = weir.limit(limit):map(ids, function(id)
    return client:get(url .. "?id=" .. id).status
  end)
  local fine = 0
  for i = 1, n do
    if answers[i] == 200 then fine = fine + 1 end
  end
  print(("inflight answers=%d ok=%d"):format(answers.n, fine))
end)
