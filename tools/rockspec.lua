-- rockspec.lua - writes the rockspecs: lua5.4 tools/rockspec.lua [--check]
--
-- A rockspec is data and cannot look for files, so its lists are made here: for `weir` every C file of the core
-- and of bindings/ and every Lua file of bindings/weir, for each connector its own C files. Run it after a file
-- came or went. With --check nothing is written and the exit code is 1 if a rockspec is not what would be
-- written (a style test does this).

local HEAD = [[
-- $name-scm-1.rockspec - $title; made by tools/rockspec.lua, do not edit.
--
$notes
rockspec_format = "3.0"
package = "$name"
version = "scm-1"
source = {
  url = "git+file://.", -- `luarocks make` in a checkout does not use it
}
description = {
  summary = "$summary",
  license = "MIT",
  labels = { "concurrency", "async", "libuv", "coroutine" },
}
supported_platforms = { "linux" }
dependencies = {
$dependencies}
external_dependencies = {
  $VAR = { $header },
}
build = {
  type = "builtin",
  modules = {
    ["$module"] = {
      libraries = { $libraries },
      incdirs = { $incdirs },
      libdirs = { "$($VAR_LIBDIR)" },
      sources = {
]]

local rocks <const> = {
  {
    name = "weir",
    title = "weir as a rock",
    notes = [[
-- Builds weir.core with libuv alone and needs no other rock: `luarocks make rockspec/weir-scm-1.rockspec`.
-- weir.json wants lua-cjson and weir.http the rocks of its connectors; both are looked for when required.]],
    summary = "Structured concurrency with limits, on libuv",
    VAR = "LIBUV", header = "uv.h", library = "uv",
    module = "weir.core",
    private = true,
    sources = "find core bindings -maxdepth 2 -name '*.c' ! -path 'bindings/*/*'",
    lua = "find bindings/weir -name '*.lua'",
  },
  {
    name = "weir-curl",
    title = "the HTTP client of weir",
    notes = "-- The connector weir.http.curl: the one part of weir that links libcurl.",
    summary = "HTTP client for weir, on libcurl",
    VAR = "CURL", library = "curl", -- no header: Debian's lies where the compiler looks and luarocks does not
    module = "weir.http.curl",
    sources = "find bindings/http -name 'curl*.c'",
  },
  {
    name = "weir-microhttpd",
    title = "the HTTP server of weir",
    notes = "-- The connector weir.http.microhttpd: the one part of weir that links libmicrohttpd.",
    summary = "HTTP server for weir, on libmicrohttpd",
    VAR = "MICROHTTPD", header = "microhttpd.h", library = "microhttpd",
    module = "weir.http.microhttpd",
    sources = "find bindings/http -name 'mhd*.c'",
  },
  {
    name = "weir-libpq",
    title = "PostgreSQL for weir",
    notes = "-- The connector weir.postgres.libpq: the one part of weir that links libpq.",
    summary = "PostgreSQL client for weir, on libpq",
    VAR = "PQ", library = "pq", -- no header: Debian keeps it in a folder of its own
    incdir = "/usr/include/postgresql",
    module = "weir.postgres.libpq",
    sources = "find bindings/postgres -name '*.c'",
  },
  {
    name = "weir-sqlite",
    title = "SQLite for weir",
    notes = "-- The connector weir.sqlite.sqlite3: the one part of weir that links SQLite.",
    summary = "SQLite for weir, on its thread pool",
    VAR = "SQLITE", header = "sqlite3.h", library = "sqlite3",
    module = "weir.sqlite.sqlite3",
    sources = "find bindings/sqlite -name '*.c'",
  },
}

local function list(command)
  local files = {}
  for name in assert(io.popen(command .. " | LC_ALL=C sort")):lines() do files[#files + 1] = name end
  return files
end

local function render(rock)
  local incdirs <const> = { '"core/include"', '"bindings/include"' }
  if rock.private then incdirs[#incdirs + 1] = '"core"' end
  if rock.incdir then incdirs[#incdirs + 1] = ("%q"):format(rock.incdir) end
  if rock.header then table.insert(incdirs, 1, ('"$(%s_INCDIR)"'):format(rock.VAR)) end
  local values <const> = setmetatable({
    libraries = ("%q"):format(rock.library) .. (rock.private and ', "m", "dl"' or ""),
    incdirs = table.concat(incdirs, ", "),
    header = (rock.header and ('header = "%s", '):format(rock.header) or "") .. ('library = "%s"'):format(rock.library),
    dependencies = '  "lua >= 5.4, < 5.5",\n' .. (rock.name == "weir" and "" or '  "weir",\n'),
  }, { __index = rock })
  local out = { (HEAD:gsub("%$(%u+)", values):gsub("%$(%l+)", values)) }
  local function add(fmt, ...) out[#out + 1] = fmt:format(...) end
  for _, name in ipairs(list(rock.sources)) do
    add("        %q,\n", name)
  end
  add("      },\n    },\n")
  for _, name in ipairs(rock.lua and list(rock.lua) or {}) do
    local module = name:gsub("^bindings/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
    add("    [%q] = %q,\n", module, name)
  end
  add("  },\n}\n")
  return table.concat(out)
end

local function read(name)
  local file <close> = io.open(name)
  return file and file:read("a")
end

local stale = false
for _, rock in ipairs(rocks) do
  local target = ("rockspec/%s-scm-1.rockspec"):format(rock.name)
  local wanted = render(rock)
  if arg[1] ~= "--check" then
    local file <close> = assert(io.open(target, "w"))
    file:write(wanted)
  elseif read(target) ~= wanted then
    io.stderr:write(target, " is out of date; run lua5.4 tools/rockspec.lua\n")
    stale = true
  end
end
os.exit(not stale)
