---@meta weir.http
-- made by tools/types.lua from the annotations of bindings/weir/http/init.lua; do not edit.

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
