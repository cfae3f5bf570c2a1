-- cache_model_spec.lua - random sequences of calls: against a plain model, and against the laws.
--
-- The model is one task whose loads take no time, so that what must come of each call is known
-- exactly. The laws are for many tasks at once: at most one load for a key that may be joined, nobody
-- sees a cancel but his own, nothing from before an invalidation is seen after it, bounds hold.

local helper = require "support.helper"
local weir = require "weir"

local STEPS <const> = 250

-- ------------------------------------------------------------------------------ the model

local function new_model(o)
  local m = { t = 0, entries = {} }
  local longer <const> = math.max(o.stale, o.stale_if_error)

  local function entry(key)
    local e = m.entries[key]
    if e and m.t >= e.expires + (e.negative and 0 or longer) then
      m.entries[key], e = nil, nil
    end
    return e
  end

  -- A load ends: what who waits for it gets.
  local function land(key, outcome)
    local old = entry(key)
    if outcome.error then
      if old and not old.negative then
        old.rests = o.negative_ttl > 0 and m.t + o.negative_ttl or nil
        if o.stale_if_error > 0 then return { value = old.value } end
      elseif o.negative_ttl > 0 then
        m.entries[key] = { negative = true, outcome = outcome, expires = m.t + o.negative_ttl }
      end
      return outcome
    end
    local negative <const> = outcome.value == nil
    local ttl <const> = outcome.ttl or (negative and o.negative_ttl or o.ttl)
    m.entries[key] = ttl > 0 and { value = outcome.value, negative = negative, outcome = outcome,
      expires = m.t + ttl } or nil
    return outcome
  end

  function m.get(key, outcome)
    local e = entry(key)
    if e == nil then return land(key, outcome) end
    if e.negative then return e.outcome end
    if m.t < e.expires or (e.rests and m.t < e.rests) then return { value = e.value } end
    if m.t < e.expires + o.stale then
      local value = e.value
      land(key, outcome)
      return { value = value }
    end
    return land(key, outcome)
  end

  m.refresh = land

  function m.set(key, value, ttl)
    m.entries[key] = ttl ~= 0 and { value = value, expires = m.t + (ttl or o.ttl) } or nil
  end

  function m.peek(key)
    local e = m.entries[key]
    if e == nil or m.t >= e.expires or (e.negative and e.outcome.error) then return nil, false end
    return e.value, true
  end

  return m
end

local KEYS <const> = { 1, 2, "2", true, "k", 2.5 }

local function tag_of(key)
  return "t" .. #tostring(key)
end

-- What a load is to bring: mostly a value, sometimes nil or an error, sometimes with its own ttl.
local function pick(random, step)
  local dice <const> = random(1, 10)
  if dice <= 3 then return { error = "error " .. step } end
  local ttl <const> = random(1, 4) == 1 and random(0, 6) or nil
  if dice == 4 then return { value = nil, ttl = ttl } end
  return { value = step, ttl = ttl }
end

local function bring(key, outcome)
  if outcome.error then error(outcome.error, 0) end
  return outcome.value, { ttl = outcome.ttl, tags = tag_of(key) }
end

local function check_call(expected, what, ok, got)
  assert.equal(expected.error == nil, ok, what)
  assert.equal(expected.error or expected.value, got, what)
end

local function settle()
  for _ = 1, 3 do weir.checkpoint() end
end

