-- report.lua - run the programs of rows.lua, and write their medians as tables and charts; do the proof run.
--
-- Called by bench/run, which says by environment what is there. The programs take turns, all of
-- them once before any of them a second time, so that a busy minute hurts all alike. A program whose
-- rows agree is left alone from the third time on, and none is started that would not end within the
-- time that is allowed. The part of docs/benchmarks.md between the two marks is replaced; the text
-- around it is kept.
--
-- A whole run is kept in $BENCH_DIR/last.rows as it was printed; `lua5.4 bench/report.lua --from FILE` makes page and
-- charts of it without measuring anything.

local page = dofile "bench/page.lua"
local rows = dofile "bench/rows.lua"

local DOC <const>, CHARTS <const> = "docs/benchmarks.md", "docs/charts"
local BEGIN <const>, END <const> = "<!-- figures -->", "<!-- end of figures -->"

-- A run, as page.lua takes it, and the same as lines of a file.
local run = { rows = {}, machine = {}, proof = {}, core = {} }
local kept = {}

local function say(part, fmt, ...)
  local line = fmt:format(...)
  run[part][#run[part] + 1] = line
  kept[#kept + 1] = part .. " " .. line
end

local function note(line)
  local row = {}
  for key, value in line:gmatch "(%w+)=(%S+)" do row[key] = value end
  local value = tonumber(row.value)
  if not (row.name and row.impl and row.unit and value) then return nil end
  kept[#kept + 1] = line
  local key = row.name .. (rows.sized[row.name] and "@" .. row.n or "")
  run.rows[key] = run.rows[key] or {}
  local list = run.rows[key][row.impl] or { unit = row.unit, n = row.n, name = row.name }
  list[#list + 1] = value
  run.rows[key][row.impl] = list
  return list
end

local function save(name, text)
  local file = assert(io.open(name, "w"))
  assert(file:write(text))
  assert(file:close())
end

-- docs/benchmarks.md and docs/charts of this run.
local function write_page(text, charts)
  local file = assert(io.open(DOC))
  local whole = file:read "a"
  file:close()
  local _, head = whole:find(BEGIN .. "\n", 1, true)
  local tail = whole:find(END, 1, true)
  assert(head and tail, DOC .. " has lost its marks")
  save(DOC, whole:sub(1, head) .. "\n" .. text .. "\n" .. whole:sub(tail))
  assert(os.execute("mkdir -p " .. CHARTS .. " && rm -f " .. CHARTS .. "/*.svg"))
  for name, svg in pairs(charts) do save(CHARTS .. "/" .. name, svg) end
end

if arg[1] == "--from" and arg[2] and not arg[3] then
  for line in assert(io.open(arg[2])):lines() do
    local part, rest = line:match "^(%l+) ?(.*)$"
    if part == "row" then
      assert(note(line), "a row is not understood: " .. line)
    else
      assert(run[part], "a line is not understood: " .. line)
      say(part, "%s", rest)
    end
  end
  write_page(page.write(run))
  os.exit(true)
end

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

-- --only: as it stands, or as a pattern: in one, the - of our names means something else.
local function is_asked_for(name)
  return name:find(only, 1, true) or name:find(only)
end

local function wanted(program, rep)
  if not is_asked_for(program.name) or (program.once and rep > 1) or (program.slow and quick) then return false end
  if program.tool and not have["tool_" .. program.tool] then return false end
  for word in program.needs:gmatch "%S+" do
    if not have[word] then return false end
  end
  return true
end

local failures = {}

local function start(program)
  local command, since = expand(program.command), os.time()
  program.rows = program.rows or {}
  local pipe = assert(io.popen(command .. " 2>&1"))
  local other, found = {}, false
  for line in pipe:lines() do
    local list = line:match "^row " and note(line)
    if list then
      program.rows[list], found = true, true
    else
      other[#other + 1] = line
    end
  end
  local ok, _, code = pipe:close()
  program.takes = os.time() - since + 1
  if not ok or not found then
    failures[#failures + 1] = ("%s ended with %s and %s row:\n  %s"):format(command, code,
      found and "some" or "no", table.concat(other, "\n  "))
  end
end

-- Is another repetition worth its time, and is there time?
local function again(program)
  if os.time() - began + program.takes > seconds then return false end
  for list in pairs(program.rows) do
    local middle, least, most = page.median(list)
    if #list < 3 or most - least > AGREE * math.abs(middle) then return true end
  end
  return false
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
  say("proof", "- limit(50): %d requests logged by the server, %d lost, %d twice, %d over 50 in flight;"
    .. " at most %d connections open.", at.lines, at.lost, at.twice, at.refused, at.most)
  say("proof", "- limit(51), to see that the server does count: %d over 50 in flight.", over.refused)
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
  say("machine", "%s, commit %s; %s; %s cores, %s.", os.date("!%Y-%m-%d"),
    first_line "git describe --always --dirty --abbrev=12" or "unknown", cpu,
    first_line "getconf _NPROCESSORS_ONLN" or "?", first_line "uname -sm" or "?")
  local versions = {}
  for _, command in ipairs { "${WEIR} -v", "${LUA} -v", "node -v", "go version", "nginx -v", "curl --version",
    "pg_config --version" } do
    local line = first_line(expand(command))
    if line then
      line = line:gsub("^v%d", "node %0"):gsub("^go version ", ""):gsub("^nginx version: ", "")
      versions[#versions + 1] = line:match "^(.-%d+[%d.]*)" or line
    end
  end
  local package = io.open "bench/peers/package.json"
  if package then
    for name, version in package:read("a"):gmatch '"([%w-]+)": "(%d[%d.]+)"' do
      versions[#versions + 1] = name .. " " .. version
    end
    package:close()
  end
  say("machine", "Versions: %s.", table.concat(versions, ", "))
  say("machine", "Medians of up to %d runs, programs taking turns; %s", reps, load)
end

-- Others at work disturb every row, memory alone excepted.
local average = first_line "cut -d' ' -f1 /proc/loadavg" or "?"
local load = ("the machine's load average before the run was %s."):format(average)

for rep = 1, reps do
  io.stderr:write(("bench: repetition %d of at most %d, after %d s\n"):format(rep, reps, os.time() - began))
  for _, program in ipairs(rows.programs) do
    if wanted(program, rep) and (rep == 1 or again(program)) then start(program) end
  end
end

machine(load)
if have.nginx and is_asked_for "inflight" then proof() end

-- Programs over the core that say what they measured in their own words.
if have.core and is_asked_for "core" and not quick then
  for _, command in ipairs { "pool_core loan", "pool_core handoff", "cache_core hit 1000", "cache_core memory 100",
    "cache_core pause 1000000", "sieve 500000" } do
    local pipe = assert(io.popen(expand("${BENCH_DIR}/" .. command) .. " 2>&1"))
    local said = pipe:read "a"
    if not pipe:close() then failures[#failures + 1] = command .. " failed:\n  " .. said end
    for line in said:gmatch "[^\n]+" do say("core", "%s", line) end
  end
end

local text, charts = page.write(run)
print(text)

if #failures > 0 then
  io.stderr:write("bench: ", table.concat(failures, "\nbench: "), "\n")
  os.exit(1)
end

if not quick and only == "" then save(env "BENCH_DIR" .. "/last.rows", table.concat(kept, "\n") .. "\n") end
if env "BENCH_WRITE" ~= "" then write_page(text, charts) end
