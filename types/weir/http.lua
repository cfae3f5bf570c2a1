-- types/weir/http.lua - the annotations of bindings/weir/http/init.lua, taken out by tools/types.lua; do not edit.
---@meta weir.http

---@class weir.http
---@field get weir.http.Call
---@field head weir.http.Call
---@field post weir.http.Call
---@field put weir.http.Call
---@field patch weir.http.Call
---@field delete weir.http.Call
---@field request weir.http.Call the method as an option
local http = {}

--- The counters of the client that the functions above use.
---@return weir.http.ClientStats
function http.stats() end

return http
