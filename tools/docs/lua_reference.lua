-- lua_reference.lua - the Lua reference: what types/ says of each function, as pages.
--
-- types/ is read as tools/types.lua writes it: blocks of `---` lines, each before a class's table or a function's
-- head. Classes and functions go to the page whose pattern names them first; one that no page names is an error, so
-- that nothing new is left out.

local reference <const> = {}

-- file, title, guide, what goes there: classes, or functions of the table `weir`, as patterns.
local pages <const> = {
  { "tasks", "weir: tasks, scopes, errors", "tasks", "run", "spawn", "detach", "daemon", "sleep", "checkpoint", "now",
    "scope", "timeout", "shield", "await", "wrap", "on_unhandled", "kind", "Task", "Scope.*", "Error", "Kind",
    "Histogram" },
  { "fanout", "weir.all, map, race ...", "fanout", "all", "settle", "race", "any", "quorum", "iter", "map", "each",
    "Map.*" },
  { "semaphore", "weir.semaphore", "semaphore", "semaphore", "Semaphore.*", "Permit", "AcquireOpts" },
  { "limit", "weir.limit", "limit", "limit", "Limit.*", "JobOpts" },
  { "bucket", "weir.bucket", "bucket", "bucket", "Bucket.*", "Rate", "Reservation" },
  { "keyed", "weir.keyed", "keyed", "keyed", "Keyed.*" },
  { "pool", "weir.pool", "pool", "pool", "Pool.*", "Lease.*", "Leak" },
  { "cache", "weir.cache", "cache", "cache", "Cache.*" },
  { "batch", "weir.batch", "batch", "batch", "Batch.*" },
  { "progress", "weir.progress", "fanout", "progress", "Progress.*" },
  { "queueing", "weir.queueing", "queueing", "queueing.*" },
  { "http", "weir.http", "http", "http.*" },
  { "database", "weir.postgres, weir.sqlite", "postgres", "postgres.*", "sqlite.*", "database.*" },
  { "json", "weir.json", "overview", "json.*" },
  { "test", "weir.test", "test", "test.*", "Test.*", "WrapOpts", "Recorder",
    "Flaky.*", "HangingSeen", "SilentSeen" },
}

local function page_of(name)
  local short <const> = name:gsub("^weir%.", "")
  for _, page in ipairs(pages) do
    for i = 4, #page do
      if short:find("^" .. page[i] .. "$") then return page, i end
    end
  end
  error(("tools/docs/lua_reference.lua: no page for %s"):format(name), 0)
end

-- The type that `text` begins with, and what is behind it.
local function take_type(text)
  local at = 1
  local function try(pattern)
    local _, stop <const> = text:find("^" .. pattern, at)
    if stop then at = stop + 1 end
    return stop
  end
  local one
  local function many()
    one()
    while try ",%s*" do
      if not try "%.%.%.%f[^.]" then one() end
    end
  end
  function one()
    repeat
      try "async "
      if try "fun%b()" then
        if try ":%s*" then many() end
      else
        local _ <const> = try '"[^"]*"' or try "%b{}" or try "%b()" or try "%.%.%." or try "[%w_.]+%b<>"
          or try "[%w_.]+"
      end
      while try "%[%]" or try "%?" do end
    until not try "%s*|%s*"
  end
  one()
  return text:sub(1, at - 1), text:sub(at):gsub("^%s+", "")
end

-- A type as Markdown. A bar in code does not end a cell of a table; one in text would.
local function code(text)
  return "`" .. text:gsub("weir%.(%u)", "%1") .. "`"
end

