-- proof.lua - what a test run did, as a page: lua5.4 tools/proof.lua FOLDER PAGE
--
-- FOLDER is where ctest ran (build/all): its log has what every test printed, results.xml who was skipped, `commit`
-- what was tested. Every line `figures: name=number ...` is added up by the table below, which knows each name, what it
-- means and which tests have to print it. The page is written in any case, failures at its head. Exit code: 0 if all
-- passed and every figure is there; 1 if a test failed, or a figure is missing, malformed or unknown; 2 for misuse.
--
-- `--sources` prints who has to print what; `--check PAGE` looks whether a page has everything the table asks for.

-- --- the table ----------------------------------------------------------------------------------

local BUILDS <const> = {
  { "release", "what is shipped, -O2" },
  { "asan", "watched by AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer" },
  { "stress", "small capacities, every invariant checked after every step, a collector that never rests" },
  { "static", "one file that needs the C library alone" },
  { "clang", "fuzzers: clang's libFuzzer with both sanitizers" },
}

local GROUPS <const> = {
  { "c", "units of the core, without Lua" },
  { "weir", "specs of the library, inside the binary" },
  { "lua", "the same specs under plain `lua5.4`" },
  { "host", "the binary and the scripts from outside" },
  { "rock", "the rocks, built, installed and used" },
  { "examples", "C programs that embed the core" },
  { "style", "rules of the house: layers, headers, exports, install, rocks, links" },
  { "fuzz", "a few seconds of each fuzzer" },
}

