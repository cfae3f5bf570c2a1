-- weir.tool.new - `weir new NAME`: a small project to begin with, a script, its module, a spec and settings.
--
-- What it writes runs, passes its own spec, and is meant to be changed. Nothing that is there is touched.

local new <const> = {}

local HELP <const> = [[
usage: weir new NAME
Make a folder NAME with a script that works through a list at a limit, a module with the work in it, a spec
that runs on virtual time, and settings for busted and for the Lua language server.]]

local files <const> = {}

files["main.lua"] = [[
-- main.lua - work through what the command line names, so many at once.
--
--     weir main.lua one two three

local here <const> = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = here .. "/?.lua;" .. package.path

local weir = require "weir"
local work = require "work"

-- One unit of work. Anything that waits may stand here: weir.http, weir.postgres, weir.sleep ...
local function job(name)
  weir.sleep(0.1)
  return ("%s has %d letters"):format(name, #name)
end

local results, errors = work.all(arg, job, { limit = 10, attempts = 3 })
for i = 1, #arg do
  print(results[i] or ("%s failed: %s"):format(arg[i], errors[i]))
end
os.exit(errors and 1 or 0)
]]

files["work.lua"] = [[
-- work.lua - every item of a list through a function: so many at once, each tried a few times.

local weir = require "weir"

local work = {}

local function try(fn, item, attempts)
  for n = 1, attempts - 1 do
    local fine, result = pcall(fn, item)
    if fine then
      return result
    end
    weir.sleep(2 ^ n * 0.05) -- a cancel is raised here, so that none is swallowed
  end
  return fn(item)
end

--- @param items any[]
--- @param fn async fun(item: any): any
--- @param options { limit: integer, attempts: integer }
--- @return table results, table? errors by index; nil if there are none
function work.all(items, fn, options)
  return weir.map(items, function(item)
    return try(fn, item, options.attempts)
  end, { limit = options.limit, on_error = "collect" })
end

return work
]]

files["spec/work_spec.lua"] = [[
-- work_spec.lua - run with `weir busted` in the project's folder. Time is virtual: nothing here takes any.

local test = require "weir.test"
local weir = require "weir"
local work = require "work"

describe("work.all", function()
  it("does so many at once", test.wrap(function()
    local log = test.recorder()
    local square = log:wrap("square", test.slow(function(n) return n * n end, 1))
    local results, errors = work.all({ 1, 2, 3, 4, 5 }, square, { limit = 2, attempts = 1 })
    assert.is_nil(errors)
    assert.equal(25, results[5])
    assert.equal(2, log:peak("square"))
    assert.near(3, weir.now(), 1e-6)
  end))

  it("tries again", test.wrap(function()
    local flaky, seen = test.flaky(function(name) return name end, { times = 2 })
    local results, errors = work.all({ "late" }, flaky, { limit = 2, attempts = 3 })
    assert.is_nil(errors)
    assert.equal("late", results[1])
    assert.equal(3, seen.calls)
  end))

  it("says what failed at last, in whatever order", test.wrap(function()
    local function job(name)
      weir.sleep(1)
      if name == "never" then error("not yet", 0) end
      return name
    end
    local results, errors = work.all({ "well", "never" }, job, { limit = 2, attempts = 3 })
    assert.equal("well", results[1])
    assert.equal("not yet", errors[2])
  end, { explore = 50 }))
end)
]]

files[".busted"] = [[
return { _all = { ROOT = { "spec" }, lpath = "./?.lua" } }
]]

files[".luarc.json"] = [[
{
  "runtime.version": "Lua 5.4",
  "workspace.library": [LIBRARY],
  "diagnostics.globals": ["describe", "it", "before_each", "after_each", "pending"]
}
]]

files["README.md"] = [[
# NAME

    weir main.lua one two three     # run it
    weir busted                     # its specs, on virtual time
    weir --explore 100 main.lua a b # in a hundred orders
    weir build main.lua -o NAME     # one executable
]]

local order <const> = { "main.lua", "work.lua", "spec/work_spec.lua", ".busted", ".luarc.json", "README.md" }

local function fail(fmt, ...)
  io.stderr:write("weir new: ", fmt:format(...), "\n")
  return 2
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- Where the language server finds the library's types: installed beside the program, in the source tree that it was
-- built in, or in a rock of the trees where `require` looks. As shell words; of several versions any will do.
local function library(self)
  local places = {}
  local root <const> = self:match "^(.*)/[^/]*/[^/]*$"
  if root then
    places = { quote(root) .. "/share/weir/types", quote(root) .. "/types" }
  end
  for tree in package.path:gmatch "([^;]*)/share/lua/5%.4/%?%.lua" do
    places[#places + 1] = quote(tree) .. "/lib/luarocks/rocks-5.4/weir/*/types"
  end
  local words <const> = table.concat(places, "/weir.lua ") .. "/weir.lua"
  local loop <const> = 'for file in %s; do [ ! -f "$file" ] || { echo "$file"; break; }; done'
  local pipe <close> = assert(io.popen(loop:format(words)))
  local file <const> = pipe:read "l"
  return file and ('"%s"'):format(file:match "^(.*)/") or ""
end

local function write(path, text)
  local file, why = io.open(path, "w")
  if not file then return why end
  local fine
  fine, why = file:write(text)
  if fine then fine, why = file:close() else file:close() end
  return not fine and ("%s: %s"):format(path, why) or nil
end

-- The files of a project, in its folder; nil, or what went wrong, and then nothing of them is left.
local function write_all(folder, title, types)
  for _, name in ipairs(order) do
    local text = files[name]:gsub("NAME", (title:gsub("%%", "%%%%")))
    text = text:gsub("LIBRARY", (types:gsub("%%", "%%%%")))
    local why <const> = write(folder .. "/" .. name, text)
    if why then
      for _, made in ipairs(order) do os.remove(folder .. "/" .. made) end
      os.remove(folder .. "/spec")
      os.remove(folder)
      return why
    end
  end
end

--- The command. Returns an exit code.
---@param words string[]
---@param self string the weir program's file
---@return integer
function new.main(words, self)
  local name <const> = words[1]
  if name == "-h" or name == "--help" then
    print(HELP)
    return 0
  elseif not name or words[2] or name:find "^%-" or not name:find "[^/]" then
    return fail("one name, please\ntry 'weir new --help'")
  elseif os.execute(("[ -e %s ]"):format(quote(name))) then
    return fail("%s is there already", name)
  end
  if not os.execute(("mkdir -p %s"):format(quote(name .. "/spec"))) then
    return fail("%s cannot be made", name)
  end
  local why <const> = write_all(name, name:match "([^/]+)/*$", library(self))
  if why then return fail("%s", why) end
  local word <const> = name:find "[^%w_./-]" and quote(name) or name
  print(("%s/: %s\nNext: cd %s && weir main.lua one two three && weir busted"):format(name,
    table.concat(order, " "), word))
  return 0
end

return new
