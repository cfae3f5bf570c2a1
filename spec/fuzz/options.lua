-- fuzz/options.lua - option tables that nobody would write, for every constructor that takes one.
--
-- Each input is a run of its own on virtual time. A constructor gives an object or raises `misuse`, and
-- nothing else; an object can be looked at, set anew with another such table, used and closed, and then
-- nothing is left. Whatever breaks this is raised, and ends the fuzzer.

local test <const> = require "weir.test"
local weir <const> = require "weir"

local draw -- draw(n) gives 0 .. n - 1, from the input

local function one_of(list) return list[draw(#list) + 1] end

-- ---------------------------------------------------------------- values

local nothing <const> = function() end
local odd <const> = {
  -1, 0, 0.5, -0.0, 0 / 0, math.huge, -math.huge, 1e300, 1e-300, 2 ^ 31, 2 ^ 32, 2 ^ 53, 2 ^ 63, 2 ^ 64, 1e9,
  math.maxinteger, math.mininteger, 0x7fffffff, 0xffffffff, 0x100000000, 9223372036, 9223372037,
  1.8446744073709552e10,
  true, false, "", "3", "fifo", "x\0y", ("long"):rep(200), nothing, io.stdout, coroutine.create(nothing), {}, { {} },
  setmetatable({}, { __index = {}, __len = function() return 3 end }), weir,
}

local kinds = {}
function kinds.count() return 1 + draw(12) end
function kinds.natural() return draw(6) end
function kinds.seconds() return one_of { 0, 0.001, 0.01, 0.5, 1, 3, 60, 3600.25, math.huge, draw(65536) / 256 } end
function kinds.share() return draw(11) / 10 end
function kinds.rate() return one_of { 0, 0.1, 1, 5, 1000, math.huge, draw(65536) } end
function kinds.order() return one_of { "fifo", "lifo", "priority" } end
function kinds.text() return one_of { "a", "", "a name" } end
function kinds.flag() return draw(2) == 1 end
function kinds.work()
  return one_of {
    nothing, function(value) return value or {} end, function() return {}, { ttl = 1 } end, function() error "no" end,
    function() weir.sleep(0.25) return {} end,
  }
end
function kinds.size() return function() return one_of { 1, 1.5, -1, 0 / 0, "x" } end end

-- A table with some of the `fields`, of the kind they should have, or of any; now and then one unknown.
local function options(fields)
  local names <const>, given <const> = {}, {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  for _ = 1, draw(8) do
    local name <const> = one_of(names)
    local kind = fields[name]
    if draw(8) == 0 then
      given[name] = one_of(odd)
    elseif type(kind) == "function" then
      given[name] = kind()
    else
      given[name] = kinds[kind]()
    end
  end
  if draw(32) == 0 then given[one_of { 1, "permit", "Max", true, 2.5, nothing }] = one_of(odd) end
  return given
end

local function argument(fields)
  if draw(16) == 0 then return one_of(odd) end
  return options(fields)
end

-- ---------------------------------------------------------------- constructors

local line <const> = { max_waiting = "natural", bypass = "natural", order = "order", aging = "seconds", name = "text" }
local semaphore <const>, limit <const> = { permits = "count" }, { n = "count" }
for name, kind in pairs(line) do semaphore[name], limit[name] = kind, kind end

local one_rate <const> = { rate = "rate", burst = "count" }
local one_window <const> = { n = "count", per = "seconds" }
local function rates()
  local list <const> = {}
  for i = 1, draw(5) do list[i] = argument(draw(2) == 0 and one_rate or one_window) end
  return list
end
local bucket <const> = {
  rate = "rate", burst = "count", limits = rates, window = function() return argument(one_window) end,
  max_waiting = "natural", name = "text",
}

local pool <const> = {
  create = "work", destroy = "work", check = "work", on_leak = "work", max = "count", min = "natural",
  name = "text", order = "order", acquire_timeout = "seconds", create_timeout = "seconds", check_timeout = "seconds",
  destroy_timeout = "seconds", idle_timeout = "seconds", max_lifetime = "seconds", jitter = "share", max_uses = "count",
  check_idle = "seconds", keep_alive = "seconds", dial_stagger = "seconds", max_dials = "count", open_after = "natural",
  backoff = "seconds", max_backoff = "seconds", max_waiting = "natural", shed = "share", leak_after = "seconds",
}
local cache <const> = {
  ttl = "seconds", stale = "seconds", stale_if_error = "seconds", negative_ttl = "seconds", jitter = "share",
  early = "rate", max = "count", max_bytes = "rate", max_waiting = "count", size = "size", load = "work", name = "text",
}
local keep <const> = {
  ttl = "seconds", size = "count", stale = "flag",
  tags = function() return one_of { "t", { "t", "u" }, { 1 }, { "t", {} } } end,
}
local batch <const> = {
  max = "count", delay = "seconds", quiet = "flag", limit = "count", max_waiting = "count", name = "text", key = "work",
}

-- Kinds of error that a use may end with.
local expected <const> = { misuse = true, impossible = true, overload = true, timeout = true, deadlock = true }

local function check(allowed, what, ok, err)
  if not ok and not (type(err) == "table" and allowed[weir.kind(err)]) then
    error(("%s raised %s: %s"):format(what, weir.kind(err), tostring(err)), 0)
  end
end

-- `f` must give something or raise `misuse`.
local function strict(what, f, ...)
  local answer <const> = table.pack(pcall(f, ...))
  check({ misuse = true }, what, answer[1], answer[2])
  return answer[1] and answer[2] or nil
end

local function use(what, f, ...) check(expected, what, pcall(f, ...)) end

local makers = {}

function makers.semaphore()
  local s <const> = strict("weir.semaphore", weir.semaphore, argument(semaphore))
  if not s then return end
  local _ <close> = s:try_acquire(1) or nil
  use("semaphore:acquire", s.acquire, s, argument { n = "count", timeout = "seconds", priority = "natural" })
  use("semaphore:resize", s.resize, s, one_of(odd))
  return s
end

function makers.limit()
  local l <const> = strict("weir.limit", weir.limit, argument(limit))
  if l then use("limit:resize", l.resize, l, one_of(odd)) end
  return l
end

function makers.bucket()
  local b <const> = strict("weir.bucket", weir.bucket, argument(bucket))
  if not b then return end
  strict("bucket:set", b.set, b, argument(bucket))
  use("bucket:try_take", b.try_take, b, draw(2) == 0 and 1 or one_of(odd))
  return b
end

function makers.pool()
  local given <const> = argument(pool)
  local p <const> = strict("weir.pool", weir.pool, given)
  if not p then return end
  strict("pool:resize", p.resize, p, argument { min = "natural", max = "count" })
  if p.min < 16 then weir.sleep(draw(4) / 8) end -- with more it would make them all
  return p
end

function makers.cache()
  local c <const> = strict("weir.cache", weir.cache, argument(cache))
  if c then strict("cache:set", c.set, c, "key", "value", argument(keep)) end
  return c
end

function makers.batch()
  return strict("weir.batch", weir.batch, draw(16) == 0 and one_of(odd) or nothing, argument(batch))
end

local names <const> = { "semaphore", "limit", "bucket", "pool", "cache", "batch" }

local function once()
  local name <const> = one_of(names)
  local object <const> = makers[name]()
  if not object then return end
  if type(object:stats()) ~= "table" or not tostring(object):find(name, 1, true) then
    error(name .. " says nothing of itself", 0)
  end
  local close <const> = name ~= "limit" and object.close
  if close then close(object) end
end

local rounds = 0

return function(source)
  draw = source
  test.run(once, { reports = {}, timeout = math.huge }) -- a timeout of a billion seconds is no endless loop
  rounds = rounds + 1
  if rounds % 64 == 0 then collectgarbage() end
end
