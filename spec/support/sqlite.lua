-- support/sqlite.lua - what the specs of weir.sqlite share: folders, runs that must give everything back.
--
--   support.real(fn)       the body of an `it` in real time: fn(folder), a folder of its own
--   support.virtual(fn)    the same on virtual time, with databases in memory
-- Both fail if SQLite has more memory afterwards than before, the first one also if a file in the folder is open.

local helper = require "support.helper"
local weir = require "weir"

local found, sqlite = pcall(require, "weir.sqlite")

local support = { found = found, missing = "needs SQLite's module", sqlite = found and sqlite }

--- A query that would run for longer than any test.
support.forever = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"

--- The text of a query that counts to `n`.
function support.count_to(n)
  return ("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT %d) SELECT x FROM c"):format(n)
end

function support.shell(command)
  local pipe = assert(io.popen("unset LD_PRELOAD; " .. command))
  local output = pipe:read("a")
  pipe:close()
  return output
end

--- For helper.program: a plain lua5.4 with `settings` in its environment.
function support.interpreter(folder, settings)
  local name = folder .. "/lua"
  do
    local file <close> = assert(io.open(name, "w"))
    file:write(("#!/bin/sh\n%s exec lua5.4 \"$@\"\n"):format(settings))
  end
  assert(os.execute("chmod +x " .. name))
  return name
end

--- How many files in `folder` this process has open.
function support.open_files(folder)
  local stat <close> = assert(io.open("/proc/self/stat"))
  local pid = stat:read("a"):match("^%d+")
  local listed = support.shell(("ls -l /proc/%s/fd 2>/dev/null"):format(pid))
  local n = 0
  for line in listed:gmatch("[^\n]+") do
    if line:find(folder, 1, true) then n = n + 1 end
  end
  return n
end

--- Sleep until `is_there()`, within bounds that only a failure reaches.
function support.wait_until(is_there, what)
  for _ = 1, 5000 do
    if is_there() then return end
    weir.sleep(0.002)
  end
  error("it never came: " .. what, 2)
end

local function collect()
  collectgarbage()
  collectgarbage()
end

-- SQLite's memory once everything is closed. The first connection leaves a little that stays.
local function baseline()
  collect()
  do
    local db <close> = sqlite.open(":memory:") -- luacheck: ignore 211
  end
  collect()
  return sqlite.memory_used()
end

local folders = 0

--- A folder of its own, as a closable object with `path`.
function support.folder()
  folders = folders + 1
  local path = ("%s_weir_%d"):format(os.tmpname(), folders)
  assert(os.execute("mkdir " .. path))
  return setmetatable({ path = path }, {
    __close = function()
      os.execute("rm -rf " .. path .. " " .. path:gsub("_weir_%d+$", ""))
    end,
  })
end

function support.real(fn)
  return helper.real(function()
    local before = baseline()
    local folder <close> = support.folder()
    fn(folder.path)
    collect()
    support.wait_until(function() return sqlite.memory_used() <= before end,
      ("SQLite has %d bytes more than before"):format(sqlite.memory_used() - before))
    support.wait_until(function() return support.open_files(folder.path) == 0 end, "files are left open")
  end)
end

function support.virtual(fn)
  return function()
    local before = helper.run(baseline)
    helper.run(fn)
    collect()
    local after = sqlite.memory_used()
    if after > before then error(("SQLite has %d bytes more than before"):format(after - before)) end
  end
end

--- Call `fn` and return the error of kind "query" and SQLite's code that it must raise.
function support.refused(code, fn, ...)
  local err = helper.error("query", fn, ...)
  if err.code ~= code then
    error(("expected an error with code %s, got %s: %s"):format(code, err.code, tostring(err)), 2)
  end
  return err
end

return support
