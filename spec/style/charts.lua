-- charts.lua - what bench/ draws: every row in one group, charts that are well-formed, all of them on the page.
--
-- The run is made here, small, with what a chart could stumble over: nothing but zeros, a goal far off, bars a million
-- times as long as others, letters that XML keeps for itself.

local page = dofile "bench/page.lua"
local rows = dofile "bench/rows.lua"

local function read(name)
  local file <close> = assert(io.open(name))
  return file:read("a")
end

-- Elements open and close in order, attributes are quoted, text has no bare & or <.
local function check_xml(name, text)
  local open = {}
  local function complain(what) error(name .. ": " .. what, 0) end
  local rest = text:gsub("<style>.-</style>", "")
  for between, slash, tag, attributes, alone in rest:gmatch('([^<]*)<(/?)(%w+)([^<>]-)(/?)>') do
    if between:gsub("&%w+;", ""):find "[&>]" then complain("bare letters in " .. between) end
    if slash == "/" then
      if table.remove(open) ~= tag then complain("</" .. tag .. "> closes another") end
    elseif alone == "" then
      open[#open + 1] = tag
    end
    if attributes:gsub('%s[%w-]+="[^"]*"', ""):find "%S" then complain("attributes " .. attributes) end
    if tag == "script" or attributes:find "href" then complain "something that runs, or comes from elsewhere" end
    local width = tonumber(attributes:match ' width="(-?[%d.]+)"') or 0
    local x = tonumber(attributes:match ' x="(-?[%d.]+)"') or 0
    if tag ~= "svg" and (width < 0 or x < -8 or x + width > 448) then
      complain("outside of the chart:" .. attributes)
    end
  end
  if #open > 0 or not rest:find "</svg>\n$" then complain "it does not end" end
  if text:find "nan" or text:find "%d*inf%W" then complain "a number that is none" end
end

local groups = {}
for _, group in ipairs(rows.groups) do
  assert(#group.title <= 52, "the title of the chart is cut off: " .. group.title)
  for name in group.rows:gmatch "%S+" do
    assert(not groups[name], name .. " is in two groups of bench/rows.lua")
    groups[name] = group
  end
end
for _, title in ipairs(rows.titles) do
  assert(groups[title[1]], title[1] .. " is in no group of bench/rows.lua")
  groups[title[1]] = nil
end
assert(next(groups) == nil, "a group has a row without a title: " .. tostring(next(groups)))

local function row(name, unit, ...) return { name = name, unit = unit, n = "1000", ... } end
local text, charts = page.write {
  machine = { "a machine" }, proof = {}, core = {},
  rows = {
    limit_map = { weir = row("limit_map", "ns", 100, 110, 120), ["p-limit"] = row("limit_map", "ns", 3e8),
      ["<&>"] = row("limit_map", "ns", 1) },
    mapped_bytes = { weir = row("mapped_bytes", "bytes", 0) },
    bucket_wait = { weir = row("bucket_wait", "ns", 0) },
    ["parked_bytes@1000"] = { weir = row("parked_bytes", "bytes", 0) },
    ["http@100000"] = { weir = row("http", "ns", 9000), undici = row("http", "ns", 1e4),
      ["libcurl-perform"] = row("http", "ns", 12000) },
  },
}
local function has(what)
  assert(text:find(what, 1, true), text)
end
has "\n2 of 3 goals are met."
has "\n| 100,000 immediate jobs through a limit of 100 | 110 ns | 30.0 ms | met | 1/10 of p-limit, here 300 ms |\n"
has "| 9.00 us | 5.00 us | **missed** | half of undici, here 10.0 us |\n"
has "\n- **one HTTP request of 100,000, 50 in flight, CPU**, half of undici: "
has "| 9.00 us | 12.0 us | 0.75 x | a bare libcurl loop that performs |\n"
has "\n|  | p-limit | 300 ms | 300 ms | 300 ms | 1 | 2,727,273 x |\n"
has "| memory of a sleeping task, one of 1,000 | weir | 0 B |"
assert(not text:find("- **100,000 immediate", 1, true), "a goal that is met needs no reason")
local n = 0
for name, svg in pairs(charts) do
  check_xml(name, svg)
  assert(text:find("](charts/" .. name .. ")", 1, true), name .. " is not on the page")
  assert(svg:find('class="grid"', 1, true), name .. " has no scale")
  n = n + 1
end
assert(n == 4 and charts["limit.svg"]:find("scale: logarithmic", 1, true))
assert(charts["limit.svg"]:find("&lt;&amp;&gt;", 1, true))
assert(charts["http.svg"]:find("scale: from 0", 1, true) and charts["http.svg"]:find('class="goal"', 1, true))

local benchmarks <const> = read "docs/benchmarks.md"
for name in assert(io.popen "ls docs/charts"):lines() do
  check_xml(name, read("docs/charts/" .. name))
  assert(benchmarks:find("](charts/" .. name .. ")", 1, true), name .. " is not on docs/benchmarks.md")
end
