-- pages.lua - gathers what the site is made of: lua5.4 tools/docs/pages.lua FOLDER
--
-- Into FOLDER go mkdocs.yml (that of this folder, and the navigation) and pages/: README.md as index.md, docs/x.md as
-- x.md, the C headers below c/, the Lua reference below lua/, and below files/ whatever else a page links to: a page
-- where it is Markdown, itself where it is a picture, else a page that shows it. Links are carried over; the word after
-- three backticks that says how the tests run a block is dropped. Run it from the top of the source tree.

package.path = "tools/docs/?.lua;" .. package.path
local header <const> = require "header"
local reference <const> = require "lua_reference"

local folder <const> = assert(arg[1], "usage: lua5.4 tools/docs/pages.lua FOLDER")

-- The navigation: parts, each a list of pages of docs/ with the words for them. A page that is in no part, or in two,
-- is an error.
local parts <const> = {
  { "Start", "index", "Home", "overview", "All pages", "install", "Installing", "tutorial", "Tutorial",
    "model", "The model", "from-node", "From Node", "from-others", "From OpenResty, copas, Go",
    "catalogue", "The catalogue" },
  { "Guide", "tasks", "Tasks", "fanout", "Fan-out", "errors", "Errors", "semaphore", "Semaphore", "limit", "Limit",
    "bucket", "Bucket", "keyed", "Keyed", "pool", "Pool", "cache", "Cache", "batch", "Batch", "queueing", "Queueing" },
  { "Connectors", "http", "HTTP", "postgres", "PostgreSQL", "sqlite", "SQLite", "connectors", "Writing one" },
  { "Programs", "webhooks", "webhooks", "dedup", "dedup", "dbpool", "dbpool" },
  { "Tools", "host", "The weir program", "test", "Tests on virtual time" },
  { "Lua reference", "lua/" },
  { "C", "embedding", "Embedding", "c-api", "C API", "c/" },
  { "Why", "benchmarks", "Benchmarks", "proof", "Proof", "design", "Design" },
}

local languages <const> = { c = "c", h = "c", lua = "lua", sh = "sh", js = "js", txt = "text" }
local pictures <const> = { svg = true, png = true }

local function read(name)
  local file <close> = io.open(name, "rb")
  return file and file:read "a"
end

