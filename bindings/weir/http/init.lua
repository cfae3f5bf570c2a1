-- weir.http - HTTP: `get`, `post` ... and clients on libcurl, servers on libmicrohttpd.
--
-- The functions of the module use a client of their own, one for each runtime and made when first
-- needed. `http.serve` loads the server's half (another library) when it is first called.
--
--     local response = http.get("https://example.com/", { timeout = 5 })
--     local data = http.post { url = url, json = { name = "weir" } }:json()

local curl <const> = require "weir.http.curl"
local client <const> = require "weir.http.client"

---@class weir.http
---@field get weir.http.Call
---@field head weir.http.Call
---@field post weir.http.Call
---@field put weir.http.Call
---@field patch weir.http.Call
---@field delete weir.http.Call
---@field request weir.http.Call the method as an option
local http = { client = client.new }

-- runtime -> client; one that has ended with its runtime is replaced
local clients = {}

local function default()
  local key <const> = curl.runtime()
  local found = clients[key]
  if found and found:is_open() then return found end
  for other, old in pairs(clients) do
    if not old:is_open() then clients[other] = nil end
  end
  found = client.new()
  clients[key] = found
  return found
end

for _, name in ipairs { "get", "head", "post", "put", "patch", "delete", "request" } do
  http[name] = function(url, opts)
    local c <const> = default()
    return c[name](c, url, opts)
  end
end

--- The counters of the client that the functions above use.
---@return weir.http.ClientStats
function http.stats()
  return default():stats()
end

-- Loaded when it is used; see weir.http.server.
function http.serve(...)
  return require("weir.http.server").serve(...)
end

return http
