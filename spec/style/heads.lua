-- heads.lua - the pages of the primitives have the same heads, in the same order.
--
-- A page says what it is for before its first head; then comes an example, when to use it, options and calls (the
-- connectors have them by what they are of), anything of its own, what goes wrong, what it costs, see also.

local first <const> = { "An example", "When to use it, and when not" }
local use <const> = { "Options", "Calls" }
local last <const> = { "What goes wrong, and how it says so", "What it costs", "See also" }

local failed = false

local function check(name, has_options)
  local heads <const>, fenced, blocks = {}, false, 0
  for line in io.lines(("docs/%s.md"):format(name)) do
    if line:find "^```" then
      fenced = not fenced
      if fenced and #heads == 1 and line:find "^```lua" then blocks = blocks + 1 end
    elseif not fenced and line:find "^## " then
      heads[#heads + 1] = line:sub(4)
    end
  end
  local function expect(n, wanted)
    if heads[n] ~= wanted then
      io.stderr:write(("docs/%s.md: head %d is %q, expected %q\n"):format(name, n, heads[n] or "none", wanted))
      failed = true
    end
  end
  for i, head in ipairs(first) do expect(i, head) end
  if has_options then
    for i, head in ipairs(use) do expect(#first + i, head) end
  end
  for i, head in ipairs(last) do expect(#heads - #last + i, head) end
  if blocks == 0 then
    io.stderr:write(("docs/%s.md: the example shows no Lua\n"):format(name))
    failed = true
  end
end

for name in ("tasks fanout semaphore limit bucket keyed pool cache batch queueing test"):gmatch "%a+" do
  check(name, true)
end
for name in ("http postgres sqlite"):gmatch "%a+" do check(name, false) end
os.exit(not failed)
