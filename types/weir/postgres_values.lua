-- types/weir/postgres_values.lua - the annotations of bindings/weir/postgres/values.lua, taken out by tools/types.lua; do not edit.
---@meta _

---@class weir.postgres
local postgres = {}

--- A value as json or jsonb. `null` inside is JSON's.
---@param value any
function postgres.json(value) end

--- A table as an array; tables in it are its further dimensions. nil (up to `t.n`) and null are NULL.
---@param t table
function postgres.array(t) end

--- A name (of a table, channel ...) as it stands in a statement, in quotes.
---@param name string
---@return string
function postgres.identifier(name) end
