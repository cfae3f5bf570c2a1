-- files.lua - every source file opens by saying what it is, is of a size one can read, and ends well.
--
-- First line (after #!): `name - sentence`; name is the file's or, in Lua, the module's (in regress/ its number
-- will do). At most 600 lines, unless the head says why it is one file. No marks of unfinished work, no path of
-- anybody's machine, no blanks at line ends, one newline at the end.

local failed = false

local function complain(fmt, ...)
  io.stderr:write(fmt:format(...), "\n")
  failed = true
end

local opens = {
  c = "^/%* (%S+) %- %S",
  h = "^/%* (%S+) %- %S",
  lua = "^%-%-%-? ?(%S+) %- %S",
  sh = "^# (%S+) %- %S",
  cmake = "^# (%S+) %- %S",
  txt = "^# (%S+) %- %S",
}

-- In two parts each, or this file would find itself.
local marks = { "TO" .. "DO", "FIX" .. "ME", "X" .. "XX" }
local paths = { "/ho" .. "me/", "/wo" .. "rk/" }

local function read(name)
  local file <close> = assert(io.open(name, "rb"))
  return file:read("a")
end

local function check_head(name, text)
  local pattern = opens[name:match("%.(%w+)$")]
  local line = text:gsub("^#![^\n]*\n", ""):match("^[^\n]*")
  local said = line:match(pattern)
  local base = name:match("[^/]+$")
  local stem = base:gsub("%.%w+$", "")
  if not said then
    complain("%s: the first line must be `name - sentence`, it is: %s", name, line)
  elseif base ~= "init.lua" and said:match("[^/]+$") ~= base and said:match("[^/.]+$") ~= stem
    and said ~= stem:match("^%d+") then
    complain("%s: calls itself %s", name, said)
  end
end

local function check_text(name, text)
  local n = select(2, text:gsub("\n", ""))
  if n > 600 and not text:sub(1, 1500):find("One file", 1, true) then
    complain("%s: %d lines; split it, or say at its head why it is one (\"One file ...\")", name, n)
  end
  for i = 1, #marks do
    if text:find("%f[%w]" .. marks[i] .. "%f[%W]") then complain("%s: %s", name, marks[i]) end
  end
  for i = 1, #paths do
    if text:find(paths[i], 1, true) then complain("%s: a machine's path, %s", name, paths[i]) end
  end
  if text:find("[ \t]\n") then complain("%s: blanks at the end of a line", name) end
  if not text:find("[^\n]\n$") then complain("%s: must end in one newline", name) end
end

local command = [[find . -type d '(' -name 'build*' -o -name node_modules -o -name .git ')' -prune -o -type f -print]]
for name in assert(io.popen(command .. " | LC_ALL=C sort")):lines() do
  local extension = name:match("%.(%w+)$")
  if opens[extension] and (extension ~= "txt" or name:find("CMakeLists.txt$")) then
    local text = read(name)
    check_head(name, text)
    check_text(name, text)
  elseif extension == "md" or extension == "rockspec" then
    check_text(name, read(name))
  end
end
os.exit(not failed)
