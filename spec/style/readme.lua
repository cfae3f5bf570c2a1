-- readme.lua - the example in README.md prints what it says it prints.
--
-- The first Lua block is run by the binary on virtual time; each `print(...) --> text` must give that text, blanks
-- counted as one.

local file <close> = assert(io.open("README.md"))
local example = assert(file:read("a"):match("```lua\n(.-)```"), "README.md has no Lua block")

local wanted = {}
for text in example:gmatch("%-%->%s*([^\n]-)%s*\n") do wanted[#wanted + 1] = (text:gsub("%s+", " ")) end
assert(#wanted > 0, "the example says nothing about what it prints")

local name <const> = os.tmpname()
local script = assert(io.open(name, "w"))
script:write("require('weir.test').run(function()\n", example, "end)\n")
script:close()
local pipe = assert(io.popen(("'%s' '%s' 2>&1"):format(os.getenv("WEIR"), name)))
local got = {}
for line in pipe:lines() do got[#got + 1] = (line:gsub("%s+", " ")) end
local ok = pipe:close()
os.remove(name)

if not ok or table.concat(got, "\n") ~= table.concat(wanted, "\n") then
  io.stderr:write("the example prints:\n", table.concat(got, "\n"), "\nREADME.md says:\n",
    table.concat(wanted, "\n"), "\n")
  os.exit(1)
end
