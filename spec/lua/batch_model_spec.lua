-- batch_model_spec.lua - crowds of callers, at random: each key gets its own answer, once, in time.

local helper = require "support.helper"
local weir = require "weir"

local function crowd(seed)
  local random <const> = helper.random(seed)
  local max <const>, limit <const> = random(1, 6), ({ 1, 2, 3, math.huge })[random(1, 4)]
  local delay <const>, slowest <const> = random(1, 5) / 10, 1.5
  local n_keys <const> = random(3, 30)
  local flying, groups, serial = 0, 0, 0

  local batch = weir.batch(function(keys)
    flying, groups, serial = flying + 1, groups + 1, serial + 1
    local mine <const> = serial
    local _ <close> = helper.closing(function() flying = flying - 1 end)
    assert(#keys >= 1 and #keys <= max)
    local seen = {}
    for _, key in ipairs(keys) do
      assert(not seen[key.id], "twice in one group")
      seen[key.id] = true
    end
    weir.sleep(random(0, slowest * 10) / 10)
    if random(1, 8) == 1 then error("all " .. mine, 0) end
    local values, errors = { n = #keys }, {}
    for i, key in ipairs(keys) do
      local dice <const> = random(1, 6)
      if dice == 1 then
        errors[i] = "one " .. mine
      elseif dice > 2 then
        values[i] = { id = key.id, by = mine }
      end
    end
    return values, errors
  end, { max = max, limit = limit, delay = delay, quiet = random(1, 2) == 1, key = function(key) return key.id end })

  local asked, answered = 0, 0

  local function check(id, ok, got)
    answered = answered + 1
    if ok then
      assert(got == nil or got.id == id, "somebody else's answer")
    else
      assert(tostring(got):match("^all ") or tostring(got):match("^one ") or weir.kind(got) == "timeout", tostring(got))
    end
  end

  weir.scope(function(scope)
    local tasks = {}
    for i = 1, 150 do
      local state = { cancelled = false }
      tasks[i] = state
      state.task = scope:spawn(function()
        weir.sleep(random(0, 60) / 10)
        local id <const>, dice <const> = random(1, n_keys), random(1, 5)
        asked = asked + 1
        local out
        if dice == 1 then
          local ids = { id, random(1, n_keys), random(1, n_keys) }
          local keys = {}
          for k, one in ipairs(ids) do keys[k] = { id = one } end
          out = table.pack(pcall(batch.load_many, batch, keys, { on_error = "collect" }))
          if out[1] then
            for k, one in ipairs(ids) do
              local value = out[2][k]
              assert(value == nil or value.id == one)
            end
            answered = answered + 1
            return
          end
        elseif dice == 2 then
          out = table.pack(pcall(weir.timeout, random(0, 10) / 10, batch, { id = id }))
        else
          out = table.pack(pcall(batch, { id = id }))
        end
        if state.cancelled and not out[1] and weir.kind(out[2]) == "cancelled" then return end
        check(id, out[1], out[2])
      end)
    end
    scope:spawn(function()
      for _ = 1, 40 do
        weir.sleep(random(0, 30) / 100)
        local victim = tasks[random(1, #tasks)]
        victim.cancelled = true
        victim.task:cancel()
        assert(flying <= limit + 40) -- those told to stop may still clean up
        assert(batch.flying <= limit)
      end
    end)
  end)
  batch:drain()
  local stats = batch:stats()
  assert(stats.waiting == 0 and stats.flying == 0 and stats.queued == 0)
  assert(stats.groups >= groups and flying == 0)
  assert(answered <= asked and answered >= asked - 40)
  assert(stats.wait.max <= delay + 1e-6 or limit < math.huge, "a key waited longer than the delay")
end

describe("a crowd", function()
  it("gets answers that are its own, in any order", function()
    for i = 0, 59 do
      local seed <const> = helper.seed + i
      local plan = i % 2 == 0 and { plan = "seed", seed = seed } or nil
      local ok, err = pcall(helper.run, function() crowd(seed) end, plan)
      if not ok then error(("WEIR_SEED=%d: %s"):format(seed, tostring(err)), 0) end
    end
    helper.figure("programs", 60)
  end)
end)
