-- links.lua - every relative link in a Markdown page leads to a file that is there.

local failed = false

local command = [[find . -type d '(' -name 'build*' -o -name node_modules ')' -prune -o -name '*.md' -print]]
for page in assert(io.popen(command)):lines() do
  local folder = page:match("^(.*/)")
  local file <close> = assert(io.open(page))
  for target in file:read("a"):gmatch("%]%(([^)%s]+)%)") do
    local path = target:gsub("#.*$", "")
    if path ~= "" and not path:find("^%a+:") then
      local there = io.open(folder .. path)
      if there then
        there:close()
      else
        io.stderr:write(page, " links to ", target, ", which is not there\n")
        failed = true
      end
    end
  end
end
os.exit(not failed)
