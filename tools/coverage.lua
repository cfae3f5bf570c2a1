-- coverage.lua - how much of core/ and bindings/ the tests of a build ran: lua5.4 tools/coverage.lua BUILD
--
-- BUILD is a folder whose objects were made with gcc --coverage and whose tests were run (make coverage). Each
-- object's counts are read with gcov. A source is compiled more than once (library, module, binary), so a line or a
-- branch counts as run if it was in any of them. Writes BUILD/coverage.md, which tools/proof.lua puts on its page.

local json = require "cjson"

local build <const> = arg[1]
if not build or arg[2] then
  io.stderr:write("usage: lua5.4 tools/coverage.lua BUILD\n")
  os.exit(2)
end

local function first_line(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read "l"
end
local source <const> = first_line "pwd" .. "/"
local commit <const> = first_line "git describe --always --dirty --abbrev=12 2>/dev/null" or "unknown"

-- seen[file][line] = { run = is it?, branches = { [i] = was it taken? } }
local seen = {}

local function merge(file, line)
  local of = seen[file]
  local one = of[line.line_number] or { run = false, branches = {} }
  of[line.line_number] = one
  one.run = one.run or line.count > 0
  for i, branch in ipairs(line.branches) do
    one.branches[i] = one.branches[i] or branch.count > 0
  end
end

local function read_object(gcda)
  local command <const> = ("gcov --branch-probabilities --json-format --stdout '%s' 2>/dev/null"):format(gcda)
  local pipe <close> = assert(io.popen(command))
  for text in pipe:lines() do
    for _, file in ipairs(json.decode(text).files) do
      local name = file.file
      if name:sub(1, #source) == source then name = name:sub(#source + 1) end
      if name:find "^core/" or name:find "^bindings/" then
        seen[name] = seen[name] or {}
        for _, line in ipairs(file.lines) do merge(name, line) end
      end
    end
  end
end

local n_objects = 0
for gcda in assert(io.popen(("find '%s' -name '*.gcda' | LC_ALL=C sort"):format(build))):lines() do
  n_objects = n_objects + 1
  read_object(gcda)
end
if n_objects == 0 then
  io.stderr:write("coverage: nothing was run in ", build, ": make coverage\n")
  os.exit(1)
end

-- Counts of each folder, and the files that are least covered.
local folders, names = {}, {}
local worst = {}
for file, lines in pairs(seen) do
  local folder = file:match "^core/%l+" or file:match "^bindings/%l+/" or "bindings/"
  folder = folder:gsub("/$", "")
  if not folders[folder] then
    folders[folder] = { lines = 0, run = 0, branches = 0, taken = 0 }
    names[#names + 1] = folder
  end
  local n, run = 0, 0
  for _, line in pairs(lines) do
    n, run = n + 1, run + (line.run and 1 or 0)
    for _, taken in ipairs(line.branches) do
      folders[folder].branches = folders[folder].branches + 1
      folders[folder].taken = folders[folder].taken + (taken and 1 or 0)
    end
  end
  folders[folder].lines, folders[folder].run = folders[folder].lines + n, folders[folder].run + run
  if n >= 20 then worst[#worst + 1] = { file = file, share = run / n } end
end
table.sort(names)
table.sort(worst, function(a, b) return a.share < b.share or a.share == b.share and a.file < b.file end)

local out = {}
local function emit(fmt, ...) out[#out + 1] = fmt:format(...) end

local function percent(part, whole)
  return whole == 0 and "" or ("%.1f %%"):format(100 * part / whole)
end

emit("Coverage, by `make coverage` at commit %s: gcc, the tests `c`, `weir`, `host` and `examples`, a tenth of", commit)
emit "what is drawn by chance. A branch is a way out of a condition as the compiler sees it, a failed assert too. What"
emit "a process ran that a signal or `_exit` ended is not counted."
emit ""
emit "| folder | lines | of them run | branches | of them taken |"
emit "|---|--:|--:|--:|--:|"
local all = { lines = 0, run = 0, branches = 0, taken = 0 }
for _, name in ipairs(names) do
  local f = folders[name]
  for key, n in pairs(f) do all[key] = all[key] + n end
  emit("| %s | %d | %s | %d | %s |", name, f.lines, percent(f.run, f.lines), f.branches, percent(f.taken, f.branches))
end
emit("| all | %d | %s | %d | %s |", all.lines, percent(all.run, all.lines), all.branches,
  percent(all.taken, all.branches))
local least = {}
for i = 1, math.min(5, #worst) do
  least[i] = ("%s %s"):format(worst[i].file, percent(worst[i].share, 1))
end
emit ""
emit("The files with the fewest lines run: %s.", table.concat(least, ", "))

local text <const> = table.concat(out, "\n") .. "\n"
local file <close> = assert(io.open(build .. "/coverage.md", "w"))
assert(file:write(text))
io.write(text)
