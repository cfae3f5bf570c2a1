-- types/weir/wrap.lua - the annotations of bindings/weir/init.lua, taken out by tools/types.lua; do not edit.
---@meta _

---@class weir
local weir = {}

--- Make a waiting function of one that takes a callback as its last argument.
--- What `f` returns is closed (`:close()` or `__close`) if the wait is given up.
---@param f fun(...): any called with the arguments and then a callback
---@return async fun(...): ... waits, and returns what the callback was called with
function weir.wrap(f) end
