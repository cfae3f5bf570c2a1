-- docs_spec.lua - what the pages of docs/ show is what happens.
--
-- By the word after the three backticks:
--   lua        run in a task, on virtual time; `--> text` is what is printed, in that order, blanks
--              counted as one
--   lua real   the same in real time: sockets, files; DATABASE_URL is that of a PostgreSQL started for it
--   lua module a file for the other blocks of the page, named by its first line; likewise
--   c module   a module that is compiled
--   c          a program over libweir that must end well
--   console    each line after `$ ` is given to the shell, and prints the lines that follow
-- Blocks without such a word are only shown.

local helper = require "support.helper"
local postgres = require "support.postgres"

local database_url -- while there is a server

local function quote(text)
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

local function write(name, text)
  local file <close> = assert(io.open(name, "w"))
  file:write(text)
end

-- {word=, text=, line=, page=} for each block of a page.
local function blocks(name)
  local found, block, n = {}, nil, 0
  for line in io.lines(name) do
    n = n + 1
    local word = line:match("^```(.*)$")
    if block and word then
      block.text, block.page = table.concat(block, "\n") .. "\n", name
      found[#found + 1], block = block, nil
    elseif word then
      block = { word = word, line = n }
    elseif block then
      block[#block + 1] = line
    end
  end
  return found
end

local function squeeze(text)
  return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

local function lines(text)
  local list = {}
  for line in text:gmatch("[^\n]+") do list[#list + 1] = squeeze(line) end
  return list
end

-- What a block prints, a line each.
local function run(block, in_time)
  local got = {}
  local env = setmetatable({
    os = setmetatable({
      getenv = function(name) return name == "DATABASE_URL" and database_url or os.getenv(name) end,
    }, { __index = os }),
    print = function(...)
      local words = table.pack(...)
      for i = 1, words.n do words[i] = tostring(words[i]) end
      got[#got + 1] = table.concat(words, " ")
    end,
  }, { __index = _G })
  local chunk = assert(load(("\n"):rep(block.line) .. block.text, "@" .. block.page, "t", env))
  in_time(chunk)
  return lines(table.concat(got, "\n"))
end

local function check_lua(block, in_time)
  local wanted = {}
  for said in block.text:gmatch("%-%->([^\n]*)") do wanted[#wanted + 1] = squeeze(said) end
  local got = run(block, in_time)
  if #wanted > 0 then assert.same(wanted, got) end
end

-- What the shell says, in a folder of its own, where `weir` is a command. The sanitizers' library, which plain
-- lua5.4 is started with, is not for compilers.
local function shell(folder, command)
  local line = ('unset LD_PRELOAD; cd %s && weir() { "$WEIR" "$@"; } && { %s\n} 2>&1'):format(quote(folder), command)
  local pipe = assert(io.popen(line))
  local output = pipe:read("a")
  local ok = pipe:close()
  return output, ok
end

local function check_console(block, folder)
  local command, wanted = nil, {}
  local function settle()
    if command then
      assert.same({ command, wanted }, { command, lines((shell(folder, command))) })
    end
    wanted = {}
  end
  for line in block.text:gmatch("[^\n]+") do
    local given = line:match("^%$ (.*)")
    if given then
      settle()
      command = given
    else
      wanted[#wanted + 1] = squeeze(line)
    end
  end
  settle()
end

local function compile(block, folder)
  local name = block.text:match("^/%* ([%w_]+)%.c %- ")
  assert(name, "a C block opens with its name")
  write(folder .. "/" .. name .. ".c", block.text)
  local top = os.getenv("WEIR_SOURCE")
  local flags = ("-std=gnu11 -Wall -Wextra -Werror -I%s -I%s"):format(
    quote(top .. "/core/include"), quote(top .. "/bindings/include"))
  local command
  if block.word == "c" then
    command = ("$CC %s %s.c -L\"$WEIR_BUILD/lib\" -lweir -o %s && LD_LIBRARY_PATH=\"$WEIR_BUILD/lib\" ./%s")
      :format(flags, name, name, name)
  else
    command = ("$CC %s $(pkg-config --cflags lua5.4) -fPIC -shared %s.c -o %s.so"):format(flags, name, name)
  end
  local output, ok = shell(folder, command)
  assert(ok, output)
end

-- What other blocks of the page need is made before any of them runs: their order is not ours.
local prepare = {
  ["lua module"] = function(block, folder)
    write(folder .. "/" .. assert(block.text:match("^%-%- ([%w_]+%.lua) "), "a module opens with its name"), block.text)
  end,
  ["c module"] = compile,
}

local check = {
  lua = function(block) check_lua(block, helper.run) end,
  ["lua real"] = function(block) check_lua(block, function(chunk) helper.real(chunk)() end) end,
  console = check_console,
  c = compile,
}

local function needs_postgres(block)
  return block.word ~= "" and block.text:find('require "weir.postgres"', 1, true)
end

-- Why a block cannot run in this build, or nil.
local function missing(block)
  if block.word == "c" and os.getenv("WEIR_KIND") == "asan" then
    return "programs over a libweir that the sanitizers watch"
  end
  if needs_postgres(block) and not (postgres.found and pcall(require, "weir.postgres")) then
    return "needs libpq's module and PostgreSQL"
  end
  if block.text:find('require "weir.http"', 1, true) then
    for _, name in ipairs { "weir.http.curl", "weir.http.microhttpd" } do
      if not pcall(require, name) then return name .. " was not built" end
    end
  end
  if block.text:find('require "weir.sqlite"', 1, true) and not pcall(require, "weir.sqlite.sqlite3") then
    return "weir.sqlite.sqlite3 was not built"
  end
  return nil
end

for page in assert(io.popen("LC_ALL=C ls docs/*.md")):lines() do
  local list = blocks(page)
  describe(page, function()
    local folder, path, cpath, server
    setup(function()
      for _, block in ipairs(list) do
        if not server and needs_postgres(block) and not missing(block) then
          server = postgres.start()
          database_url = server:url()
        end
      end
      folder = os.tmpname()
      os.remove(folder)
      assert(os.execute("mkdir " .. quote(folder)))
      path, cpath = package.path, package.cpath
      package.path = folder .. "/?.lua;" .. path
      package.cpath = folder .. "/?.so;" .. cpath
      for _, block in ipairs(list) do
        if prepare[block.word] then prepare[block.word](block, folder) end
      end
    end)
    teardown(function()
      if server then server:stop() end
      database_url = nil
      package.path, package.cpath = path, cpath
      os.execute("rm -r " .. quote(folder))
    end)

    for _, block in ipairs(list) do
      local why = missing(block)
      if why then
        pending(("line %d: %s"):format(block.line, why))
      elseif check[block.word] then
        it(("line %d: %s"):format(block.line, block.word), function() check[block.word](block, folder) end)
      end
    end
  end)
end
