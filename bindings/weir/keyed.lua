-- weir.keyed - one object per key (host, tenant, user), made when first needed, forgotten when idle.
--
-- keyed(factory, options) gives a table that is called: keys("host") -> the object of that key. The
-- objects stand in a list in the order of their last use, a use being a look-up, or being found in
-- use. Each look-up looks at the oldest two whether their time is over, so forgetting costs O(1) a
-- call, no timer, and nothing while nobody calls; pairs, # and stats look at all that are due.
-- In use is what the object says: is_idle() -> true, or false and, if known, the seconds until it is.
-- At `max` the oldest idle one goes. The search begins at the oldest and passes what is in use to
-- the young end; it looks at 64, and at two more for each object made that no search has used yet.
-- Invariant: an object is either in `entries` and the list, or idle when it left them; one that somebody
-- still refers to stays in the weak table `faded` and comes back, so that a key never has two.

local core = require "weir.core"

local limit_with <const>, now <const>, min <const>, max <const> = core.limit_with, core.now, math.min, math.max
local gsub <const> = string.gsub

---@class weir.Keyed
---@field max integer
---@field idle number
---@field name? string
---@overload fun(key: any): any the object of a key; made if there is none. Does not wait
local methods = {}
local meta = { __name = "weir.keyed" }

---@class (exact) weir.KeyedOpts
---@field max? integer most keys remembered; 10,000 unless said, math.huge for no bound
---@field idle? number seconds after its last use that an idle object is forgotten; 60 unless said
---@field parent? any an object that all keys share: see take and with
---@field is_idle? fun(object: any, key: any): boolean, number? asked in place of the object's own is_idle
---@field name? string for errors

local OP <const> = "weir.keyed"
local known <const> = { max = true, idle = true, parent = true, is_idle = true, name = true }
local LOOKS <const> = 64 -- that a search at `max` may always take
local EARNED <const> = 2 -- and so many more for each object made

local making <const> = {} -- in the place of an object whose factory runs

-- --- what may be kept ------------------------------------------------------------------------

local semaphore <const>, limit <const> = core.methods.semaphore, core.methods.limit

--- Is nothing held and nobody waiting?
---@return boolean
function semaphore:is_idle()
  core.check_self(self, "weir.semaphore", "semaphore:is_idle")
  return self.available == self.capacity and self.waiting == 0
end

--- Is no job running and none queued?
---@return boolean
function limit:is_idle()
  core.check_self(self, "weir.limit", "limit:is_idle")
  return self.active == 0 and self.pending == 0
end

local function type_of(object)
  local of = getmetatable(object)
  return type(of) == "table" and of.__name or type(object)
end

local function field(object, name)
  return object[name]
end

-- Has the object a method of this name? Those of weir raise for fields that they do not have.
local function has(object, name)
  local kind = type(object)
  if kind ~= "table" and kind ~= "userdata" then
    return false
  end
  local found, method = pcall(field, object, name)
  return found and method ~= nil
end

local function take_one(object, fn, ...)
  object:take(1)
  return fn(...)
end

-- The function (object, fn, ...) that lets fn through the object, or nil if nothing does.
local function way_through(object)
  if type_of(object) == "weir.limit" then
    return limit_with
  elseif has(object, "with") then
    return object.with
  elseif has(object, "take") then
    return take_one
  end
end

local function own_is_idle(object)
  return object:is_idle()
end

-- --- the list: a ring through the table itself, oldest first ---------------------------------

local function append(self, entry, t)
  local newest = self._newer_end.older
  entry.older, entry.newer, entry.used = newest, self._newer_end, t
  newest.newer = entry
  self._newer_end.older = entry
end

local function unlink(entry)
  entry.older.newer, entry.newer.older = entry.newer, entry.older
end

local function touch(self, entry, t)
  entry.used = t
  local ends <const> = self._newer_end
  if ends.older ~= entry then
    local older, newer, newest = entry.older, entry.newer, ends.older
    older.newer, newer.older = newer, older
    entry.older, entry.newer = newest, ends
    newest.newer, ends.older = entry, entry
  end
