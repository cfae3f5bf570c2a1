-- weir.tool.build - `weir build script.lua -o app`: one executable with a script and its Lua modules inside.
--
-- The executable is a copy of the weir program with a Lua chunk behind it: the modules as preloaded
-- sources, then the script; and at the very end how long that is, and a mark that the program looks
-- for when it starts (host/app.c). Modules are found where the script would find them, by the words
-- after `require` in each source. What is not Lua, or has a name made at run time, cannot be seen.

local build <const> = {}

local MARK <const> = "\27weirapp"
local HELP <const> = [[
usage: weir build SCRIPT [-o FILE] [-m NAME]... [-x NAME]...
Make one executable of a script and the Lua modules that it requires.

  -o FILE   where to (the script's name without .lua)
  -m NAME   take this module too: one whose name is made at run time
  -x NAME   leave this one out: it will be there where the executable runs

Every argument of the executable is the script's. weir's own modules are inside already. What is
written in C is not (other C modules; connectors such as weir.http, unless this weir contains them, as
`make static` makes it), and is named here: it is looked for where the executable runs (LUA_CPATH; in
lua/ and ../lib/lua/5.4 beside it) and where this program is.]]

local function fail(fmt, ...)
  io.stderr:write("weir build: ", fmt:format(...), "\n")
  return 2
end

local function read(name)
  local file, why = io.open(name, "rb")
  if not file then return nil, why end
  local text <const> = file:read "a"
  file:close()
  if not text then return nil, name .. ": cannot be read" end
  return text
end

-- The names that a source requires by a literal.
local function required(source)
  local names = {}
  for name in source:gmatch "require%s*%(?%s*[\"']([%w_.%-]+)[\"']" do names[#names + 1] = name end
  return names
end

-- Is it inside this program, and so inside the executable? A name that begins with `weir.` may be somebody else's.
local function is_ours(name) return package.preload[name] ~= nil end

-- What of a connector is C: inside the release binary, modules beside any other.
local connectors <const> = {
  ["weir.http"] = { "weir.http.curl", "weir.http.microhttpd" }, ["weir.postgres"] = { "weir.postgres.libpq" },
  ["weir.sqlite"] = { "weir.sqlite.sqlite3" }, ["weir.luv"] = { "luv" },
}

local standard <const> = {}
for name in ("_G coroutine debug io math os package string table utf8"):gmatch "%S+" do standard[name] = true end

-- Every module below `source`, by name: { name, file, source }, in the order they were found; and the names of those
-- that are C, or nowhere.
local function collect(source, more, without, path)
  local found, seen, elsewhere, queue = {}, {}, {}, required(source)
  table.move(more, 1, #more, #queue + 1, queue)
  local next_one = 1
  while queue[next_one] do
    local name <const> = queue[next_one]
    next_one = next_one + 1
    if not seen[name] and not without[name] and not standard[name] then
      seen[name] = true
      local file <const> = package.searchpath(name, path)
      local text <const> = file and read(file)
      if is_ours(name) then
        for _, module in ipairs(connectors[name] or {}) do
          if not is_ours(module) and not seen[module] then elsewhere[#elsewhere + 1] = module end
          seen[module] = true
        end
      elseif text then
        found[#found + 1] = { name = name, file = file, source = text }
        local further <const> = required(text)
        table.move(further, 1, #further, #queue + 1, queue)
      else
        elsewhere[#elsewhere + 1] = name
      end
    end
  end
  return found, elsewhere
end

-- The chunk that is run: it must load as it is, so every source is checked before. `folder` is this program's.
local function bundle(script, source, modules, folder)
  local parts <const> = { "local load, preload = load, package.preload\n",
    ("package.cpath = package.cpath .. %q\n"):format((";%s/lua/?.so;%s/../lib/lua/5.4/?.so"):format(folder, folder)) }
  for _, m in ipairs(modules) do
    parts[#parts + 1] = ("preload[%q] = function(...) return assert(load(%q, %q, 't'))(...) end\n"):format(m.name,
      m.source, "@" .. m.file)
  end
  parts[#parts + 1] = ("return assert(load(%q, %q, 't'))(...)\n"):format(source, "@" .. script)
  return table.concat(parts)
end

local function parse(words)
  local given = { more = {}, without = {} }
  local i = 1
  while words[i] do
    local word <const> = words[i]
    if word == "-h" or word == "--help" then
      given.help = true
    elseif word == "-o" or word == "-m" or word == "-x" then
      i = i + 1
      local value <const> = words[i]
      if not value then return nil, "an argument is missing after " .. word end
      if word == "-o" then given.out = value
      elseif word == "-m" then given.more[#given.more + 1] = value
      else given.without[value] = true end
    elseif word:find "^%-." then
      return nil, "unknown option: " .. word
    elseif given.script then
      return nil, "one script, got also: " .. word
    else
      given.script = word
    end
    i = i + 1
  end
  if not (given.script or given.help) then return nil, "no script" end
  return given
end

-- Is there a file that begins like this? No more of it is read: it may be a device.
local function begins_with(name, bytes)
  local file <close> = io.open(name, "rb")
  return file and file:read(#bytes) == bytes
end

local function ends_as_application(name)
  local file <close> = io.open(name, "rb")
  return file and file:seek("end", -#MARK) and file:read(#MARK) == MARK
end

local function without_shebang(source) return (source:gsub("^#[^\n]*", "")) end

-- Write it beside, then rename: an executable that runs meanwhile stays whole.
local function write(out, program, chunk, make_executable)
  local beside <const> = out .. ".weir-build"
  local file, why = io.open(beside, "wb")
  if not file then return out .. ": " .. (why:gsub(".*: ", "")) end
  local fine
  fine, why = file:write(program, chunk, string.pack("<I8", #chunk), MARK)
  if fine then fine, why = file:close() else file:close() end
  if fine then fine, why = make_executable(beside, out) end
  if fine then fine, why = os.rename(beside, out) end
  if fine then return nil end
  os.remove(beside)
  return out .. ": " .. (why:gsub(".*: ", ""))
end

--- The command. Returns an exit code.
---@param words string[]
---@param self string the weir program's file
---@param make_executable fun(file: string, target: string): boolean?, string?
---@return integer
function build.main(words, self, make_executable)
  local given, complaint = parse(words)
  if not given then return fail("%s\ntry 'weir build --help'", complaint) end
  if given.help then
    print(HELP)
    return 0
  end
  if self == "" then return fail "the file of this program is not known" end
  local source, why = read(given.script)
  if not source then return fail("%s", why) end
  source = without_shebang(source)
  local fine
  fine, why = load(source, "@" .. given.script, "t")
  if not fine then return fail("%s", why) end
  local folder <const> = given.script:match "^(.*)/[^/]*$" or "."
  local path <const> = ("%s/?.lua;%s/?/init.lua;%s"):format(folder, folder, package.path)
  local modules <const>, elsewhere <const> = collect(source, given.more, given.without, path)
  for _, name in ipairs(given.more) do
    if not is_ours(name) and not package.searchpath(name, path) then
      return fail("-m %s: there is no such Lua module", name)
    end
  end
  for _, m in ipairs(modules) do
    fine, why = load(m.source, "@" .. m.file, "t")
    if not fine then return fail("%s", why) end
  end
  local program
  program, why = read(self)
  if not program then return fail("%s", why) end
  if program:sub(-#MARK) == MARK then return fail("this program is an application itself") end
  local out <const> = given.out or given.script:match "([^/]+)$":gsub("%.lua$", "")
  if out == given.script then return fail("-o is needed: the script has no .lua at its end") end
  if begins_with(out, program) and not ends_as_application(out) then
    return fail("-o %s: that is the weir program itself", out)
  end
  why = write(out, program, bundle(given.script, source, modules, self:match "^(.*)/" or "."),
    make_executable)
  if why then return fail("%s", why) end
  io.stderr:write(("weir build: %s, with %d module%s inside\n"):format(out, #modules, #modules == 1 and "" or "s"))
  if #elsewhere > 0 then
    io.stderr:write("weir build: not inside, looked for where it runs: ", table.concat(elsewhere, " "), "\n")
  end
  return 0
end

return build