local function follow(seed)
  local random <const> = helper.random(seed)
  local function some(n) return random(1, 2) == 1 and random(1, n) or 0 end
  local options <const> = { ttl = random(1, 8), stale = some(8), stale_if_error = some(12), negative_ttl = some(4),
    max = math.huge }
  local cache, model = weir.cache(options), new_model(options)
  local cases <const> = {
    function(key, outcome, what)
      check_call(model.get(key, outcome), what, pcall(cache.get, cache, key, bring, outcome))
    end,
    function(key, outcome, what)
      check_call(model.refresh(key, outcome), what, pcall(cache.refresh, cache, key, bring, outcome))
    end,
    function(key, outcome)
      model.set(key, outcome.value, outcome.ttl)
      cache:set(key, outcome.value, { ttl = outcome.ttl, tags = { tag_of(key) } })
    end,
    function(key)
      model.entries[key] = nil
      cache:delete(key)
    end,
    function(key)
      cache:delete_tag(tag_of(key))
      for _, other in ipairs(KEYS) do
        local e <const> = model.entries[other]
        if tag_of(other) == tag_of(key) then
          if e and e.outcome and e.outcome.error then cache:delete(other) end -- has its predecessor's tags, if any
          model.entries[other] = nil
        end
      end
    end,
    function()
      model.entries = {}
      cache:clear()
    end,
  }
  local weights <const> = { 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 5 }
  for step = 1, STEPS do
    local what <const> = ("WEIR_SEED=%d step %d"):format(seed, step)
    local dice <const> = random(1, #weights + 4)
    if dice > #weights then
      local pause <const> = random(1, 8) / 2
      weir.sleep(pause)
      model.t = model.t + pause
    else
      local case = random(1, 60) == 1 and 6 or weights[dice]
      local key, outcome = KEYS[random(1, #KEYS)], pick(random, step)
      cases[case](key, outcome, what)
      settle()
    end
    for _, key in ipairs(KEYS) do
      local value, there = model.peek(key)
      local got, is = cache:peek(key)
      assert.equal(there, is, what)
      assert.equal(value, got, what)
    end
  end
end

describe("a random sequence of calls", function()
  it("does what the model says", function()
    for i = 0, 23 do helper.run(function() follow(helper.seed + i) end) end
    helper.figure("sequences", 24)
    helper.figure("ops", 24 * STEPS)
  end)
end)

-- ------------------------------------------------------------------------------ the laws

local function crowd(seed)
  local random <const> = helper.random(seed)
  local max <const>, n_keys <const> = random(1, 6), 8
  local cache = weir.cache { ttl = random(1, 3), stale = random(0, 3), max = max, max_bytes = random(600, 2000),
    negative_ttl = random(0, 1), max_waiting = random(5, 40) }
  local bound <const> = 2000
  local serial, invalid = 0, {}

  local function tick()
    serial = serial + 1
    return serial
  end

  local function load(key)
    local at <const> = tick()
    weir.sleep(random(0, 20) / 10)
    if random(1, 6) == 1 then error("bad", 0) end
    if random(1, 6) == 1 then weir.shield(weir.sleep, 0.3) end -- slow to go
    return at, { tags = { "tag" .. key % 2 } }
  end

  local function load_many(keys)
    local values, at = {}, tick()
    weir.sleep(random(0, 20) / 10)
    for i in ipairs(keys) do values[i] = at end
    return values, nil, { tags = { "tag0", "tag1" } }
  end

  local function invalidate(key)
    invalid[key] = tick()
  end

  local actions <const> = {
    function(key) cache:get(key, load) end,
    function(key) cache:get_with({ timeout = random(0, 15) / 10 }, key, load) end,
    function(key) cache:refresh(key, load) end,
    function(key) cache:get_many({ key, key % n_keys + 1, (key + 3) % n_keys + 1 }, load_many) end,
    function(key)
      local deleted = cache:delete(key)
      invalidate(key)
      assert(not cache:delete(key), tostring(deleted))
    end,
    function(key)
      cache:delete_tag("tag" .. key % 2)
      for k = 1, n_keys do if k % 2 == key % 2 then invalidate(k) end end
    end,
    function(key)
      invalidate(key)
      cache:set(key, tick(), { tags = "tag" .. key % 2 })
    end,
    function()
      if random(1, 5) > 1 then return end
      cache:clear()
      for k = 1, n_keys do invalidate(k) end
    end,
  }
  local allowed <const> = { error = true, timeout = true, overload = true, cancelled = true }

  local function look()
    assert(cache.loading <= n_keys)
    assert(cache.count <= max and cache.bytes <= bound)
    for k = 1, n_keys do
      local value, there = cache:peek(k)
      if there and value then assert(value > (invalid[k] or 0), "older than its invalidation") end
    end
  end

  weir.scope(function(scope)
    local tasks = {}
    for i = 1, 120 do
      local cancelled = false
      local key <const>, action <const> = random(1, n_keys), actions[random(1, 12)] or actions[1]
      tasks[i] = { task = scope:spawn(function()
        weir.sleep(random(0, 100) / 10)
        local ok, err = pcall(action, key)
        if not ok then
          local kind <const> = weir.kind(err)
          assert(allowed[kind], tostring(err))
          assert(kind ~= "error" or err == "bad", tostring(err))
          assert(kind ~= "cancelled" or tasks[i].cancelled, "somebody else's cancel")
        end
        look()
      end), cancelled = cancelled }
    end
    scope:spawn(function()
      for _ = 1, 60 do
        weir.sleep(random(0, 40) / 100)
        local victim = tasks[random(1, #tasks)]
        victim.cancelled = true
        victim.task:cancel()
        look()
      end
    end)
  end)
  assert(cache.waiting == 0)
  weir.sleep(5)
  assert(cache.loading == 0)
  look()
end

describe("a crowd", function()
  it("keeps the laws, in any order", function()
    for i = 0, 23 do
      local seed <const> = helper.seed + i
      local plan = i % 2 == 0 and { plan = "seed", seed = seed } or nil
      local ok, err = pcall(helper.run, function() crowd(seed) end, plan)
      if not ok then error(("WEIR_SEED=%d: %s"):format(seed, tostring(err)), 0) end
    end
    helper.figure("programs", 24)
  end)
end)