end

local function drop(self, entry)
  unlink(entry)
  self._entries[entry.key] = nil
  self._count = self._count - 1
end

-- What a weak table lets go of: in one, a string, number or boolean would stay for ever.
local collected <const> = { table = true, userdata = true, ["function"] = true, thread = true }

-- Forget an idle one, except for those who still refer to it.
local function fade(self, entry)
  drop(self, entry)
  if collected[type(entry.object)] then
    self._faded[entry.key] = entry.object
  end
end

-- Look at the oldest `n` whose time is over: forget them, or find them in use.
local function sweep(self, t, n)
  local ends <const>, idle <const>, is_idle <const> = self._newer_end, self.idle, self._is_idle
  for _ = 1, n do
    local entry = ends.newer
    if entry == ends or t - entry.used <= idle then
      return
    elseif is_idle(entry.object, entry.key) then
      fade(self, entry)
      self._stats.expired = self._stats.expired + 1
    else
      touch(self, entry, t)
    end
  end
end

-- --- making ------------------------------------------------------------------------------------

local function overload(self, soonest)
  local err = core.error("overload", OP, ("all %d keys are in use"):format(self._count))
  err.name, err.retry_after = self.name, soonest
  self._stats.overload = self._stats.overload + 1
  error(err, 0)
end

-- Bring the oldest idle one to the old end of the list, or raise `overload`.
local function find_idle(self, t)
  local ends <const>, is_idle <const> = self._newer_end, self._is_idle
  local soonest
  for looks = 1, min(self._count, LOOKS + self._credit) do
    local entry = ends.newer
    local idle, seconds = is_idle(entry.object, entry.key)
    if looks > LOOKS then
      self._credit = self._credit - 1
    end
    if idle then
      return entry
    end
    touch(self, entry, t)
    soonest = seconds and min(seconds, soonest or seconds) or soonest
  end
  overload(self, soonest)
end

local function check_made(self, object)
  if object == nil or object == false then
    core.misuse(OP, "the factory must return an object, got %s", tostring(object))
  elseif self._is_idle == own_is_idle and not has(object, "is_idle") then
    core.misuse(OP, "the factory must return a bucket, semaphore, limit or what has a method is_idle, got %s",
      type_of(object))
  end
  return object
end

-- Call the factory where nothing can wait: while another task ran, the key would be neither there
-- nor not. string.gsub is such a place, and lets errors through as they are.
local function make(self, key)
  local factory <const>, object = self._factory, nil
  self._entries[key] = making
  local ok, err = pcall(gsub, "", "", function() object = factory(key) end)
  self._entries[key] = nil
  if ok then
    return check_made(self, object)
  elseif core.kind(err) == "misuse" and tostring(err.message):find("cannot wait here", 1, true) then
    core.misuse(OP, "the factory must not wait (%s)", err.op)
  end
  error(err, 0)
end

local function add(self, key, t)
  if key == nil or key ~= key then
    core.misuse(OP, "key must be a value other than nil and NaN, got %s", tostring(key))
  elseif self._count >= self.max then
    find_idle(self, t)
  end
  local object = self._faded[key]
  if object == nil then
    object = make(self, key)
    self._stats.made = self._stats.made + 1
    self._credit = self._credit + EARNED
  else
    self._stats.revived = self._stats.revived + 1
  end
  while self._count >= self.max do -- the factory may have used the one found, or made others
    fade(self, find_idle(self, t))
    self._stats.evicted = self._stats.evicted + 1
  end
  local entry = { key = key, object = object, through = nil, older = nil, newer = nil, used = t }
  self._entries[key] = entry -- what allocates comes first
  append(self, entry, t)
  self._count = self._count + 1
  self._faded[key] = nil
  return entry
end