-- Blocks of a definition file: {lines=, head=} where `head` is the line they stand before.
local function blocks(source)
  local list, lines = {}, {}
  for line in source:gmatch "([^\n]*)\n" do
    if line:find "^%-%-%-" then
      lines[#lines + 1] = line:sub(4)
    else
      if #lines > 0 or line:find "^function" then list[#list + 1] = { lines = lines, head = line } end
      lines = {}
    end
  end
  if #lines > 0 then list[#list + 1] = { lines = lines, head = "" } end
  return list
end

local hidden <const> = { package = true, private = true, protected = true }

-- What a block says, tag by tag.
local function read(block)
  local said <const> = { text = {}, params = {}, returns = {}, fields = {}, overloads = {}, choices = {} }
  for _, line in ipairs(block.lines) do
    local tag <const>, rest <const> = line:match "^@(%l+)%s*(.*)$"
    if tag == "async" then
      said.waits = true
    elseif tag == "class" or tag == "alias" then
      said.class, said.aliased = rest:gsub("^%(exact%)%s*", ""):match "^([%w_.]+):?%s*(.*)$"
      said.is_alias = tag == "alias"
    elseif tag == "param" or tag == "field" and not hidden[rest:match "^%l+"] then
      local name <const>, of <const> = rest:match "^(%[.-%])%s+(.*)$"
      local plain <const>, behind <const> = rest:match "^(%S+)%s+(.*)$"
      local type_of <const>, what <const> = take_type(of or behind)
      table.insert(tag == "param" and said.params or said.fields, { name = name or plain, type = type_of, what = what })
    elseif tag == "return" then
      local type_of <const>, what <const> = take_type(rest)
      table.insert(said.returns, { type = type_of, what = what:gsub("^%.%.%.%s*", "") })
    elseif tag == "overload" then
      table.insert(said.overloads, rest)
    elseif line:find "^|" then
      local choice <const>, what <const> = line:match '^| ("[^"]*")%s*(.*)$'
      table.insert(said.choices, { name = choice, type = "", what = what })
    elseif not tag then
      table.insert(said.text, (line:gsub("^ ", "")))
    end
  end
  return said
end

local function add_table(out, heads, rows, row)
  out[#out + 1] = "\n| " .. table.concat(heads, " | ") .. " |\n|" .. ("---|"):rep(#heads)
  for _, entry in ipairs(rows) do out[#out + 1] = "| " .. row(entry) .. " |" end
  out[#out + 1] = ""
end

local function typed(entry)
  return ("`%s` | %s | %s"):format(entry.name, code(entry.type), (entry.what:gsub("|", "\\|")))
end

local function add_function(out, owner, sep, name, arguments, said)
  out[#out + 1] = ("\n### %s%s%s\n"):format(owner, sep, name)
  out[#out + 1] = ("```lua\n%s%s%s(%s)\n```\n"):format(owner, sep, name, arguments)
  local text <const> = table.concat(said.text, "\n")
  if said.waits and not text:find "Waits%." then out[#out + 1] = "*Waits.*" end
  out[#out + 1] = text
  if #said.params > 0 then add_table(out, { "argument", "type", "" }, said.params, typed) end
  for i, value in ipairs(said.returns) do
    out[#out + 1] = ("%s%s %s  "):format(i == 1 and "\nReturns " or "and ", code(value.type), value.what)
  end
  if #said.overloads > 0 then
    out[#out + 1] = "\nAlso:\n\n```lua\n" .. table.concat(said.overloads, "\n") .. "\n```"
  end
end

-- How an object of a class is called in code: weir.Semaphore is `semaphore`, a module's table is itself.
local function object(class)
  return class == "weir" and "weir" or class:find "%.%u[%w_]*$" and class:match("(%u[%w_]*)$"):lower() or class
end

local function add_class(out, class, said)
  out[#out + 1] = ("\n## %s\n"):format(class)
  out[#out + 1] = table.concat(said.text, "\n")
  if said.is_alias and said.aliased ~= "" then out[#out + 1] = code(said.aliased) end
  if not said.is_alias and said.aliased ~= "" then
    out[#out + 1] = ("All that %s has, and more."):format((said.aliased:gsub("[%w_.]+", "`%0`")))
  end
  if #said.choices > 0 then
    add_table(out, { "value", "" }, said.choices, function(entry)
      return ("`%s` | %s"):format(entry.name, entry.what)
    end)
  end
  if #said.fields > 0 then add_table(out, { "field", "type", "" }, said.fields, typed) end
  if #said.overloads > 0 then
    out[#out + 1] = "\nCalled by itself:\n\n```lua\n" .. table.concat(said.overloads, "\n") .. "\n```"
  end
end

--- The pages: a list of {file=, title=, guide=, text=}, of the texts of definition files in their order.
function reference.pages(sources)
  -- page -> classes in order; class -> what is said of it, and its functions.
  local classes_of <const>, classes <const> = {}, {}

  local function class_in(page, class)
    local key <const> = page[1] .. " " .. class
    if not classes[key] then
      classes[key] = { class = class, functions = {} }
      classes_of[page] = classes_of[page] or {}
      table.insert(classes_of[page], classes[key])
    end
    return classes[key]
  end

  for _, source in ipairs(sources) do
    local class_of <const> = {}
    for _, block in ipairs(blocks(source)) do
      local said <const> = read(block)
      local owner <const>, sep <const>, name <const>, arguments <const> =
        block.head:match "^function ([%w_]+)([.:])([%w_]+)%((.-)%) end"
      local variable <const> = block.head:match "^local ([%w_]+)"
      if said.class then
        if variable then class_of[variable] = said.class end
        if said.class ~= "weir" and (#said.fields + #said.choices + #said.text + #said.overloads > 0
          or said.is_alias) then
          local entry <const> = class_in(page_of(said.class), said.class)
          if entry.said then
            table.move(said.fields, 1, #said.fields, #entry.said.fields + 1, entry.said.fields)
          else
            entry.said = said
          end
        end
      elseif owner then
        local class <const> = class_of[owner]
        local page <const> = page_of(class == "weir" and "weir." .. name or class)
        table.insert(class_in(page, class).functions,
          { sep = sep, name = name, arguments = arguments, said = said })
      end
    end
  end
  local list <const> = {}
  for _, page in ipairs(pages) do
    local out <const> = { "# " .. page[2], "",
      ("How to use it: [the guide](../%s.md). What is here is in `types/` too, for language servers."):format(page[3]) }
    local of_page <const> = classes_of[page]
    table.sort(of_page, function(a, b) -- functions first, then objects, then what they take and give
      local function rank(entry)
        local bare <const> = #entry.functions == 0
        return entry.class == "weir" and 0 or not entry.class:find "%.%u[%w_]*$" and 1 or bare and 3 or 2
      end
      if rank(a) ~= rank(b) then return rank(a) < rank(b) end
      local place_a <const>, place_b <const> = select(2, page_of(a.class)), select(2, page_of(b.class))
      if place_a ~= place_b then return place_a < place_b end
      return a.class < b.class
    end)
    for _, entry in ipairs(of_page) do
      if entry.said then
        add_class(out, entry.class, entry.said)
      else
        out[#out + 1] = ("\n## %s\n"):format(entry.class == "weir" and "Functions" or entry.class)
      end
      for _, f in ipairs(entry.functions) do
        add_function(out, object(entry.class), f.sep, f.name, f.arguments, f.said)
      end
    end
    list[#list + 1] = { file = page[1], title = page[2], guide = page[3], text = table.concat(out, "\n") .. "\n" }
  end
  return list
end

return reference
