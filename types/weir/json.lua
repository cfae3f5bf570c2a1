-- types/weir/json.lua - the annotations of bindings/weir/json.lua, taken out by tools/types.lua; do not edit.
---@meta weir.json

---@class weir.json
---@field null any JSON's null, a value that is not nil
local json = {}

--- Mark a table (a new one by default) as an array, so that it is `[]` when empty.
---@param t? table
---@return table
function json.array(t) end

--- The value that a JSON text stands for. Kind `protocol` if it is not JSON.
---@param text string
---@return any
function json.decode(text) end

--- The JSON text of a value. Kind `misuse` for what JSON has no word for (functions, NaN ...).
---@param value any
---@return string
function json.encode(value) end

return json
