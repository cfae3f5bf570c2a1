-- page.lua - the figures of a run as Markdown and charts: goals, a chart for each group of rows, then its table.
--
-- A run is { rows = samples, machine = lines, proof = lines, core = lines }. samples[key][impl] is the list of values
-- of a row, with `name`, `unit` and `n`; the key is the name, with @n where rows.lua says that sizes are told apart.
-- Files of charts go beside the page, in charts/.

local chart = dofile "bench/chart.lua"
local rows = dofile "bench/rows.lua"

local page = {}

function page.median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local middle = #sorted // 2
  if #sorted % 2 == 1 then return sorted[middle + 1], sorted[1], sorted[#sorted] end
  return (sorted[middle] + sorted[middle + 1]) / 2, sorted[1], sorted[#sorted]
end
local median <const> = page.median

local function thousands(text)
  local digits, rest = text:match("^(%d+)(.*)$")
  return digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "") .. rest
end

-- Three digits that count, and thousands told apart.
local function digits(value)
  return thousands((value >= 100 and "%.0f" or value >= 10 and "%.1f" or "%.2f"):format(value))
end

local function amount(value, unit)
  if unit == "bytes" then
    if value >= 1e6 then return digits(value / 1e6) .. " MB" end
    if value >= 1e5 then return digits(value / 1e3) .. " kB" end
    return thousands(("%.0f"):format(value)) .. " B"
  end
  if unit == "count" then return thousands(("%.0f"):format(value)) end
  if unit == "us" then value = value * 1000 end
  if value >= 999.5e3 then return digits(value / 1e6) .. " ms" end
  if value >= 999.5 then return digits(value / 1e3) .. " us" end
  return ("%.0f ns"):format(value)
end

