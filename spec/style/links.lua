-- links.lua - what pages and comments point to is there: links, files, folders, names of the library.
--
-- In pages: every relative link, every file or folder that begins with one of ours, every `folder/` beside the page.
-- In pages and in C and Lua files: every weir.NAME is a field of the library, a module, or a type it shows.

local weir = require "weir"

local failed = false

local function complain(file, what)
  io.stderr:write(file, ": ", what, "\n")
  failed = true
end

local function read(name)
  local file <close> = assert(io.open(name, "rb"))
  return file:read("a")
end

-- Every file there is, and every folder that has one.
local there = {}
local command = [[find . -type d '(' -name 'build*' -o -name node_modules -o -name .git ')' -prune -o -type f -print]]
for name in assert(io.popen(command)):lines() do
  local path = name:gsub("^%./", "")
  there[path] = true
  for folder in path:gmatch("()/") do there[path:sub(1, folder)] = true end
end

local made <const> = { ["spec/work_spec.lua"] = true } -- in the folder that `weir new` makes

-- `path` seen from `folder`, or from the top.
local function exists(path, folder)
  path = (folder or "") .. path
  local n
  repeat path, n = path:gsub("[^/]+/%.%./", "", 1) until n == 0
  return there[path] or there[path .. "/"] or made[path]
end

-- --- links --------------------------------------------------------------------------------------
local function check_links(page, folder, text)
  for target in text:gmatch("%]%(([^)%s]+)%)") do
    local path, anchor = target:match("^([^#]*)#?(.*)$")
    if not path:find("^%a+:") then
      if path ~= "" and not exists(path, folder) then
        complain(page, "links to " .. target .. ", which is not there")
      elseif anchor ~= "" then
        local found = false
        for heading in ("\n" .. read(path == "" and page or folder .. path)):gmatch("\n#+ ([^\n]+)") do
          local id = heading:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-")
          found = found or id == anchor
        end
        if not found then complain(page, "links to " .. target .. ", a heading that is not there") end
      end
    end
  end
end

-- --- files ----------------------------------------------------------------------------------------
local ours = {}
for name in ("bench bindings cmake core docs examples rockspec scripts spec tools"):gmatch("%a+") do
  ours[name] = true
end

-- Names that stand for any: x_test.c, NNN_symptom, X.Y.Z
local function is_example(path)
  return path:find("[*<$]") or path:find("%f[%w]x[_.]") or path:find("%u%u%u_") or path:find("X%.Y%.Z")
end

local function check_files(name, folder, text, is_page)
  for path in text:gmatch("%f[%w_./-]([%w_][%w_./-]*)") do
    path = path:gsub("[.]$", "")
    local top = path:match("^([%w_]+)/")
    if ours[top] and path:find("%.%w+$") and not is_example(path)
      and not exists(path) and not exists(path, folder) then
      complain(name, "names " .. path .. ", which is not there")
    end
  end
  if not is_page then return end
  for path in text:gmatch("`([%w_/-]+/)`") do
    if not path:find("^build") and not exists(path, folder) and not exists(path) then
      complain(name, "names the folder " .. path .. ", which is not there")
    end
  end
end

-- --- names of the library -----------------------------------------------------------------------
-- weir.h is a file, weir.spec a module of a test, the rest are names under which values show themselves.
local shown = {}
for name in ("core api error permit lease flight reservation scope simulator task h spec edit tool"):gmatch("%S+") do
  shown[name] = true
end

local function is_known(name)
  return weir[name] ~= nil or shown[name]
end

local function has_module(name)
  return exists("bindings/weir/" .. name .. ".lua") or exists("bindings/weir/" .. name .. "/init.lua")
end

local function check_names(name, text)
  for field in text:gmatch("%f[%w_.:/]weir%.([%l_]+)%f[^%w_]") do
    if not has_module(field) and not is_known(field) then
      complain(name, "names weir." .. field .. ", which there is not")
    end
  end
end

-- --- all ----------------------------------------------------------------------------------------
for name in pairs(there) do
  local extension = name:match("%.(%w+)$")
  local is_page = extension == "md"
  if is_page or extension == "lua" or extension == "c" or extension == "h" then
    local folder, text = name:match("^(.*/)") or "", read(name)
    if is_page then check_links(name, folder, text) end
    check_files(name, folder, text, is_page)
    check_names(name, text)
  end
end
os.exit(not failed)