-- A figure: name, what the page calls it, tests that must print it (group/unit; group/* is one of them at least). It is
-- added up over the tests of a build; with `each`, told test by test.
local TECHNIQUES <const> = {
  { title = "Every schedule",
    what = "Who runs next and which of equal timers fires first are asked of one function. Here it counts like an"
      .. " odometer, so that a small program runs under every order there is; where there are too many, under the"
      .. " first ones and as many by chance.",
    finds = "A wake-up that is lost, or comes twice, in one order of a million.",
    { "schedules", "schedules run", "c/schedules c/batch_schedules c/cache_schedules c/flight weir/*" },
    { "exhausted", "programs all of whose schedules were run",
      "c/schedules c/batch_schedules c/cache_schedules c/flight weir/*" } },
  { title = "Random operations against models",
    what = "A sequence of operations is drawn, run on the real thing and on a model that is plain and slow, and"
      .. " compared after every step: order, counts, times, statistics. A sequence that differs is shortened before it"
      .. " is shown.",
    finds = "Anything at all that the one who wrote the code did not think of, and the one who wrote the model did.",
    { "sequences", "sequences", "c/batch_model c/cache_model c/pool_model c/rate_model c/semaphore_model"
      .. " c/semaphore_order c/wheel c/heap c/scope c/bucket c/histogram c/graph c/rate c/foresee c/window"
      .. " c/cache_index weir/cache_model weir/keyed_model" },
    { "ops", "operations in them", "c/batch_model c/cache_model c/pool_model c/rate_model c/semaphore_model"
      .. " c/semaphore_order c/wheel c/heap c/scope c/list c/waiter weir/cache_model weir/keyed_model" } },
  { title = "Random programs",
    what = "Tasks that hold, wait, fail, cancel each other, nest scopes and set deadlines by chance, in an order by"
      .. " chance. No model says what comes of it; the laws do: bounds hold, nobody hangs, all comes back.",
    finds = "What only happens when three features meet.",
    more = "WEIR_SOAK=10000 build/weir spec/support/run_busted.lua spec/lua/soak_spec.lua",
    { "programs", "programs", "c/schedules c/oom c/graph_model weir/soak weir/pool_random weir/batch_model"
      .. " weir/cache_model weir/deadlock_random" },
    { "deadlocks", "of them with a deadlock, each found, and in no other",
      "c/graph_model weir/deadlock_random" },
    { "replays", "runs repeated from their record, to the same end", "c/runtime" } },
  { title = "A cancel at every wait",
    what = "A program runs once to count its waits, then once for each of them, with a cancel there: of the task that"
      .. " waits, of another one, of the scope, of everything; then with a second cancel, which hits the cleanup.",
    finds = "A permit, lock, connection, timer or byte that a cancel leaves behind.",
    { "cancel_points", "cancels put in", "c/cancel_points c/batch_schedules c/cache_schedules weir/*" },
    { "awaits", "waits seen in those runs", "c/cancel_points weir/*" } },
  { title = "Every allocation fails",
    what = "A program runs once for each allocation it makes, with that one refused: alone, with its retry, with all"
      .. " after it. It may report it. With its memory back the same objects must work, and not a byte may be left.",
    finds = "The path that nobody ever takes, until a machine is full.",
    { "failed_allocations", "allocations of the core refused", "c/oom c/batch_schedules c/cache_schedules weir/*" },
    { "refused_allocations", "allocations of Lua refused", "host/lua_memory_test host/postgres_memory_test" } },
  { title = "Fuzzers", builds = "clang",
    what = "The same models, and the constructors' tables of options, driven by bytes that clang's libFuzzer chooses so"
      .. " that they reach code not yet reached. Here from nothing for a few seconds each; `make fuzz` goes on for as"
      .. " long as you like.",
    finds = "Sequences that chance does not draw.",
    more = "make fuzz FUZZ=\"pool cache\" FUZZ_SECONDS=60",
    { "inputs", "inputs run", "fuzz/batch fuzz/cache fuzz/dedup fuzz/options fuzz/pool fuzz/rate fuzz/semaphore" },
    { "places", "places in the code reached",
      "fuzz/batch fuzz/cache fuzz/options fuzz/pool fuzz/rate fuzz/semaphore", each = true } },
  { title = "PostgreSQL, restarted, killed, full and silent",
    what = "Forty tasks ask a real server through a pool, each call with a deadline, while the server is restarted as"
      .. " by a crash, its connections are killed one by one, there are fewer than the pool wants, and it stops"
      .. " answering. Every call has to end by its deadline, and what was answered has to be there, once. A pool whose"
      .. " server is gone refuses at once, so those who ask again and again make most of the failed calls.",
    finds = "A call that hangs, a lease that is lost, a pool that does not recover, a COMMIT that was none.",
    { "chaos_asked", "calls", "weir/postgres_chaos" },
    { "chaos_answered", "answered", "weir/postgres_chaos" },
    { "chaos_failed", "failed, and told so in time", "weir/postgres_chaos" },
    { "chaos_kept", "inserts that were answered and are there once", "weir/postgres_chaos" },
    { "chaos_missing", "inserts that were answered and are missing", "weir/postgres_chaos" } },
  { title = "Webhooks, killed with -9",
    what = "`scripts/webhooks.lua` delivers, and is killed without warning three times; its journal is cut in the"
      .. " middle of a record. Gone on with, it has to deliver all of them, and twice only what was on its way at a"
      .. " kill.",
    finds = "A delivery that is lost, or comes twice without need.",
    { "kills", "kills", "host/webhooks_test" },
    { "deliveries", "deliveries asked for", "host/webhooks_test" },
    { "delivered", "deliveries made, by the journal", "host/webhooks_test" },
    { "repeated", "taken twice, each on its way at a kill", "host/webhooks_test" } },
}

-- What single tests count beside that.
local MINOR <const> = {
  { "transitions", "pairs of a state of a waiter and what happens to it" },
  { "waits", "waits in random use of a waiter" },
  { "fired", "timers fired as in a sorted list" },
  { "grants", "permits and tokens granted by the law of their rate or order" },
  { "passes", "waiters overtaken, none more often than allowed" },
  { "stuck", "tasks found that nobody can wake, as an exhaustive search says" },
  { "cycles", "shapes of deadlock that must be seen" },
  { "no_cycles", "shapes that look like one and are none" },
  { "tasks", "tasks alive at once and ended in turn" },
  { "side_by_side", "programs in several runtimes at once, as if alone" },
  { "threads", "threads that ran them" },
  { "loads", "random loads for the queueing maths" },
  { "stable", "of them below capacity" },
  { "comparisons_per_removal", "comparisons of a heap for a removal, once of rising and once of falling keys" },
  { "pairs_per_key", "pairs in a bucket, of 6 sets of 2,048 regular keys; of random ones about 6,144" },
}

-- --- the log --------------------------------------------------------------------------------------

local problems = {}

local function complain(fmt, ...) problems[#problems + 1] = fmt:format(...) end

local function usage(text)
  io.stderr:write("proof: ", text, "\nusage: lua5.4 tools/proof.lua FOLDER PAGE | --check PAGE | --sources\n")
  os.exit(2)
end

local function read(name)
  local file, err = io.open(name, "rb")
  if not file then return nil, err end
  local text = file:read("a")
  file:close()
  return text
end

local function figures_of(name, output)
  local all
  for line in ("\n" .. output):gmatch("\nfigures:([^\n]*)") do
    all = all or {}
    for word in line:gmatch("%S+") do
      local key, value = word:match("^([%l_]+)=(%d+)$")
      if key then
        all[key] = (all[key] or 0) + math.tointeger(value)
      else
        complain("%s printed '%s' where name=number was expected", name, word)
      end
    end
  end
  return all
end

-- tests[name] = { build, group, unit, passed, seconds, attempts, figures, seed }, the last attempt of each; and a list.
local function parse(log)
  local tests, list = {}, {}
  local block <const> = '\n%d+/%d+ Test: (%S+)\n.-\nOutput:\n%-+\n(.-)<end of output>\n(.-)\n"%S+" end time:'
  for name, output, rest in log:gmatch(block) do
    local build, group, unit = name:match("^(%w+)%.(%w+)%.(.+)$")
    if not build then
      complain("a test is called %s, where build.group.unit was expected", name)
    else
      local seconds = tonumber(rest:match("Test time = *([%d.]+) sec"))
      if not seconds then complain("%s: the log has no time of it", name) end
      local before = tests[name]
      local test = { name = name, build = build, group = group, unit = unit, output = output,
        passed = rest:find("Test Passed.", 1, true) ~= nil, seconds = seconds or 0,
        attempts = before and before.attempts + 1 or 1, seed = ("\n" .. output):match("\nspecs: WEIR_SEED=(%d+)") }
      if not before then list[#list + 1] = name end
      tests[name] = test
    end
  end
  table.sort(list)
  for i, name in ipairs(list) do list[i] = tests[name] end
  return tests, list
end

local function mark_skipped(tests, xml)
  for attributes, body in xml:gmatch("<testcase%s([^>]*[^/>])>(.-)</testcase>") do
    local name = attributes:match('name="([^"]*)"')
    if body:find("<skipped", 1, true) and tests[name] then tests[name].skipped = true end
  end
end

-- --- adding up ------------------------------------------------------------------------------------

local known = { tests = true, pending = true }
for _, figure in ipairs(MINOR) do known[figure[1]] = true end
for _, technique in ipairs(TECHNIQUES) do
  for _, figure in ipairs(technique) do known[figure[1]] = true end
end

-- sums[build][name], and who printed it: by[build][name][unit].
local function add_up(list)
  local sums, by = {}, {}
  for _, build in ipairs(BUILDS) do sums[build[1]], by[build[1]] = {}, {} end
  for _, test in ipairs(list) do
    test.figures = figures_of(test.name, test.output) or {}
    local of = sums[test.build]
    if not of then
      complain("%s: '%s' is no build that the page knows", test.name, test.build)
    elseif test.passed and not test.skipped then
      for name, n in pairs(test.figures) do
        if not known[name] then complain("%s counts '%s', which the page does not know", test.name, name) end
        of[name] = (of[name] or 0) + n
        local units = by[test.build][name] or {}
        units[#units + 1] = { group = test.group, unit = test.unit, n = n }
        by[test.build][name] = units
      end
      local counts <const> = test.group == "c" or test.group == "weir" or test.group == "lua"
      if counts and not test.figures.tests then
        complain("%s does not say how many tests it has", test.name)
      end
    end
  end
  return sums, by
end

local function printed(units, group, unit)
  for _, one in ipairs(units or {}) do
    if one.group == group and (unit == "*" or one.unit == unit) then return true end
  end
  return false
end

-- Who should have printed a figure and did not? A failure and a skip are told elsewhere.
local function check_sources(tests, by)
  for _, technique in ipairs(TECHNIQUES) do
    for build in (technique.builds or "release asan stress"):gmatch("%S+") do
      for _, figure in ipairs(technique) do
        for group, unit in figure[3]:gmatch("(%w+)/(%S+)") do
          local test = tests[("%s.%s.%s"):format(build, group, unit)]
          if not printed(by[build][figure[1]], group, unit) then
            if unit ~= "*" and not test then
              complain("%s.%s.%s, which counts '%s', was not run", build, group, unit, figure[1])
            elseif unit == "*" or test.passed and not test.skipped and not test.figures.pending then
              complain("%s.%s.%s does not say '%s'", build, group, unit, figure[1])
            end
          end
        end
      end
    end
  end
end

-- --- what is around the tests -----------------------------------------------------------------------

local function first_line(command)
  local pipe = assert(io.popen(command .. " 2>/dev/null"))
  local line = pipe:read("l")
  pipe:close()
  return line and line ~= "" and line or nil
end

-- Lines that are not empty, of C, Lua and sh in these folders.
local function lines_in(folders)
  local n = first_line("find " .. folders .. " -type f '(' -name '*.[ch]' -o -name '*.lua' -o -name '*.sh' ')'"
    .. " -exec cat {} + | grep -c '[^[:space:]]'")
  return math.tointeger(tonumber(n)) or 0
end

local function minutes_between(log)
  local from, to = log:match("Start testing: %a+ +%d+ (%d+:%d+)"), log:match("End testing: %a+ +%d+ (%d+:%d+)")
  if not (from and to) then
    complain("the log is not of a run that ended")
    return 0
  end
  local function minutes(clock) return tonumber(clock:match("^%d+")) * 60 + tonumber(clock:match("%d+$")) end
  return (minutes(to) - minutes(from)) % (24 * 60)
end

local function thousands(n)
  local text = ("%d"):format(n)
  repeat
    local count
    text, count = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
  until count == 0
  return text
end

-- --- the page -------------------------------------------------------------------------------------

local out = {}
local function emit(fmt, ...) out[#out + 1] = select("#", ...) > 0 and fmt:format(...) or fmt end

local function emit_state(list, skipped)
  local failed, again = {}, {}
  for _, test in ipairs(list) do
    if not test.passed then failed[#failed + 1] = test.name end
    if test.passed and test.attempts > 1 then again[#again + 1] = test.name end
  end
  if #failed > 0 then
    emit("**%d of %d programs of tests failed**, and what they count is missing below: %s.", #failed, #list,
      table.concat(failed, ", "))
    complain("failed: %s", table.concat(failed, ", "))
  else
    emit("%s programs of tests, none failed; skipped, whole or in part: %d.", thousands(#list), #skipped)
  end
  if #skipped > 0 then emit "" end
  for _, test in ipairs(skipped) do
    emit("- %s: %s", test.name, test.skipped and (test.output:match("([^\n]+)\n*$") or "it does not say why")
      or ("left undone here: %d of its tests"):format(test.figures.pending))
  end
  if #again > 0 then
    emit ""
    emit("Passed when run once more, having failed beside all the others: %s.", table.concat(again, ", "))
  end
end

local function emit_facts(folder, list, log)
  local seed
  for _, test in ipairs(list) do
    if test.seed and seed and test.seed ~= seed then
      complain("%s has seed %s, others have %s: tests of several runs", test.name, test.seed, seed)
      break
    end
    seed = seed or test.seed
  end
  if not seed then complain("no test says its seed") end
  local commit = (read(folder .. "/commit") or ""):match("^%S+")
  if not commit then complain("%s/commit is missing: which commit was tested?", folder) end
  local seconds = 0
  for _, test in ipairs(list) do seconds = seconds + test.seconds end
  emit ""
  emit "| | |"
  emit "|---|---|"
  emit("| commit | %s |", commit or "unknown")
  emit("| date | %s |", os.date("!%Y-%m-%d"))
  emit("| machine | %s, %s cores, %s |",
    first_line "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo" or "unknown processor",
    first_line "getconf _NPROCESSORS_ONLN" or "?", first_line "uname -sm" or "?")
  emit("| compilers | %s; %s |", first_line "cc --version" or "?", first_line "clang --version" or "no clang")
  emit("| with | %s, libuv %s |", (first_line "lua5.4 -v" or "?"):match "^%S+ %S+",
    first_line "pkg-config --modversion libuv" or "?")
  emit("| seed | %s: `WEIR_SEED=%s make test` repeats it |", seed or "?", seed or "n")
  emit("| took | %d minutes; test after test it would be %d |", minutes_between(log), seconds // 60)
end

-- A kind or a build of which nothing was run, and a kind that the page does not have.
local function check_kinds(list)
  local run, has = {}, {}
  for _, group in ipairs(GROUPS) do has[group[1]] = true end
  for _, test in ipairs(list) do
    run[test.group], run["build " .. test.build] = true, true
    if not has[test.group] then complain("%s: '%s' is no kind that the page knows", test.name, test.group) end
  end
  for _, group in ipairs(GROUPS) do
    if not run[group[1]] then complain("no test of kind '%s' was run", group[1]) end
  end
  for _, build in ipairs(BUILDS) do
    if not run["build " .. build[1]] then complain("no test of the build '%s' was run", build[1]) end
  end
end

local function emit_groups(list)
  emit "\n## Tests by kind and build\n"
  emit "How many programs of tests, and in brackets how many tests they hold."
  emit ""
  local head, line = { "| kind |" }, { "|---|" }
  for _, build in ipairs(BUILDS) do
    head[#head + 1] = (" %s |"):format(build[1])
    line[#line + 1] = "--:|"
  end
  emit(table.concat(head) .. " |")
  emit(table.concat(line) .. "---|")
  for _, group in ipairs(GROUPS) do
    local cells, any = {}, false
    for i, build in ipairs(BUILDS) do
      local n, cases = 0, 0
      for _, test in ipairs(list) do
        if test.build == build[1] and test.group == group[1] and test.passed and not test.skipped then
          n, cases = n + 1, cases + (test.figures.tests or 0)
        end
      end
      cells[i] = n == 0 and "" or cases == 0 and ("%d"):format(n) or ("%d (%s)"):format(n, thousands(cases))
      any = any or n > 0
    end
    if not any then cells[1] = "not run" end
    emit("| %s | %s | %s |", group[1], table.concat(cells, " | "), group[2])
  end
  emit ""
  for _, build in ipairs(BUILDS) do emit("- **%s**: %s.", build[1], build[2]) end
end

local function cell(figure, build, sums, by)
  local n = sums[build][figure[1]]
  if not n then return "missing" end
  if not figure.each then return thousands(n) end
  local words = {}
  for i, one in ipairs(by[build][figure[1]]) do words[i] = ("%s %s"):format(one.unit, thousands(one.n)) end
  return table.concat(words, ", ")
end

-- The tests that print the figures of a technique, as ctest is asked for them.
local function tests_of(technique)
  local groups, units = {}, {}
  for _, figure in ipairs(technique) do
    for group, unit in figure[3]:gmatch("(%w+)/(%S+)") do
      if not units[group] then groups[#groups + 1], units[group] = group, {} end
      local of <const> = units[group]
      if unit == "*" then of.all = true end
      if not of[unit] then of[#of + 1], of[unit] = unit, true end
    end
  end
  for i, group in ipairs(groups) do
    local of <const> = units[group]
    groups[i] = of.all and group .. "\\."
      or ("%s\\.%s$"):format(group, #of > 1 and "(" .. table.concat(of, "|") .. ")" or of[1])
  end
  return "\\." .. (#groups > 1 and "(" .. table.concat(groups, "|") .. ")" or groups[1])
end

local function emit_techniques(sums, by)
  emit "\n## What was tried\n"
  emit "Counted by the tests themselves, as they ran. `asan` and `stress` are slower and do less of what is drawn by"
  emit "chance. The command below a table runs the tests that counted it once more, in `build`; with the seed above as"
  emit "`WEIR_SEED` they draw the same. Each prints its share; in `build-asan` and `build-stress` likewise."
  for _, technique in ipairs(TECHNIQUES) do
    emit("\n### %s\n", technique.title)
    emit("%s", technique.what)
    emit("\nWhat it finds: %s", (technique.finds:gsub("^%u", string.lower)))
    local builds = {}
    for build in (technique.builds or "release asan stress"):gmatch("%S+") do builds[#builds + 1] = build end
    emit("\n| | %s |", table.concat(builds, " | "))
    emit("|---|%s|", ("--:|"):rep(#builds):sub(1, -2))
    for _, figure in ipairs(technique) do
      local cells = {}
      for i, build in ipairs(builds) do cells[i] = cell(figure, build, sums, by) end
      emit("| %s | %s |", figure[2], table.concat(cells, " | "))
    end
    emit("\nAgain: `ctest --test-dir %s -V -R '%s' | grep figures:`",
      technique.builds == "clang" and "build-fuzz" or "build", tests_of(technique))
    if technique.more then emit("\nMore: `%s`", technique.more) end
  end
end

local function emit_regress(list)
  local units, n = {}, 0
  for _, test in ipairs(list) do
    if test.passed and not test.skipped and test.unit:find("^%d%d%d_") and not units[test.unit] then
      units[test.unit], n = true, n + 1
    end
  end
  if n == 0 then complain("no test of spec/regress was run") end
  emit "\n### Bugs of others, and of our own\n"
  emit("Bugs that other libraries for concurrency have or had, or that weir once had, each with a test of its own"
    .. " (`spec/regress/`): %d.", n)
  emit "\nAgain: `ctest --test-dir build -R '\\.[0-9][0-9][0-9]_'`"
end

local function emit_minor(sums, by)
  emit "\n### Smaller counts\n"
  emit "| | release | asan | stress | counted by |"
  emit "|---|--:|--:|--:|---|"
  for _, figure in ipairs(MINOR) do
    local cells = {}
    for i, build in ipairs { "release", "asan", "stress" } do
      local n = sums[build][figure[1]]
      if not n then complain("nothing in %s counts '%s'", build, figure[1]) end
      cells[i] = n and thousands(n) or "missing"
    end
    local units = {}
    for i, one in ipairs(by.release[figure[1]] or {}) do units[i] = ("`%s.%s`"):format(one.group, one.unit) end
    emit("| %s | %s | %s |", figure[2], table.concat(cells, " | "), table.concat(units, ", "))
  end
end

local function emit_code()
  local core, bindings, scripts, spec = lines_in "core", lines_in "bindings", lines_in "scripts", lines_in "spec"
  emit "\n## Code and tests\n"
  emit("Lines that are not empty: core %s, bindings %s, scripts %s; tests %s. %.2f lines of test for a line of code.",
    thousands(core), thousands(bindings), thousands(scripts), thousands(spec),
    spec / math.max(1, core + bindings + scripts))
  local coverage = read "build-coverage/coverage.md"
  emit ""
  emit("%s", coverage and coverage:gsub("\n+$", "") or "Coverage was not measured: `make coverage` does it.")
end

local function save(name, text)
  local file = assert(io.open(name, "w"))
  assert(file:write(text))
  assert(file:close())
end

local function write_page(folder, page)
  local log, err = read(folder .. "/Testing/Temporary/LastTest.log")
  if not log then
    io.stderr:write("proof: ", err, "\nproof: it is what `make test` leaves\n")
    os.exit(2)
  end
  local tests, list = parse(log)
  if #list == 0 then complain("the log has no tests") end
  local xml = read(folder .. "/results.xml")
  if xml then mark_skipped(tests, xml) else complain("%s/results.xml is missing: who was skipped?", folder) end
  local sums, by = add_up(list)
  local skipped = {}
  for _, test in ipairs(list) do
    if test.skipped or test.figures.pending then skipped[#skipped + 1] = test end
  end

  check_sources(tests, by)
  check_kinds(list)
  emit "# What the tests did\n"
  emit "Written by `make proof` from the log of a whole run of `make test`, not by hand. Every number was counted by"
  emit "the test that did the work. A figure that is missing or a test that failed is said here, and fails the command."
  emit ""
  emit_state(list, skipped)
  emit_facts(folder, list, log)
  emit_groups(list)
  emit_techniques(sums, by)
  emit_regress(list)
  emit_minor(sums, by)
  emit_code()
  save(page, table.concat(out, "\n") .. "\n")
end

-- Everything the table asks for stands on the page, with a number.
local function check_page(page)
  local text, err = read(page)
  if not text then usage(err) end
  local function wants(what)
    if not text:find(what, 1, true) then complain("%s: '%s' is not there; make test, then make proof", page, what) end
  end
  for _, group in ipairs(GROUPS) do wants(("\n| %s | "):format(group[1])) end
  for _, build in ipairs(BUILDS) do wants(("\n- **%s**: "):format(build[1])) end
  for _, technique in ipairs(TECHNIQUES) do
    wants(("\n### %s\n"):format(technique.title))
    for _, figure in ipairs(technique) do wants(("\n| %s | "):format(figure[2])) end
  end
  if text:find("| missing", 1, true) then complain("%s: a figure is missing on it", page) end
end

local function print_sources()
  for _, technique in ipairs(TECHNIQUES) do
    for build in (technique.builds or "release asan stress"):gmatch("%S+") do
      for _, figure in ipairs(technique) do
        for group, unit in figure[3]:gmatch("(%w+)/(%S+)") do
          print(("%s.%s.%s %s"):format(build, group, unit, figure[1]))
        end
      end
    end
  end
  for _, figure in ipairs(MINOR) do
    for _, build in ipairs { "release", "asan", "stress" } do print(("%s.c.* %s"):format(build, figure[1])) end
  end
end

if arg[1] == "--check" and arg[2] and not arg[3] then
  check_page(arg[2])
elseif arg[1] == "--sources" and not arg[2] then
  print_sources()
elseif arg[1] and not arg[1]:find("^%-") and arg[2] and not arg[3] then
  write_page(arg[1], arg[2])
else
  usage "expected a folder and a page"
end
for _, text in ipairs(problems) do io.stderr:write("proof: ", text, "\n") end
os.exit(#problems == 0)
