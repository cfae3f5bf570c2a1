-- report.lua - run the programs of rows.lua, take medians, print the tables, do the proof run.
--
-- Called by bench/run, which says by environment what is there. The programs take turns, all of
-- them once before any of them a second time, so that a busy minute hurts all alike. A program whose
-- rows agree is left alone from the third time on, and none is started that would not end within the
-- time that is allowed. The part of docs/benchmarks.md between the two marks is replaced; the text
-- around it is kept.

local rows = dofile "bench/rows.lua"

local DOC, BEGIN, END = "docs/benchmarks.md", "<!-- figures -->", "<!-- end of figures -->"

local function env(name)
  return (assert(os.getenv(name), name .. " is not set: call bench/run"))
end
local reps, only = math.tointeger(env "BENCH_REPS"), env "BENCH_ONLY"
assert(reps and reps > 0, "--reps takes a positive integer")
local quick, seconds = env "BENCH_QUICK" ~= "", tonumber(env "BENCH_SECONDS")
assert(seconds and seconds > 0, "--seconds takes a positive number")
local began = os.time()

local have = {}
for word in env("BENCH_HAVE"):gmatch "%S+" do have[word] = true end
if have["bare-node"] then have.tool_node = true end
if have.node then have.tool_node = true end

local function expand(text)
  return (text:gsub("%${([%u_]+)}", env))
end

-- The samples of a row agree if they lie within this share of their median.
local AGREE <const> = 0.05

local function wanted(program, rep)
  if not program.name:find(only) or (program.once and rep > 1) or (program.slow and quick) then return false end
  if program.tool and not have["tool_" .. program.tool] then return false end
  for word in program.needs:gmatch "%S+" do
    if not have[word] then return false end
  end
  return true
end

-- samples[key][impl] = { unit=, n=, values... }
local samples, failures = {}, {}

