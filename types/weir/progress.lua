-- types/weir/progress.lua - the annotations of bindings/weir/progress.lua, taken out by tools/types.lua; do not edit.
---@meta weir.progress

---@class weir.Progress
---@field started integer
---@field finished integer
---@field failed integer
---@field total? integer set it whenever it becomes known
local Progress = {}

---@class (exact) weir.ProgressOpts
---@field total? integer how many there will be; without it there is no bar and no ETA
---@field label? string what the line starts with
---@field file? file* where to; io.stderr
---@field interval? number seconds between two drawings
---@field terminal? boolean redraw in place; whether standard error is a terminal unless given
---@field width? integer columns; those of the terminal

--- Show the state now, whatever the interval.
function Progress:draw() end

--- `n` (default 1) more are in flight.
---@param n? integer
function Progress:start(n) end

--- One of those in flight ended; `ok` false counts it as failed.
---@param ok? boolean
function Progress:finish(ok) end

--- Print a line of text above the bar.
---@param text any
function Progress:message(text) end

--- Wipe the bar, or print where it ended. A second call does nothing.
function Progress:close() end

---@class weir.progress
---@overload fun(options?: weir.ProgressOpts): weir.Progress
local progress = {}

return progress
