-- proof.lua - tools/proof.lua tells a test run as it was, and docs/proof.md has all that it asks for.
--
-- The log is made here, in ctest's words: one test for each source of a figure, which says 2 of it. Then the same with
-- one thing wrong at a time.

local HEAD <const> = "Start testing: Nov 26 23:58 UTC\n" .. ("-"):rep(58) .. "\n"
local TAIL <const> = "End testing: Nov 27 00:09 UTC\n"

local function output_of(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read("a")
  local _, _, code = pipe:close()
  return text, code
end

local function write(name, text)
  local file <close> = assert(io.open(name, "w"))
  assert(file:write(text))
end

-- name -> { words = { "tests=3", ... }, passed = true }
local function whole_run()
  local tests = {}
  local function add(name, word)
    local test = tests[name] or { words = {}, passed = true }
    tests[name] = test
    test.words[#test.words + 1] = word
  end
  local sources = output_of "lua5.4 tools/proof.lua --sources"
  for name, figure in sources:gmatch("(%S+) (%S+)\n") do add(name:gsub("%*$", "some"), figure .. "=2") end
  for name, test in pairs(tests) do
    if name:find("%.c%.") or name:find("%.weir%.") then test.words[#test.words + 1] = "tests=3" end
  end
  add("release.weir.001_symptom", "tests=1")
  add("asan.weir.001_symptom", "tests=1")
  add("release.lua.001_symptom", "tests=1")
  local silent <const> = "static.host.host_test release.rock.rock_test release.examples.alone release.style.files"
  for name in silent:gmatch "%S+" do
    tests[name] = { words = {}, passed = true, said = "" }
  end
  return tests
end

local folder = output_of("mktemp -d"):gsub("\n$", "")
local _ <close> = setmetatable({}, { __close = function() os.execute("rm -rf '" .. folder .. "'") end })
assert(os.execute("mkdir -p '" .. folder .. "/Testing/Temporary'"))

local function block(n, name, test)
  return table.concat({
    ("%d/9 Testing: %s"):format(n, name), ("%d/9 Test: %s"):format(n, name), 'Command: "x"', "Directory: .",
    ('"%s" start time: Nov 26 23:58 UTC'):format(name), "Output:", ("-"):rep(58), "specs: WEIR_SEED=7",
    test.said or "figures: " .. table.concat(test.words, " "), "<end of output>", "Test time =   0.50 sec",
    ("-"):rep(58), test.passed and "Test Passed." or "Test Failed.",
    ('"%s" end time: Nov 26 23:58 UTC'):format(name), ("-"):rep(58), "",
  }, "\n") .. "\n"
end

-- Run the tool on these tests. Returns the page, what it said, its exit code.
local function page_of(tests, options)
  options = options or {}
  local log, xml, n = { HEAD }, { "<testsuite>\n" }, 0
  for name, test in pairs(tests) do
    n = n + 1
    if test.failed_first then log[#log + 1] = block(n, name, { words = test.words, passed = false }) end
    log[#log + 1] = block(n, name, test)
    local skipped = test.skipped and '<skipped message="SKIP_RETURN_CODE=77"/>' or ""
    xml[#xml + 1] = ('<testcase name="%s" status="run">%s<system-out>x</system-out></testcase>\n'):format(name, skipped)
  end
  log[#log + 1] = options.cut and "" or TAIL
  write(folder .. "/Testing/Temporary/LastTest.log", table.concat(log))
  write(folder .. "/results.xml", table.concat(xml))
  write(folder .. "/commit", "0123456789ab\n")
  local page = folder .. "/page.md"
  local said, code = output_of(("lua5.4 tools/proof.lua '%s' '%s'"):format(folder, page))
  local file <close> = assert(io.open(page))
  return file:read("a"), said, code
end

local function has(text, what)
  if not text:find(what, 1, true) then error(("'%s' is not in:\n%s"):format(what, text), 2) end
end

-- Change one thing of a run that is whole; the tool has to say `what`, and the page `shown`.
local function wrong(change, what, shown, options)
  local tests = whole_run()
  change(tests)
  local page, said, code = page_of(tests, options)
  assert(code == 1, "exit code " .. tostring(code))
  has(said, what)
  if shown then has(page, shown) end
end

do -- as it should be
  local tests = whole_run()
  tests["release.c.oom"].failed_first = true
  local page, said, code = page_of(tests)
  assert(code == 0 and said == "", said)
  has(page, "none failed; skipped, whole or in part: 0.")
  has(page, "Passed when run once more, having failed beside all the others: release.c.oom.")
  has(page, "| 0123456789ab |")
  has(page, "`WEIR_SEED=7 make test`")
  has(page, "| took | 11 minutes")
  has(page, "| programs all of whose schedules were run | 10 | 10 | 10 |") -- five tests, two each
  has(page, "| places in the code reached | batch 2, cache 2, options 2, pool 2, rate 2, semaphore 2 |")
  has(page, "(`spec/regress/`): 1.")
  has(page, "Again: `ctest --test-dir build -V -R '\\.host\\.webhooks_test$' | grep figures:`")
  has(page, "Again: `ctest --test-dir build -V -R '\\.(c\\.(cancel_points|batch_schedules|cache_schedules)$|weir\\.)'")
  has(page, "| threads that ran them | 2 | 2 | 2 | `c.some` |")
  assert(os.execute(("lua5.4 tools/proof.lua --check '%s/page.md'"):format(folder)))
end

do -- a skip is said, and is no error
  local tests = whole_run()
  tests["asan.weir.postgres_chaos"].skipped = true
  tests["asan.weir.postgres_chaos"].said = "needs a server"
  local page, said, code = page_of(tests)
  assert(code == 0, said)
  has(page, "none failed; skipped, whole or in part: 1.")
  has(page, "- asan.weir.postgres_chaos: needs a server")
  has(page, "| calls | 2 | missing | 2 |")
  assert(not os.execute(("lua5.4 tools/proof.lua --check '%s/page.md' 2>/dev/null"):format(folder)))
end

wrong(function(tests) tests["stress.c.oom"].passed = false end, "failed: stress.c.oom",
  "programs of tests failed**, and what they count is missing below: stress.c.oom.")
wrong(function(tests) tests["asan.c.runtime"] = nil end, "asan.c.runtime, which counts 'replays', was not run")
wrong(function(tests) tests["release.c.wheel"].words = { "tests=1" } end, "release.c.wheel does not say 'sequences'")
wrong(function(tests) tests["release.weir.some"].words = { "tests=1" } end, "release.weir.* does not say 'schedules'")
wrong(function(tests) tests["asan.c.some"].words = { "tests=1" } end, "nothing in asan counts 'fired'")
wrong(function(tests) table.insert(tests["release.c.oom"].words, "miracles=3") end,
  "counts 'miracles', which the page does not")
wrong(function(tests) tests["clang.fuzz.pool"].said = "figures: inputs=7 places=" end, "printed 'places=' where")
wrong(function(tests) tests["release.c.list"].said = "" end, "release.c.list does not say how many tests it has")
wrong(function(tests) tests["static.host.host_test"] = nil end, "no test of the build 'static' was run")
wrong(function(tests) tests["release.rock.rock_test"] = nil end, "no test of kind 'rock' was run",
  "| rock | not run | ")
wrong(function(tests) tests["release.magic.x"] = tests["release.style.files"] end, "'magic' is no kind that the page")
wrong(function() end, "the log is not of a run that ended", nil, { cut = true })

local said, code = output_of "lua5.4 tools/proof.lua no-such-folder page.md"
has(said, "what `make test` leaves")
assert(code == 2)
assert(os.execute "lua5.4 tools/proof.lua --check docs/proof.md")
