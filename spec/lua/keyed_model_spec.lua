-- keyed_model_spec.lua - weir.keyed beside a plain list that is searched from its beginning, for random calls.

local helper = require "support.helper"
local weir = require "weir"

-- In use while `busy`.
local Thing = {}
Thing.__index = Thing

function Thing:is_idle()
  return not self.busy
end

-- A factory of things that counts what it made.
local function things()
  local made = { n = 0 }
  return function(key)
    made.n = made.n + 1
    return setmetatable({ key = key, number = made.n }, Thing)
  end, made
end

-- What nobody refers to is really gone.
local function collect()
  collectgarbage()
  collectgarbage()
end

local function keys_of(keyed)
  local list = {}
  for key in pairs(keyed) do
    list[#list + 1] = key
  end
  return list
end

-- A list of keys, oldest first, searched from its beginning each time.
local function naive(max, idle)
  local model = { list = {} }

  local function remove(i) return table.remove(model.list, i) end

  function model.expire(t)
    for i = #model.list, 1, -1 do
      local e = model.list[i]
      if not e.busy and t - e.used > idle then remove(i) end
    end
  end

  local function find(key)
    for i, e in ipairs(model.list) do
      if e.key == key then return i, e end
    end
  end
  model.find = find

  -- "hit", "made" or "overload"
  function model.use(key, t)
    local i, e = find(key)
    if e then
      remove(i)
      e.used = t
      table.insert(model.list, e)
      return "hit"
    end
    if #model.list >= max then
      local victim
      while #model.list > 0 and not victim and model.list[1].seen ~= t do
        e = model.list[1]
        if not e.busy then
          victim = e
          remove(1)
        else -- in use is used
          e.used, e.seen = t, t
          table.insert(model.list, remove(1))
        end
      end
      for _, seen in ipairs(model.list) do seen.seen = nil end
      if not victim then return "overload" end
    end
    table.insert(model.list, { key = key, used = t })
    return "made"
  end
  return model
end

-- Busy entries are looked at when they are due, and then count as used: so the model does it too.
local function refresh(model, t, idle)
  local due = {}
  for i = #model.list, 1, -1 do
    local e = model.list[i]
    if e.busy and t - e.used > idle then table.insert(due, 1, table.remove(model.list, i)) end
  end
  for _, e in ipairs(due) do
    e.used = t
    table.insert(model.list, e)
  end
end

describe("weir.keyed", function()
  it("does what a plain list does, for any sequence of calls", function()
    for round = 0, 11 do
      local seed = helper.seed + round
      local random = helper.random(seed)
      local max, idle = random(1, 12), random(0, 20)
      helper.run(function()
        local factory, made = things()
        local keyed = weir.keyed(factory, { max = max, idle = idle })
        local model, expected = naive(max, idle), 0
        for step = 1, 300 do
          local what = ("WEIR_SEED=%d step %d"):format(seed, step)
          local key = "k" .. random(1, 2 * max)
          local dice = random(1, 10)
          local size = #keyed -- looks at all that are due
          model.expire(weir.now())
          refresh(model, weir.now(), idle)
          assert.equal(#model.list, size, what)
          if dice <= 5 then
            local outcome = model.use(key, weir.now())
            if outcome == "made" then collect() end
            expected = expected + (outcome == "made" and 1 or 0)
            local ok, got = pcall(keyed, key)
            assert.equal(outcome ~= "overload", ok, what)
            assert.equal(ok and key or "overload", ok and got.key or weir.kind(got), what)
          elseif dice <= 7 then
            local object, _, e = keyed:peek(key), model.find(key)
            assert.equal(e ~= nil, object ~= nil, what)
            if object then
              object.busy = not object.busy
              e.busy = object.busy
            end
          elseif dice == 8 then
            local i, e = model.find(key)
            local gone = e and not e.busy or false
            assert.equal(gone, (keyed:forget(key)), what)
            if gone then table.remove(model.list, i) end
          else
            weir.sleep(random(0, 10))
          end
          local order = {}
          for i, e in ipairs(model.list) do order[i] = e.key end
          if dice <= 8 then assert.same(order, keys_of(keyed), what) end
          assert.equal(expected, made.n, what)
          helper.figure("ops")
        end
      end)
      helper.figure("sequences")
    end
  end)
end)
