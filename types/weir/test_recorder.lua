-- types/weir/test_recorder.lua - the annotations of bindings/weir/test/recorder.lua, taken out by tools/types.lua; do not edit.
---@meta _

---@class weir.TestEvent
---@field time number
---@field name string
---@field text string
---@field [integer] any values
---@field n integer how many

---@class weir.Recorder
---@field [integer] weir.TestEvent
---@overload fun(name: string, ...)
local Recorder = {}

--- `fn`, noted: "name begin" at each call, then "name end", or "name failed" and the error.
---@generic F: function
---@param name string
---@param fn F
---@return F
function Recorder:wrap(name, fn) end

--- The times of the events of that name or text.
---@param what string
---@return number[]
function Recorder:times(what) end

---@param what string a name or text
---@return integer
function Recorder:count(what) end

--- The texts of all events, in order.
---@return string[]
function Recorder:texts() end

--- The most calls of a wrapped function that were under way at once.
---@param name string
---@return integer
function Recorder:peak(name) end

--- Raise, with the whole log, unless these happened in this order; others may stand between.
---@param ... string names or texts
function Recorder:order(...) end

--- Forget everything.
function Recorder:clear() end

---@class weir.test
local test = {}

--- A log: `log("connected", id)` notes an event with the virtual time.
---@return weir.Recorder
function test.recorder() end