-- Shorter, for the axis of a chart.
local function tick(value, unit)
  if unit == "us" then value, unit = value * 1000, "ns" end
  local steps <const> = unit == "bytes" and { { 1e6, "MB" }, { 1e3, "kB" }, { 0, "B" } }
    or unit == "count" and { { 0, "" } } or { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" }, { 0, "ns" } }
  for _, step in ipairs(steps) do
    if value >= step[1] then return (("%g %s"):format(value / math.max(1, step[1]), step[2]):gsub(" $", "")) end
  end
end

local function find(samples, key, impl)
  local of = samples[key]
  return of and of[impl]
end

-- weir's list, the reference and the most it may be; nil where one of them was not measured.
local function goal_of(samples, goal)
  local mine = find(samples, goal.key, "weir")
  local other = goal.of and find(samples, goal.of, goal.impl)
  if goal.growth and not find(samples, goal.growth[2], goal.growth[1]) then other = nil end
  if not (mine and (other or goal.most)) then return nil end
  local reference = goal.most or median(other)
  if goal.growth then
    local impl, larger, smaller = table.unpack(goal.growth)
    reference = reference * median(find(samples, larger, impl)) / median(find(samples, smaller, impl))
  end
  return mine, reference, goal.most or goal.factor * reference
end

local function is_comparison(goal)
  return goal.comparison == true
end

-- What a row is called, with its size where sizes are told apart.
local function title_of(name, n)
  for _, title in ipairs(rows.titles) do
    if title[1] == name then
      return rows.sized[name] and title[2]:format(thousands(("%d"):format(n))) or title[2]
    end
  end
  error("rows.lua has no title for " .. name)
end

local function title_of_key(key)
  return title_of(key:match("^([^@]+)@?(.*)$"))
end

local function who(impl) return rows.impls[impl] or impl end

-- The goals that are met or missed, and those that are none: what others need, for comparison.
local function goals(samples, emit)
  local told, missed, others = {}, {}, {}
  for _, goal in ipairs(rows.goals) do
    local mine, reference, most = goal_of(samples, goal)
    if mine then
      local value = median(mine)
      local one = { goal = goal, what = title_of_key(goal.key), weir = amount(value, mine.unit),
        most = amount(most, mine.unit), reference = amount(reference, mine.unit), ratio = value / reference }
      if is_comparison(goal) then
        others[#others + 1] = one
      else
        told[#told + 1] = one
        one.met = value <= most
        if not one.met then missed[#missed + 1] = one end
      end
    end
  end
  emit("%d of %d goals are met. Most goals are a share of what another needs for the same, so that the machine does"
    .. " not matter.\n", #told - #missed, #told)
  emit "| what | weir | goal: at most | | which is |"
  emit "|---|--:|--:|---|---|"
  for _, one in ipairs(told) do
    emit("| %s | %s | %s | %s | %s%s |", one.what, one.weir, one.most, one.met and "met" or "**missed**",
      one.goal.text, one.goal.of and ", here " .. one.reference or "")
  end
  if #missed > 0 then
    emit "\n### Why goals are missed\n"
    for _, one in ipairs(missed) do
      emit("- **%s**, %s%s: %s.", one.what, one.goal.most and "set at " .. one.most .. ", " or "", one.goal.text,
        one.goal.why or "nothing is known yet")
    end
  end
  if #others > 0 then
    emit "\n### For comparison, without a goal\n"
    emit "| what | weir | the other | weir needs | which is |"
    emit "|---|--:|--:|--:|---|"
    for _, one in ipairs(others) do
      emit("| %s | %s | %s | %s x | %s |", one.what, one.weir, one.reference, digits(one.ratio), one.goal.text)
    end
  end
end

-- The keys of a name, by size.
local function sizes(samples, name)
  local list = {}
  for key, impls in pairs(samples) do
    local _, any = next(impls)
    if any.name == name then list[#list + 1] = { key = key, n = tonumber(any.n) } end
  end
  table.sort(list, function(a, b) return a.n < b.n end)
  return list
end

-- weir first, then by name.
local function impls_of(samples, key)
  local impls = {}
  for impl in pairs(samples[key]) do impls[#impls + 1] = impl end
  table.sort(impls, function(a, b)
    if (a == "weir") ~= (b == "weir") then return a == "weir" end
    return a < b
  end)
  return impls
end

local function table_of(samples, group, emit)
  emit "| row | who | median | least | most | runs | beside weir |"
  emit "|---|---|--:|--:|--:|--:|--:|"
  for name in group.rows:gmatch("%S+") do
    for _, entry in ipairs(sizes(samples, name)) do
      local mine = find(samples, entry.key, "weir")
      for i, impl in ipairs(impls_of(samples, entry.key)) do
        local list = find(samples, entry.key, impl)
        local middle, least, most = median(list)
        emit("| %s | %s | %s | %s | %s | %d | %s |", i == 1 and title_of(name, entry.n) or "", who(impl),
          amount(middle, list.unit), amount(least, list.unit), amount(most, list.unit), #list,
          mine and impl ~= "weir" and median(mine) > 0 and digits(middle / median(mine)) .. " x" or "")
      end
    end
  end
end

-- Rows of one unit, and of those that sleep for their own reasons the time they take, not the time that passes.
local function blocks_of(samples, group)
  local blocks, names, unit = {}, {}, nil
  for name in group.rows:gmatch("%S+") do
    for _, entry in ipairs(sizes(samples, name)) do
      local block = { title = title_of(name, entry.n), bars = {}, goals = {} }
      for _, impl in ipairs(impls_of(samples, entry.key)) do
        local list = find(samples, entry.key, impl)
        unit = unit or list.unit
        if list.unit == unit and not impl:find("%-elapsed$") then
          local value = median(list)
          block.bars[#block.bars + 1] = { name = who(impl), value = value, text = amount(value, unit),
            is_weir = impl == "weir" or group.ours }
          names[who(impl)] = true
        end
      end
      for _, goal in ipairs(rows.goals) do
        if goal.key == entry.key and not is_comparison(goal) then
          local mine, _, most = goal_of(samples, goal)
          if mine and mine.unit == unit then block.goals[#block.goals + 1] = most end
        end
      end
      if #block.bars > 0 then blocks[#blocks + 1] = block end
    end
  end
  local list = {}
  for impl in pairs(names) do list[#list + 1] = impl end
  table.sort(list)
  return blocks, unit, list
end

-- The charts as { name -> text of the file }, and the page's part between its marks.
function page.write(run)
  local samples <const>, out <const>, charts <const> = run.rows, {}, {}
  local function emit(fmt, ...) out[#out + 1] = select("#", ...) > 0 and fmt:format(...) or fmt end

  for _, line in ipairs(run.machine) do emit("%s", line) end
  emit "\n## Goals\n"
  goals(samples, emit)
  emit "\n## Charts\n"
  emit "Less is better. Medians, on one scale for each chart, which says where it is logarithmic. A line across weir's"
  emit "bar is a goal. Each chart leads to its figures."
  local tables = {}
  for _, group in ipairs(rows.groups) do
    local blocks, unit, names = blocks_of(samples, group)
    if #blocks > 0 then
      charts[group.id .. ".svg"] = chart.svg { title = group.title, blocks = blocks,
        tick = function(value) return tick(value, unit) end }
      local anchor = group.title:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-")
      emit("\n[![%s, as bars: %s](charts/%s.svg)](#%s)", group.title, table.concat(names, ", "), group.id, anchor)
      tables[#tables + 1] = group
    end
  end
  emit "\n## All figures\n"
  emit "The tables have the spread, the number of runs, and how many times weir's figure another's is."
  for _, group in ipairs(tables) do
    emit("\n### %s\n", group.title)
    table_of(samples, group, emit)
  end
  if #run.proof > 0 then
    emit "\n## Proof run: never more than 50 in flight\n"
    emit "nginx counts what is in flight, refuses a 51st request and logs every one with its number.\n"
    for _, line in ipairs(run.proof) do emit("%s", line) end
  end
  if #run.core > 0 then
    emit "\n## The core without Lua\n"
    emit "What C pays: a loan of a pool, a permit, a hand-off from waiter to waiter (`bench/pool_core.c`); the"
    emit "hit of a cache, its memory under a bound, its pauses (`bench/cache_core.c`); how often a cache for so many of"
    emit "its keys has what it is asked for, beside other ways to evict (`bench/sieve.c`).\n"
    emit "```"
    for _, line in ipairs(run.core) do emit("%s", line) end
    emit "```"
  end
  return table.concat(out, "\n") .. "\n", charts
end

return page
