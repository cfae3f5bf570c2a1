-- check.lua - the site that was built is whole: lua5.4 tools/docs/check.lua FOLDER
--
-- Every link, script, style and image of every page leads to a file that is there, and to an anchor that it has.
-- Nothing is loaded from elsewhere: other hosts are linked to, never fetched from. Each page has a title of its own
-- and one heading of the first rank. The search knows each part of the library.

local folder <const> = assert(arg[1], "usage: lua5.4 tools/docs/check.lua FOLDER")
local failed = false

local function complain(page, what)
  io.stderr:write(page, ": ", what, "\n")
  failed = true
end

local function read(name)
  local file <close> = io.open(folder .. "/" .. name, "rb")
  return file and file:read "a"
end

local there <const>, pages <const> = {}, {}
local pipe = assert(io.popen(("cd '%s' && find . -type f -print | LC_ALL=C sort"):format(folder)))
for line in pipe:lines() do
  local name <const> = line:sub(3)
  there[name] = true
  if name:find "%.html$" and name ~= "404.html" then pages[#pages + 1] = name end
end
pipe:close()

local text <const>, anchors <const> = {}, {}
for _, page in ipairs(pages) do
  text[page] = read(page)
  anchors[page] = {}
  for id in text[page]:gmatch '%sid="([^"]*)"' do anchors[page][id] = true end
end

-- What `target` names, seen from `page`.
local function resolve(page, target)
  local path = ("/" .. (page:match "^(.*/)" or "") .. target):gsub("/%./", "/")
  local n
  repeat path, n = path:gsub("/[^/]+/%.%./", "/", 1) until n == 0
  path = path:gsub("/%.$", "/"):gsub("^/", "")
  return (path == "" or path:find "/$") and path .. "index.html" or path
end

local function check_target(page, target)
  local path <const>, anchor <const> = target:gsub("&amp;", "&"):match "^([^#?]*)[^#]*#?(.*)$"
  local file <const> = path == "" and page or resolve(page, path)
  if not there[file] then
    complain(page, "links to " .. target .. ", which is not there")
  elseif anchor ~= "" and anchors[file] and not anchors[file][anchor] and anchor:sub(1, 2) ~= "__" then
    complain(page, "links to " .. target .. ", an anchor that is not there")
  end
end

-- --- links ----------------------------------------------------------------------------------------
local titles <const> = {}
for _, page in ipairs(pages) do
  for tag in text[page]:gmatch "<%a[^>]*>" do
    local name <const> = tag:match "^<(%a+)"
    for attribute, target in tag:gmatch '%s([%a]+)="([^"]*)"' do
      if attribute == "href" or attribute == "src" then
        if not target:find "^%a+:" then
          check_target(page, target)
        elseif attribute == "src" or name == "link" then
          complain(page, "loads " .. target)
        end
      end
    end
  end
  local title <const> = text[page]:match "<title>%s*(.-)%s*</title>"
  if not title or title == "" then
    complain(page, "has no title")
  elseif titles[title] then
    complain(page, ("has the title of %s, %q"):format(titles[title], title))
  end
  titles[title or ""] = page
  local n <const> = select(2, text[page]:gsub("<h1[%s>]", ""))
  if n ~= 1 then complain(page, n .. " headings of the first rank") end
end
for name in pairs(there) do
  if name:find "%.css$" then
    for target in read(name):gmatch "url%(%s*[\"']?([^)\"']+)" do
      if target:find "^https?:" or target:find "^//" then complain(name, "loads " .. target) end
    end
  end
end

-- --- search ---------------------------------------------------------------------------------------
local index <const> = read "search/search_index.json" or ""
local known <const> = "semaphore limit bucket keyed pool cache batch fanout tasks queueing http postgres sqlite test"
for name in known:gmatch "%a+" do
  if not index:find(('"location":"%s.html'):format(name), 1, true) then
    complain("search/search_index.json", "does not know " .. name .. ".html")
  end
end
for _, word in ipairs { "weir_semaphore_acquire", "retry_after", "try_acquire", "max_waiting" } do
  if not index:find(word, 1, true) then complain("search/search_index.json", "does not know the word " .. word) end
end
if #pages < 60 then complain(folder, "only " .. #pages .. " pages") end
os.exit(not failed)