local function note(line, program)
  local row = {}
  for key, value in line:gmatch "(%w+)=(%S+)" do row[key] = value end
  local value = tonumber(row.value)
  if not (row.name and row.impl and row.unit and value) then return false end
  local key = row.name .. (rows.sized[row.name] and "@" .. row.n or "")
  samples[key] = samples[key] or {}
  local list = samples[key][row.impl] or { unit = row.unit, n = row.n, name = row.name }
  list[#list + 1] = value
  samples[key][row.impl] = list
  program.rows[list] = true
  return true
end

local function run(program)
  local command, start = expand(program.command), os.time()
  program.rows = program.rows or {}
  local pipe = assert(io.popen(command .. " 2>&1"))
  local other, found = {}, false
  for line in pipe:lines() do
    if line:match "^row " and note(line, program) then found = true else other[#other + 1] = line end
  end
  local ok, _, code = pipe:close()
  program.takes = os.time() - start + 1
  if not ok or not found then
    failures[#failures + 1] = ("%s ended with %s and %s row:\n  %s"):format(command, code,
      found and "some" or "no", table.concat(other, "\n  "))
  end
end

local function median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local middle = #sorted // 2
  if #sorted % 2 == 1 then return sorted[middle + 1], sorted[1], sorted[#sorted] end
  return (sorted[middle] + sorted[middle + 1]) / 2, sorted[1], sorted[#sorted]
end

-- Is another repetition worth its time, and is there time?
local function again(program)
  if os.time() - began + program.takes > seconds then return false end
  for list in pairs(program.rows) do
    local middle, least, most = median(list)
    if #list < 3 or most - least > AGREE * math.abs(middle) then return true end
  end
  return false
end

-- The samples of a key, or of its only size.
local function find(key, impl)
  local of = samples[key]
  return of and of[impl]
end

local function amount(value, unit)
  if unit == "bytes" then return ("%.0f B"):format(value) end
  if unit == "count" then return ("%.0f"):format(value) end
  if unit == "us" then value = value * 1000 end
  if math.abs(value) >= 1e6 then return ("%.2f ms"):format(value / 1e6) end
  if math.abs(value) >= 1e4 then return ("%.1f us"):format(value / 1e3) end
  return ("%.0f ns"):format(value)
end

local out = {}
local function emit(fmt, ...) out[#out + 1] = fmt:format(...) end

local function goals()
  emit "| what | weir | reference | ratio | goal: at most | |"
  emit "|---|--:|--:|--:|---|---|"
  for _, goal in ipairs(rows.goals) do
    local mine = find(goal.key, "weir")
    local other = goal.of and find(goal.of, goal.impl)
    if goal.growth and not find(goal.growth[2], goal.growth[1]) then other = nil end
    if mine and (other or goal.most) then
      local value = median(mine)
      local reference = goal.most or median(other)
      if goal.growth then
        local impl, larger, smaller = table.unpack(goal.growth)
        reference = reference * median(find(larger, impl)) / median(find(smaller, impl))
      end
      local most = goal.most or goal.factor * reference
      local verdict = value <= most and "met" or "missed"
      if goal.text:find "for comparison" then verdict = value <= reference and "less" or "more" end
      emit("| %s | %s | %s | %.3f | %s | %s |", goal.key:gsub("@", " "), amount(value, mine.unit),
        amount(reference, mine.unit), value / reference, goal.text, verdict)
    end
  end
end

local function sizes(name)
  local list = {}
  for key, impls in pairs(samples) do
    local _, any = next(impls)
    if any.name == name then list[#list + 1] = { key = key, n = tonumber(any.n) } end
  end
  table.sort(list, function(a, b) return a.n < b.n end)
  return list
end

local function figures()
  emit "| row | who | median | least | most | runs | beside weir |"
  emit "|---|---|--:|--:|--:|--:|--:|"
  for _, title in ipairs(rows.titles) do
    for _, entry in ipairs(sizes(title[1])) do
      local impls = {}
      for impl in pairs(samples[entry.key]) do impls[#impls + 1] = impl end
      table.sort(impls, function(a, b)
        if (a == "weir") ~= (b == "weir") then return a == "weir" end
        return a < b
      end)
      local mine = find(entry.key, "weir")
      for i, impl in ipairs(impls) do
        local list = find(entry.key, impl)
        local middle, least, most = median(list)
        local size = rows.sized[title[1]] and (" (%d)"):format(entry.n) or ""
        emit("| %s | %s | %s | %s | %s | %d | %s |", i == 1 and title[2] .. size or "", impl,
          amount(middle, list.unit), amount(least, list.unit), amount(most, list.unit), #list,
          mine and impl ~= "weir" and ("%.2f x"):format(middle / median(mine)) or "")
      end
    end
  end
end

-- --- the proof run: the server counts, not the client ------------------------------------
local function count_in_flight(limit, n)
  local log = env "BENCH_DIR" .. "/inflight.log"
  local offset = 0
  local file = io.open(log)
  if file then
    offset = file:seek("end")
    file:close()
  end
  local command = expand("${WEIR} bench/inflight.lua http://127.0.0.1:${BENCH_PORT}/slow ")
  local pipe = assert(io.popen(("%s %d %d 2>&1"):format(command, n, limit)))
  local said = pipe:read "a"
  local ended = pipe:close()
  local seen, r = {}, { lines = 0, twice = 0, lost = 0, refused = 0, most = 0 }
  file = assert(io.open(log))
  file:seek("set", offset)
  for line in file:lines() do
    local id, _, active, verdict = line:match "^(%d+) (%d+) (%d+) (%u+)$"
    assert(id, "a line of the server's log is not understood: " .. line)
    r.lines = r.lines + 1
    if seen[id] then r.twice = r.twice + 1 end
    seen[id] = true
    if verdict ~= "PASSED" then r.refused = r.refused + 1 end
    r.most = math.max(r.most, tonumber(active))
  end
  file:close()
  for id = 1, n do
    if not seen[tostring(id)] then r.lost = r.lost + 1 end
  end
  if not ended then failures[#failures + 1] = "bench/inflight.lua failed:\n  " .. said end
  r.answers = tonumber(said:match "answers=(%d+)")
  return r
end

local function proof()
  local n = 10000
  local at = count_in_flight(50, n)
  local over = count_in_flight(51, n)
  emit("- limit(50): %d requests logged by the server, %d lost, %d twice, %d over 50 in flight;"
    .. " at most %d connections open.", at.lines, at.lost, at.twice, at.refused, at.most)
  emit("- limit(51), to see that the server does count: %d over 50 in flight.", over.refused)
  if at.lines ~= n or at.lost + at.twice + at.refused ~= 0 or at.most > 50 or at.answers ~= n then
    failures[#failures + 1] = "the proof run failed: more than 50 in flight, or a request lost or doubled"
  end
  if over.refused == 0 then
    failures[#failures + 1] = "the proof run proves nothing: the server never saw a 51st request in flight"
  end
end

-- --- the machine -------------------------------------------------------------------------
local function first_line(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local line = pipe:read "l"
  return pipe:close() and line or nil
end

local function machine(load)
  local cpu = first_line "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1" or "unknown processor"
  emit("%s, %s; %s cores, %s.", os.date("!%Y-%m-%d"), cpu, first_line "getconf _NPROCESSORS_ONLN" or "?",
    first_line "uname -sm" or "?")
  local versions = {}
  for _, command in ipairs { "${WEIR} -v", "${LUA} -v", "node -v", "go version", "nginx -v", "curl --version" } do
    local line = first_line(expand(command))
    if line then
      versions[#versions + 1] = line:match "^(%S+ ?%S* ?go[%d.]+)" or line:match "^(.-%d+[%d.]*)" or line
    end
  end
  local package = io.open "bench/peers/package.json"
  if package then
    for name, version in package:read("a"):gmatch '"([%w-]+)": "(%d[%d.]+)"' do
      versions[#versions + 1] = name .. " " .. version
    end
    package:close()
  end
  emit("Versions: %s.", table.concat(versions, ", "))
  emit("Medians of up to %d runs, programs taking turns; %s", reps, load)
end

-- Others at work disturb every row, memory alone excepted.
local average = first_line "cut -d' ' -f1 /proc/loadavg" or "?"
local load = ("the machine's load average before the run was %s."):format(average)

for rep = 1, reps do
  io.stderr:write(("bench: repetition %d of at most %d, after %d s\n"):format(rep, reps, os.time() - began))
  for _, program in ipairs(rows.programs) do
    if wanted(program, rep) and (rep == 1 or again(program)) then run(program) end
  end
end

machine(load)
emit "\n### Goals\n"
goals()
emit "\n### All figures\n"
figures()
if have.nginx and ("inflight"):find(only) then
  emit "\n### Proof run: never more than 50 in flight\n"
  proof()
end

-- Programs over the core that say what they measured in their own words.
if have.core and ("core"):find(only) and not quick then
  emit "\n### The core without Lua\n"
  emit "```"
  for _, command in ipairs { "pool_core loan", "pool_core handoff", "cache_core hit 1000", "cache_core memory 100",
    "cache_core pause 1000000", "sieve 500000" } do
    local pipe = assert(io.popen(expand("${BENCH_DIR}/" .. command) .. " 2>&1"))
    local said = pipe:read "a"
    if not pipe:close() then failures[#failures + 1] = command .. " failed:\n  " .. said end
    emit("%s", (said:gsub("\n$", "")))
  end
  emit "```"
end

local text = table.concat(out, "\n") .. "\n"
print(text)

if #failures > 0 then
  io.stderr:write("bench: ", table.concat(failures, "\nbench: "), "\n")
  os.exit(1)
end

if env "BENCH_WRITE" ~= "" then
  local file = assert(io.open(DOC))
  local page = file:read "a"
  file:close()
  local _, head = page:find(BEGIN .. "\n", 1, true)
  local tail = page:find(END, 1, true)
  assert(head and tail, DOC .. " has lost its marks")
  file = assert(io.open(DOC, "w"))
  file:write(page:sub(1, head), "\n", text, "\n", page:sub(tail))
  file:close()
end
