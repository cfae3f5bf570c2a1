-- types/weir/keyed.lua - the annotations of bindings/weir/keyed.lua, taken out by tools/types.lua; do not edit.
---@meta _

---@class weir.Keyed
---@field max integer
---@field idle number
---@field name? string
---@overload fun(key: any): any the object of a key; made if there is none. Does not wait
local Keyed = {}

---@class (exact) weir.KeyedOpts
---@field max? integer most keys remembered; 10,000 unless said, math.huge for no bound
---@field idle? number seconds after its last use that an idle object is forgotten; 60 unless said
---@field parent? any an object that all keys share: see take and with
---@field is_idle? fun(object: any, key: any): boolean, number? asked in place of the object's own is_idle
---@field name? string for errors

---@class weir.Semaphore
local Semaphore = {}

--- Is nothing held and nobody waiting?
---@return boolean
function Semaphore:is_idle() end

---@class weir.Limit
local Limit = {}

--- Is no job running and none queued?
---@return boolean
function Limit:is_idle() end

--- Call `fn(...)` and return what it returns, with what one use takes of the object of the key, then
--- of the parent: a permit of a semaphore or a slot of a limit, held while fn runs; a token of a bucket.
---@async
---@param key any
---@param fn async fun(...): ...
---@return any ...
function Keyed:with(key, fn, ...) end

--- Take `n` tokens (1 unless said) of the bucket of the key and of the parent, which is a bucket too.
---@async
---@param key any
---@param n? number
---@param options? { timeout?: number }
---@return true
function Keyed:take(key, n, options) end

--- The object of a key, or nil; neither makes one nor counts as a use.
---@param key any
---@return any object
function Keyed:peek(key) end

--- Forget a key now, whoever refers to its object.
---@param key any
---@return boolean forgotten
---@return string? reason "busy" if it is in use, "unknown" if it is not there
function Keyed:forget(key) end

--- An iterator over keys and objects, least recently used first. It goes through what was there at
--- the call and skips what is forgotten meanwhile; anything may be called in the loop.
---@return fun(): any, any
function Keyed:pairs() end

---@class (exact) weir.KeyedStats
---@field name? string
---@field keys integer remembered now
---@field in_use integer those of them that are in use; asks each
---@field max integer|number
---@field made integer objects made by the factory, ever
---@field revived integer forgotten ones that somebody still had when their key came again
---@field expired integer forgotten after `idle` seconds
---@field evicted integer forgotten to make room
---@field forgotten integer forgotten by forget()
---@field rejects { overload: integer }

--- A snapshot.
---@return weir.KeyedStats
function Keyed:stats() end

---@class weir
local weir = {}

--- One object per key: `factory(key)` makes it and must not wait.
---@param factory fun(key: any): any a bucket, semaphore, limit, or what has a method is_idle
---@param options? weir.KeyedOpts
---@return weir.Keyed
function weir.keyed(factory, options) end