local function look_up(self, key)
  local t <const> = now()
  local entry = self._entries[key]
  if entry == nil then
    sweep(self, t, 2)
    return add(self, key, t)
  elseif entry == making then
    core.misuse(OP, "the factory must not ask for the key that it is making, '%s'", tostring(key))
  end
  touch(self, entry, t)
  if t - self._newer_end.newer.used > self.idle then
    sweep(self, t, 2)
  end
  return entry
end

function meta:__call(key)
  return look_up(self, key).object
end

-- --- through the object and the parent -------------------------------------------------------

local function check_through(entry, op)
  local through <const> = way_through(entry.object)
  if not through then
    core.misuse(op, "the object of key '%s' has no method with and none take, it is a %s", tostring(entry.key),
      type_of(entry.object))
  end
  entry.through = through
  return through
end

--- Call `fn(...)` and return what it returns, with what one use takes of the object of the key, then
--- of the parent: a permit of a semaphore or a slot of a limit, held while fn runs; a token of a bucket.
---@async
---@param key any
---@param fn async fun(...): ...
---@return any ...
function methods:with(key, fn, ...)
  core.check_self(self, meta, "keyed:with")
  core.check_function(fn, "keyed:with", "fn")
  local entry <const> = look_up(self, key)
  local through <const> = entry.through or check_through(entry, "keyed:with")
  if self._parent_through then
    return through(entry.object, self._parent_through, self.parent, fn, ...)
  end
  return through(entry.object, fn, ...)
end

-- Reservations, given back when an error ends the wait for them.
local held_meta <const> = { __close = function(held, err)
  if err ~= nil then
    for i = 1, #held do
      held[i]:cancel()
    end
  end
end }

-- Tokens of two buckets. What has less is reserved first and what has enough is taken last, so that
-- whatever ends this while it waits finds nothing charged that it cannot give back.
local function take_both(self, own, parent, n, timeout)
  local held <close> = setmetatable({}, held_meta)
  local first, second = own, parent
  if parent.available < own.available then
    first, second = parent, own
  end
  held[1] = first:reserve(n)
  if second.available < n or second.waiting > 0 then
    held[2] = second:reserve(n)
  end
  local delay <const> = max(held[1].delay, held[2] and held[2].delay or 0)
  if delay > timeout then
    local err = core.error("timeout", "keyed:take", ("the tokens are %.3g s away"):format(delay))
    err.name, err.retry_after = self.name, delay
    error(err, 0)
  elseif delay > 0 then
    core.sleep(delay)
  end
  if not held[2] and not second:try_take(n) then -- somebody was faster
    second:take(n, { timeout = timeout - delay })
  end
end

local take_options <const> = { timeout = true }

--- Take `n` tokens (1 unless said) of the bucket of the key and of the parent, which is a bucket too.
---@async
---@param key any
---@param n? number
---@param options? { timeout?: number }
---@return true
function methods:take(key, n, options)
  core.check_self(self, meta, "keyed:take")
  local op <const> = "keyed:take"
  if type(n) == "table" and options == nil then
    n, options = 1, n
  end
  local own <const>, parent <const> = look_up(self, key).object, self.parent
  if not has(own, "take") then
    core.misuse(op, "the object of key '%s' must be a bucket, it is a %s", tostring(key), type_of(own))
  elseif parent == nil then
    return own:take(n, options)
  elseif type_of(parent) ~= "weir.bucket" or type_of(own) ~= "weir.bucket" then
    core.misuse(op, "the parent and the object of key '%s' must be buckets, they are a %s and a %s", tostring(key),
      type_of(parent), type_of(own))
  end
  local timeout = math.huge
  if options ~= nil then
    core.check_options(options, op, take_options)
    timeout = core.check_seconds(options.timeout, op, "timeout", math.huge)
  end
  take_both(self, own, parent, n or 1, timeout)
  return true
end

-- --- the rest ------------------------------------------------------------------------------------

--- The object of a key, or nil; neither makes one nor counts as a use.
---@param key any
---@return any object
function methods:peek(key)
  core.check_self(self, meta, "keyed:peek")
  local entry = self._entries[key]
  return entry ~= nil and entry ~= making and entry.object or nil
