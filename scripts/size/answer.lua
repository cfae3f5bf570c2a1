-- size.answer - the sums: the pool that is needed, what waits there are in it and around it.
--
-- Every target is solved alone, so that the one that decides can be named; the pool is the
-- largest of them, which keeps all, since no wait grows with the pool.

local queueing = require "weir.queueing"

local rows <const> = 12 -- pools shown beside the answer, about
local most <const> = 4294967294 -- servers of a pool

local function with(load, more)
  local opts <const> = {}
  for key, value in pairs(load) do
    opts[key] = value
  end
  for key, value in pairs(more) do
    opts[key] = value
  end
  return opts
end

local function least(load, target)
  return queueing.servers(with(load, { [target.option] = target.limit, quantile = target.quantile }))
end

-- The size of `w` that `target` limits.
local function measured(w, target)
  return target.quantile and w:quantile(target.quantile) or w[target.field]
end

-- Sizes of pools from just too small to more than enough; `servers` and `stable` among them.
local function sizes_around(servers, stable)
  local low <const> = math.max(1, math.min(servers, stable) - 1)
  local high <const> = math.min(most, math.max(servers, stable) + math.max(4, math.abs(servers - stable)))
  local step <const> = math.ceil((high - low + 1) / rows)
  local sizes, seen = {}, {}
  local function add(n)
    if n >= 1 and n <= high and not seen[n] then
      seen[n] = true
      sizes[#sizes + 1] = n
    end
  end
  add(stable)
  for n = servers - (servers - low) // step * step, high, step do
    add(n)
  end
  table.sort(sizes)
  return sizes
end

---@param given table options, as size.options gives them
---@return table found
return function(given)
  local load <const> = given.load
  local found <const> = { targets = {}, around = {}, kept = true }
  local function wait(n)
    return queueing.wait(with(load, { servers = n }))
  end
  -- fewer than this never catch up; and from here on hardly anybody waits
  found.stable = queueing.servers(with(load, { target_utilisation = 1 }))
  found.calm = queueing.servers(with(load, { target_probability = 0.01 }))

  found.needed = 1
  for i, target in ipairs(given.target) do
    found.targets[i] = { target = target, servers = least(load, target) }
    found.needed = math.max(found.needed, found.targets[i].servers)
  end
  found.servers = given.servers or math.min(found.needed, given.max or found.needed)
  found.wait = wait(found.servers)
  found.kept = found.wait.stable and found.servers >= found.needed
  for _, item in ipairs(found.targets) do
    item.value = measured(found.wait, item.target)
    item.kept = found.servers >= item.servers
  end
  for i, n in ipairs(sizes_around(found.servers, found.stable)) do
    found.around[i] = wait(n)
  end
  found.at = wait
  return found
end
