-- header.lua - a C header as a page: what its comments say is text, what they stand before is code.
--
-- A header opens with `/* name - sentence`, a model, and the guard. After that it is blocks with an empty line
-- between them outside of braces: a comment or none, then declarations. A block gets a heading of the names it
-- declares, so that the search finds them; `/* --- title --- */` opens a part.

local header <const> = {}

-- Text of a comment as Markdown: what would be markup in it is not; what is set in further stays as it is.
local function prose(comment)
  local body <const> = comment:gsub("^/%*%s?", ""):gsub("%s*%*/$", "")
  local out, code = {}, false
  for line in (body .. "\n"):gmatch "([^\n]*)\n" do
    line = line:gsub("^ %* ?", ""):gsub("^%s*%*$", "")
    local is_set_in <const> = line:find "^  +%S" ~= nil
    if is_set_in ~= code and line ~= "" then
      out[#out + 1] = not is_set_in and "```\n" or line:find "[;)]$" and "\n```c" or "\n```text"
      code = is_set_in
    end
    if not code then
      local spans <const> = {}
      line = line:gsub("`[^`]*`", function(span)
        spans[#spans + 1] = span
        return "\1"
      end)
      line = line:gsub("[\\*_%[%]#]", "\\%0"):gsub("<", "&lt;"):gsub("^(%s*)([-+])%s", "%1\\%2 ")
      local n = 0
      line = line:gsub("\1", function() n = n + 1 return spans[n] end)
    end
    out[#out + 1] = line
  end
  if code then out[#out + 1] = "```" end
  return (table.concat(out, "\n"):gsub("\n+```\n\n+", "\n```\n\n"))
end

-- The names that a block declares: functions, macros, types.
local function names(code)
  local found, seen = {}, {}
  local function add(name)
    if name and not seen[name] then
      seen[name] = true
      found[#found + 1] = name
    end
  end
  local flat <const> = code:gsub("/%*.-%*/", ""):gsub("%b{}", "{}")
  for line in flat:gmatch "[^\n]+" do
    add(line:match "^#define (%u[%w_]*)" or line:match "^#define ([%l_][%w_]*)%(")
    if line:find "^typedef" then
      add(line:match "%(%*([%w_]+)%)" or line:match "([%w_]+);$")
    elseif line:find "^struct" or line:find "^enum" then
      add(line:match "^%l+ ([%w_]+)")
    elseif line:find "^%l" then
      add(line:match "([%w_]+)%(")
    end
    add(line:match "^}%s*([%w_]+);")
  end
  return found
end

-- The blocks of `text`, comment and code apart.
local function blocks(text)
  local list, depth, comment, code = {}, 0, nil, {}
  local function close()
    if comment or #code > 0 then list[#list + 1] = { comment = comment, code = table.concat(code, "\n") } end
    comment, code = nil, {}
  end
  local lines <const> = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  local i = 1
  while i <= #lines do
    local line <const> = lines[i]
    if depth == 0 and line == "" then
      close()
    elseif depth == 0 and #code == 0 and line:find "^/%*" then
      local first <const> = i
      while not lines[i]:find "%*/%s*$" do i = i + 1 end
      comment = table.concat(lines, "\n", first, i)
    else
      code[#code + 1] = line
      local bare <const> = line:gsub("/%*.-%*/", "")
      depth = depth + select(2, bare:gsub("{", "")) - select(2, bare:gsub("}", ""))
    end
    i = i + 1
  end
  close()
  return list
end

--- The page of a header, and the sentence that says what it is. `name` is how it is included: "weir/pool.h".
function header.page(name, text)
  local head <const>, rest = text:match "^(/%*.-%*/)\n(.*)$"
  local what <const>, model <const> = head:match "^/%* %S+ %- ([^\n]*)\n?(.*)$"
  rest = rest:gsub("^#ifndef [^\n]*\n#define [^\n]*\n", ""):gsub("\n#endif%s*$", "\n")
  local sentence <const> = (what:gsub("%s*%*/$", ""))
  local out <const> = { "# " .. name, "", prose("/* " .. sentence:gsub("^%l", string.upper)) }
  if model:find "%w" then
    out[#out + 1] = ""
    out[#out + 1] = prose("/*\n" .. model)
  end
  out[#out + 1] = ("\n```c\n#include <%s>\n```\n"):format(name)
  for _, block in ipairs(blocks(rest)) do
    local part <const> = block.comment and block.comment:match "^/%* %-%-%-+ (.-) %-%-%-+ %*/$"
    local code <const> = block.code:gsub("#include [^\n]*\n?", "")
    local declared <const> = names(code)
    if part then
      out[#out + 1] = "\n## " .. part:gsub("^%l", string.upper) .. "\n"
    elseif #declared > 0 then
      local title <const> = #declared > 3 and declared[1] .. " ... " .. declared[#declared]
        or table.concat(declared, ", ")
      out[#out + 1] = ("\n### %s\n"):format(title)
    end
    if block.comment and not part then out[#out + 1] = prose(block.comment) end
    if code:find "%S" then out[#out + 1] = ("\n```c\n%s\n```\n"):format(code) end
  end
  return table.concat(out, "\n") .. "\n", sentence
end

return header
