-- rockspec.lua - writes rockspec/weir-scm-1.rockspec: lua5.4 tools/rockspec.lua [--check]
--
-- A rockspec is data and cannot look for files, so its lists are made here: every C file of the core and of
-- bindings/, every Lua file of bindings/weir. Run it after a file came or went. With --check nothing is
-- written and the exit code is 1 if the file is not what would be written (a style test does this).

local TARGET = "rockspec/weir-scm-1.rockspec"

local HEAD = [[
-- weir-scm-1.rockspec - weir as a rock; made by tools/rockspec.lua, do not edit.
--
-- Builds weir.core with libuv alone and needs no other rock: `luarocks make rockspec/weir-scm-1.rockspec`.
-- weir.json wants lua-cjson and weir.http a connector, both looked for when they are required.
rockspec_format = "3.0"
package = "weir"
version = "scm-1"
source = {
  url = "git+file://.", -- `luarocks make` in a checkout does not use it
}
description = {
  summary = "Structured concurrency with limits, on libuv",
  detailed = [=[
    Tasks in scopes, deadlines that hold for every wait, semaphores and limits that lose nothing on
    cancel, and virtual time for tests. One C core, scripted in Lua.]=],
  license = "MIT",
  labels = { "concurrency", "async", "libuv", "coroutine" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.5",
}
external_dependencies = {
  LIBUV = { header = "uv.h", library = "uv" },
}
build = {
  type = "builtin",
  modules = {
    ["weir.core"] = {
      libraries = { "uv" },
      incdirs = { "$(LIBUV_INCDIR)", "core/include", "bindings/include", "core" },
      libdirs = { "$(LIBUV_LIBDIR)" },
      sources = {
]]

local function list(command)
  local files = {}
  for name in assert(io.popen(command .. " | LC_ALL=C sort")):lines() do files[#files + 1] = name end
  return files
end

local function render()
  local out = { HEAD }
  local function add(fmt, ...) out[#out + 1] = fmt:format(...) end
  for _, name in ipairs(list "find core bindings -maxdepth 2 -name '*.c' ! -path 'bindings/*/*'") do
    add("        %q,\n", name)
  end
  add("      },\n    },\n")
  for _, name in ipairs(list "find bindings/weir -name '*.lua'") do
    local module = name:gsub("^bindings/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
    add("    [%q] = %q,\n", module, name)
  end
  add("  },\n}\n")
  return table.concat(out)
end

local wanted = render()
if arg[1] == "--check" then
  local file = io.open(TARGET)
  local found = file and file:read("a")
  if file then file:close() end
  if found ~= wanted then
    io.stderr:write(TARGET, " is out of date; run lua5.4 tools/rockspec.lua\n")
    os.exit(1)
  end
else
  local file <close> = assert(io.open(TARGET, "w"))
  file:write(wanted)
end