end

--- Forget a key now, whoever refers to its object.
---@param key any
---@return boolean forgotten
---@return string? reason "busy" if it is in use, "unknown" if it is not there
function methods:forget(key)
  core.check_self(self, meta, "keyed:forget")
  local entry = self._entries[key]
  if entry == making then
    return false, "busy"
  elseif entry == nil then
    local faded = self._faded[key]
    if faded ~= nil and not self._is_idle(faded, key) then
      return false, "busy"
    end
    self._faded[key] = nil
    return false, "unknown"
  elseif not self._is_idle(entry.object, key) then
    return false, "busy"
  end
  drop(self, entry)
  self._stats.forgotten = self._stats.forgotten + 1
  return true
end

local function sweep_all(self)
  sweep(self, now(), self._count)
end

--- An iterator over keys and objects, least recently used first. It goes through what was there at
--- the call and skips what is forgotten meanwhile; anything may be called in the loop.
---@return fun(): any, any
function methods:pairs()
  core.check_self(self, meta, "keyed:pairs")
  sweep_all(self)
  local list, n, i = {}, 0, 0
  local entry = self._newer_end.newer
  while entry ~= self._newer_end do
    n = n + 1
    list[n] = entry
    entry = entry.newer
  end
  return function()
    repeat
      i = i + 1
      entry = list[i]
    until entry == nil or self._entries[entry.key] == entry
    if entry then
      return entry.key, entry.object
    end
  end
end

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
function methods:stats()
  core.check_self(self, meta, "keyed:stats")
  sweep_all(self)
  local in_use = 0
  for key, entry in next, self._entries do
    if entry ~= making and not self._is_idle(entry.object, key) then
      in_use = in_use + 1
    end
  end
  local s <const> = self._stats
  return {
    name = self.name, keys = self._count, in_use = in_use, max = self.max, made = s.made, revived = s.revived,
    expired = s.expired, evicted = s.evicted, forgotten = s.forgotten, rejects = { overload = s.overload },
  }
end

meta.__index = methods
meta.__pairs = methods.pairs

function meta:__len()
  sweep_all(self)
  return self._count
end

function meta:__tostring()
  return ("weir.keyed%s: %d of %s keys"):format(self.name and " '" .. self.name .. "'" or "", self._count,
    self.max == math.huge and "any number of" or tostring(self.max))
end

local function check_parent(parent)
  local through = way_through(parent)
  if not through then
    core.misuse(OP, "option parent must be a bucket, semaphore, limit or what has a method with, got %s",
      type_of(parent))
  end
  return through
end

--- One object per key: `factory(key)` makes it and must not wait.
---@param factory fun(key: any): any a bucket, semaphore, limit, or what has a method is_idle
---@param options? weir.KeyedOpts
---@return weir.Keyed
local function keyed(factory, options)
  core.check_function(factory, OP, "factory")
  options = options or {}
  core.check_options(options, OP, known)
  local is_idle, name, parent = options.is_idle, options.name, options.parent
  if is_idle ~= nil then
    core.check_function(is_idle, OP, "is_idle")
  end
  if name ~= nil and type(name) ~= "string" then
    core.misuse(OP, "option name must be a string, got %s", type(name))
  end
  local ends = { used = math.huge }
  ends.older, ends.newer = ends, ends
  return setmetatable({
    max = core.check_count(options.max, OP, "max", 10000, true),
    idle = core.check_seconds(options.idle, OP, "idle", 60),
    name = name, parent = parent,
    _factory = factory, _is_idle = is_idle or own_is_idle,
    _parent_through = parent ~= nil and check_parent(parent) or nil,
    _entries = {}, _faded = setmetatable({}, { __mode = "v" }), _newer_end = ends, _count = 0, _credit = 0,
    _stats = { made = 0, revived = 0, expired = 0, evicted = 0, forgotten = 0, overload = 0 },
  }, meta)
end

return keyed