local function lines_of(command)
  local pipe <close> = assert(io.popen(command))
  local list <const> = {}
  for line in pipe:lines() do list[#list + 1] = line end
  return list
end

local function write(name, text)
  assert(os.execute(("mkdir -p '%s'"):format((folder .. "/" .. name):match "^(.*)/")))
  local file <close> = assert(io.open(folder .. "/" .. name, "wb"))
  assert(file:write(text))
end

-- Where a file of the tree is on the site, without `.md`.
local function place(path)
  if path == "README.md" then return "index" end
  if path == "docs/README.md" then return "overview" end
  local page <const> = path:match "^docs/(.*)%.md$"
  local c <const> = path:match "include/(weir/.*)%.h$"
  return page or c and "c/" .. c:match "[^/]+$" or "files/" .. path:gsub("%.md$", "")
end

local function normal(path)
  local n
  path = path:gsub("%f[^/\0]%./", "")
  repeat path, n = path:gsub("[^/]+/%.%./", "", 1) until n == 0
  return path
end

-- From a page to what a file of the tree has become: a picture stays one, all else is a page.
local function relative(from, path)
  local up <const> = ("../"):rep(select(2, from:gsub("/", "")))
  return up .. place(path) .. (pictures[path:match "%.(%w+)$"] and "" or ".md")
end

local linked <const>, queue <const> = {}, {} -- what is not a page yet and must become one

-- What looks like a tag in text, as <close> does, is text.
local function plain_tags(line)
  local spans <const> = {}
  line = line:gsub("`[^`]*`", function(span)
    spans[#spans + 1] = span
    return "\1"
  end)
  line = line:gsub("<(/?%a[%w_-]*)>", "&lt;%1>")
  local n = 0
  return (line:gsub("\1", function() n = n + 1 return spans[n] end))
end

-- Markdown of the tree as Markdown of the site.
local function carry(path, text)
  local here <const>, base <const> = place(path), path:match "^(.*/)" or ""
  local out, fenced = {}, false
  for line in text:gmatch "([^\n]*)\n" do
    local fence <const> = line:match "^%s*```(.*)$"
    if fence then
      fenced = not fenced
      line = line:gsub("```(%w+) .*$", "```%1")
    elseif not fenced and not line:find "^    " then
      line = line:gsub("%]%(([^)%s#]+)(#?[^)%s]*)%)", function(target, anchor)
        if target:find "^%a+:" then return nil end
        local file <const> = normal(base .. target)
        if not linked[file] then
          linked[file] = true
          queue[#queue + 1] = file
        end
        return ("](%s%s)"):format(relative(here, file), anchor)
      end)
      line = plain_tags(line)
    end
    out[#out + 1] = line
  end
  return table.concat(out, "\n") .. "\n"
end

-- --- pages ----------------------------------------------------------------------------------------
local function add_page(path, more)
  linked[path] = true
  local text <const> = carry(path, assert(read(path), path))
  local foot <const> = more and ("\nEvery function, with its types: %s.\n"):format(more) or ""
  write(("pages/%s.md"):format(place(path)), text .. foot)
end

local sources <const> = {}
for _, path in ipairs(lines_of "LC_ALL=C ls types/weir.lua types/weir/*.lua") do sources[#sources + 1] = read(path) end
local modules <const> = reference.pages(sources)
local reference_of <const> = {} -- a page of docs/ -> what its last line leads to
for _, module in ipairs(modules) do
  write(("pages/lua/%s.md"):format(module.file), module.text)
  reference_of[module.guide] = (reference_of[module.guide] and reference_of[module.guide] .. ", " or "")
    .. ("[%s](lua/%s.md)"):format(module.title, module.file)
end
reference_of.sqlite = reference_of.postgres

add_page "README.md"
local written <const> = {}
for _, path in ipairs(lines_of "LC_ALL=C ls docs/*.md") do
  written[place(path)] = true
  add_page(path, reference_of[place(path)])
end
written.index = true

local headers <const> = {}
for _, path in ipairs(lines_of "LC_ALL=C ls core/include/weir/*.h bindings/include/weir/*.h") do
  linked[path] = true
  local name <const> = path:match "weir/[^/]+$"
  local text <const>, what <const> = header.page(name, assert(read(path)))
  local file <const> = place(path)
  write(("pages/%s.md"):format(file), text)
  headers[#headers + 1] = { name = name, file = file, what = what }
end

while #queue > 0 do
  local path <const> = table.remove(queue)
  local text <const> = read(path)
  local language <const> = languages[path:match "%.(%w+)$" or ""]
  if path:find "%.md$" and text then
    if not written[place(path)] and path ~= "README.md" then add_page(path) end
  elseif text and pictures[path:match "%.(%w+)$"] then
    write("pages/" .. place(path), text)
  elseif language and text and not path:find "include/weir/" then
    write(("pages/%s.md"):format(place(path)), ("# %s\n\n````%s\n%s````\n"):format(path, language, text))
  end
end

-- --- navigation -----------------------------------------------------------------------------------
local nav <const> = { "", "nav:" }
local named <const> = {}

local function add_entry(words, file)
  nav[#nav + 1] = ("    - %q: %s.md"):format(words, file)
end

for _, part in ipairs(parts) do
  nav[#nav + 1] = ("  - %q:"):format(part[1])
  for i = 2, #part, 2 do
    local page <const>, words <const> = part[i], part[i + 1]
    if page == "lua/" then
      for _, module in ipairs(modules) do add_entry(module.title, "lua/" .. module.file) end
    elseif page == "c/" then
      for _, entry in ipairs(headers) do add_entry(entry.name, entry.file) end
    else
      if not written[page] then error(("tools/docs/pages.lua names docs/%s.md, which is not there"):format(page), 0) end
      if named[page] then error(("docs/%s.md is twice in tools/docs/pages.lua"):format(page), 0) end
      named[page] = true
      add_entry(words, page)
    end
  end
end
for page in pairs(written) do
  if not named[page] then error(("docs/%s.md is in no part of tools/docs/pages.lua"):format(page), 0) end
end

write("mkdocs.yml", assert(read "tools/docs/mkdocs.yml") .. table.concat(nav, "\n") .. "\n")
