-- rockspec.lua - writes the rockspecs: lua5.4 tools/rockspec.lua [--check | --release FOLDER URL]
--
-- A rockspec is data and cannot look for files, so its lists are made here: for `weir` every C file of the core
-- and of bindings/ and every Lua file of bindings/weir, for each connector its own C files. Run it after a file
-- came or went. With --check nothing is written and the exit code is 1 if a rockspec is not what would be
-- written (a style test does this). With --release those of the version in weir/version.h go to FOLDER; they
-- fetch the source from URL, a tarball with one folder weir-X.Y.Z (tools/dist.sh makes all of it).

local HEAD = [[
-- $file - $title; made by tools/rockspec.lua, do not edit.
--
$notes
rockspec_format = "3.0"
package = "$name"
version = "$version"
source = {
$source}
description = {
  summary = "$summary",
  detailed = "$detailed",
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
$install  modules = {
    ["$module"] = {
      defines = { "WEIR_HIDDEN" },
      libraries = { $libraries },
      incdirs = { $incdirs },
      libdirs = { "$($VAR_LIBDIR)" },
      sources = {
]]

local SOURCE <const> = [[
  url = "git+file://.", -- `luarocks make` does not use it; tools/dist.sh writes rockspecs with one that can be fetched
]]
local RELEASE <const> = '  url = %q,\n  dir = "weir-%s",\n'

-- The pages are what `luarocks doc weir` shows; with folders of its own luarocks leaves the licence out.
local INSTALL <const> = [[
  copy_directories = { "docs", "types" },
  install = { conf = { "LICENSE" } },
]]

local rocks <const> = {
  {
    name = "weir",
    title = "weir as a rock",
    notes = [[
-- Builds weir.core with libuv alone and needs no other rock: `luarocks make rockspec/weir-scm-1.rockspec`.
-- weir.json wants lua-cjson and weir.http the rocks of its connectors; both are looked for when required.]],
    summary = "Structured concurrency with limits, on libuv",
    detailed = "Tasks, scopes, deadlines, limits, pools, caches on coroutines, for plain Lua 5.4; needs libuv alone.",
    VAR = "LIBUV", header = "uv.h", library = "uv",
    module = "weir.core",
    private = true,
    install = INSTALL,
    sources = "find core bindings -maxdepth 2 -name '*.c' ! -path 'bindings/*/*'",
    lua = "find bindings/weir -name '*.lua'",
  },
  {
    name = "weir-curl",
    title = "the HTTP client of weir",
    notes = "-- The connector weir.http.curl: the one part of weir that links libcurl.",
    summary = "HTTP client for weir, on libcurl",
    detailed = "What weir.http fetches with.",
    VAR = "CURL", library = "curl", -- no header: Debian's lies where the compiler looks and luarocks does not
    module = "weir.http.curl",
    sources = "find bindings/http -name 'curl*.c'",
  },
  {
    name = "weir-microhttpd",
    title = "the HTTP server of weir",
    notes = "-- The connector weir.http.microhttpd: the one part of weir that links libmicrohttpd.",
    summary = "HTTP server for weir, on libmicrohttpd",
    detailed = "What weir.http serves with.",
    VAR = "MICROHTTPD", header = "microhttpd.h", library = "microhttpd",
    module = "weir.http.microhttpd",
    sources = "find bindings/http -name 'mhd*.c'",
  },
  {
    name = "weir-libpq",
    title = "PostgreSQL for weir",
    notes = "-- The connector weir.postgres.libpq: the one part of weir that links libpq.",
    summary = "PostgreSQL client for weir, on libpq",
    detailed = "What weir.postgres talks with.",
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
    detailed = "What weir.sqlite is made of.",
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

-- The release, if there is one: version, url.
local function render(rock, file, release)
  local incdirs <const> = { '"core/include"', '"bindings/include"' }
  if rock.private then incdirs[#incdirs + 1] = '"core"' end
  if rock.incdir then incdirs[#incdirs + 1] = ("%q"):format(rock.incdir) end
  if rock.header then table.insert(incdirs, 1, ('"$(%s_INCDIR)"'):format(rock.VAR)) end
  -- A connector is the other half of files in `weir`: of the same version, nothing else will do.
  local version <const> = release and release.version or "scm"
  local weir <const> = rock.name == "weir" and "" or ('  "weir == %s",\n'):format(version)
  local values <const> = setmetatable({
    file = file,
    version = version .. "-1",
    source = release and RELEASE:format(release.url, release.version) or SOURCE,
    install = rock.install or "",
    libraries = ("%q"):format(rock.library) .. (rock.private and ', "m", "dl"' or ""),
    incdirs = table.concat(incdirs, ", "),
    header = (rock.header and ('header = "%s", '):format(rock.header) or "") .. ('library = "%s"'):format(rock.library),
    dependencies = '  "lua >= 5.4, < 5.5",\n' .. weir,
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

local mode <const>, folder <const>, url <const> = ...
local release, stale = nil, false
if mode == "--release" and url then
  release = { version = read("core/include/weir/version.h"):match('define WEIR_VERSION "([%d.]+)"'), url = url }
elseif mode and mode ~= "--check" then
  io.stderr:write("usage: lua5.4 tools/rockspec.lua [--check | --release FOLDER URL]\n")
  os.exit(2)
end
for _, rock in ipairs(rocks) do
  local file <const> = ("%s-%s-1.rockspec"):format(rock.name, release and release.version or "scm")
  local target <const> = (release and folder or "rockspec") .. "/" .. file
  local wanted <const> = render(rock, file, release)
  if mode ~= "--check" then
    local out <close> = assert(io.open(target, "w"))
    out:write(wanted)
  elseif read(target) ~= wanted then
    io.stderr:write(target, " is out of date; run lua5.4 tools/rockspec.lua\n")
    stale = true
  end
end
os.exit(not stale)
