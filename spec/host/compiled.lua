-- compiled.lua - every function of the library, as debuggers and tracebacks see it: file, lines, names.
--
-- With the argument `text` the Lua half is what LUA_PATH has, else what the program has inside. Both must say the same.
local from <const> = ...
if from == "text" then
  for name in pairs(package.preload) do
    local is_lua <const> = package.searchpath(name, package.path)
    if is_lua and name:find "^weir" then package.preload[name] = nil end
  end
end

local modules <const> = {
  "weir", "weir.http", "weir.json", "weir.postgres", "weir.progress", "weir.queueing", "weir.repl", "weir.sqlite",
  "weir.test", "weir.tool.build", "weir.tool.new",
}

local said, seen = {}, {}

local function describe(fn)
  local info <const> = debug.getinfo(fn, "SLu")
  local file <const> = info.source:match "weir/[%w/]+%.lua$"
  if not file then return end
  assert((info.source == "@" .. file) == (from ~= "text"), info.source)
  local words <const> = { file, info.linedefined, info.lastlinedefined, info.nparams, "lines" }
  local lines <const> = {}
  for line in pairs(info.activelines) do lines[#lines + 1] = line end
  table.sort(lines)
  words[#words + 1] = table.concat(lines, ",")
  for i = 1, info.nparams do words[#words + 1] = debug.getlocal(fn, i) end
  for i = 1, info.nups do words[#words + 1] = "^" .. debug.getupvalue(fn, i) end
  said[#said + 1] = table.concat(words, " ")
end

local function walk(value)
  if seen[value] then return end
  seen[value] = true
  if type(value) == "function" then
    describe(value)
    for i = 1, math.huge do
      local name <const>, inner <const> = debug.getupvalue(value, i)
      if not name then break end
      if inner ~= nil then walk(inner) end
    end
  elseif type(value) == "table" then
    for key, inner in next, value do
      walk(key)
      walk(inner)
    end
  end
end

seen[package.loaded], seen[_G] = true, true
for _, name in ipairs(modules) do
  local fine <const>, module <const> = pcall(require, name)
  if fine then walk(module) end
end
table.sort(said)
assert(#said > 100, "hardly a function was seen")
print(table.concat(said, "\n"))
