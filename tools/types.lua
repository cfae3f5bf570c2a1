-- types.lua - writes the definition files in types/weir: lua5.4 tools/types.lua [--check]
--
-- What is written in Lua carries its annotations where it is written; this takes them out: every block of `---`
-- lines that defines a class or an alias, and every one before a function, with the function's head. What is in
-- C is in types/weir.lua, by hand. Run it after an annotation changed. With --check nothing is written and the
-- exit code is 1 if a file is not what would be written (spec/lua/types_spec.lua does this).
--
-- Indented blocks, `local function`s that no entry below names, and names with __ are not taken.

-- file: below bindings/weir. meta: the name it is required by, if it is public. class: whose table a variable of
-- the file is, where no annotation at the variable says so. is: what a local function becomes. skip: functions
-- that are documented for the library's own use.
local files <const> = {
  { file = "init", class = { weir = "weir" } },
  { file = "fanout", class = { fanout = "weir" } },
  { file = "map", class = { map = "weir", limit = "weir.Limit" } },
  { file = "keyed", class = { semaphore = "weir.Semaphore", limit = "weir.Limit" }, is = { keyed = "weir.keyed" } },
  { file = "pool", class = { pool = "weir.Pool" } },
  { file = "cache", class = { methods = "weir.Cache" } },
  { file = "batch", class = { methods = "weir.Batch" }, is = { batch = "weir.batch" } },
  { file = "json", meta = "weir.json" },
  { file = "progress", meta = "weir.progress" },
  { file = "queueing", meta = "weir.queueing" },
  { file = "test", meta = "weir.test" },
  { file = "test/run", skip = { ["run.check_options"] = true, ["run.simulator"] = true, ["run.once"] = true,
    ["run.many"] = true } },
  { file = "test/fault", class = { fault = "weir.test" } },
  { file = "test/recorder", is = { new = "weir.test.recorder" } },
  { file = "http/init", meta = "weir.http" },
  { file = "http/client", is = { new = "weir.http.client" } },
  { file = "http/server", is = { serve = "weir.http.serve" } },
  { file = "database", skip = { ["database.blob"] = true, ["database.head"] = true, ["database.enter"] = true,
    ["database.connection"] = true, ["Rows:close"] = true } },
  { file = "database/pool", skip = { ["database_pool.new"] = true } },
  { file = "postgres/init", meta = "weir.postgres" },
  { file = "postgres/methods" },
  { file = "postgres/values", class = { values = "weir.postgres" }, skip = { ["values.copy_line"] = true } },
  { file = "sqlite", meta = "weir.sqlite", class = { ["driver.methods"] = "weir.database.Session" } },
}

local function last_name(class)
  return class:match "[%w_]+$"
end

-- The text of one definition file.
local function definitions(target, entry, source)
  local out, block, here = {}, {}, {}
  local class_of <const> = {}

  local function add(...)
    for _, line in ipairs { ... } do out[#out + 1] = line end
  end

  -- Open the class of a variable, unless it is open.
  local function open(variable, class)
    if class_of[variable] then return end
    class_of[variable] = class
    add("", "---@class " .. class, ("local %s = {}"):format(last_name(class)))
  end

  local function add_function(variable, sep, name, arguments)
    add("")
    table.move(block, 1, #block, #out + 1, out)
    add(("function %s%s%s(%s) end"):format(last_name(class_of[variable]), sep, name, arguments))
  end

  local function has(tag)
    for _, line in ipairs(block) do
      if line:find("^%-%-%-@" .. tag) then return line end
    end
    return nil
  end

  local function settle(line)
    local class <const> = has "class"
    local variable <const> = line:match "^local ([%w_]+)" or line:match "^return {" and "return"
    local owner, sep, name, arguments = line:match "^function ([%w_.]+)([.:])([%w_]+)(%b())"
    if class or has "alias" or has "enum" then
      local named <const> = class and class:gsub("^%-%-%-@class ", ""):gsub("^%(exact%) ", ""):match "^[%w_.]+"
      local as <const> = variable and entry.class and entry.class[variable] or named
      if not (variable and as ~= named and #block == 1) then
        add("")
        table.move(block, 1, #block, #out + 1, out)
      end
      if variable and class then
        if as == named then
          class_of[variable] = as
          add(("local %s = {}"):format(last_name(as)))
          if variable == "return" or entry.meta == as then here.returned = last_name(as) end
        else
          open(variable, as)
        end
      elseif entry.meta == named and named then
        add(("local %s = {}"):format(last_name(named)))
        here.returned = last_name(named)
      end
    elseif owner and not name:find "^__" and not (entry.skip and entry.skip[owner .. sep .. name]) then
      if entry.class and entry.class[owner] then open(owner, entry.class[owner]) end
      if class_of[owner] then
        add_function(owner, sep, name, arguments:sub(2, -2))
      end
    else
      local plain <const>, list <const> = line:match "^local function ([%w_]+)(%b())"
      local is <const> = plain and entry.is and entry.is[plain]
      if is then
        local of <const>, as <const> = is:match "^(.*)%.([%w_]+)$"
        open(plain, of)
        add_function(plain, ".", as, list:sub(2, -2))
      end
    end
  end

  for line in source:gmatch "([^\n]*)\n" do
    if line:find "^%-%-%-" and not line:find "^%-%-%-%-" then
      block[#block + 1] = line
    else
      if #block > 0 and out[1] == nil and line == "" and not has "class" and not has "alias" then
        block = {} -- the head of the file
      end
      if #block > 0 then settle(line) end
      block = {}
    end
  end

  local head <const> = {
    ("-- %s - the annotations of bindings/weir/%s.lua, taken out by tools/types.lua; do not edit."):format(target,
      entry.file),
    "---@meta " .. (entry.meta or "_"),
  }
  if here.returned then add("", "return " .. here.returned) end
  return table.concat(head, "\n") .. "\n" .. table.concat(out, "\n") .. "\n"
end

local function read(name)
  local file <close> = io.open(name)
  return file and file:read "a"
end

local check <const> = arg[1] == "--check"
local stale = 0
for _, entry in ipairs(files) do
  local base <const> = entry.file:gsub("/init$", ""):gsub("^init$", "wrap"):gsub("/", "_")
  local name <const> = ("types/weir/%s.lua"):format(base)
  local text <const> = definitions(name, entry, assert(read(("bindings/weir/%s.lua"):format(entry.file))))
  if read(name) ~= text then
    stale = stale + 1
    if check then
      io.stderr:write(name, " is stale: run lua5.4 tools/types.lua\n")
    else
      local out <close> = assert(io.open(name, "w"))
      out:write(text)
    end
  end
end
os.exit(check and stale > 0 and 1 or 0)
