-- support.child - a server of a demonstration's own: a second process of the interpreter that runs this one.
--
-- The child prints "listening PORT" when it serves on 127.0.0.1 (or why it cannot), and ends when it
-- is asked for /quit or when nobody reads its output any more (support.server does all that). It is
-- in a session of its own, where there is setsid, so that Ctrl-C does not take the server away from
-- requests that are to be finished.

local http = require "weir.http"
local weir = require "weir"

local failure = require "support.failure"
local quoted = require "support.shell".quoted

local child = {}

-- The interpreter that runs this script, as it was called.
local function interpreter()
  local index = 0
  while arg[index - 1] do
    index = index - 1
  end
  return arg[index]
end

--- Start `script` with the words given; closing what is returned ends it, and so does the end of
--- this process. Raises a support.failure if it does not start.
---@param script string
---@return { base: string } server
function child.start(script, ...)
  local words = { "exec $(command -v setsid)", quoted(interpreter()), quoted(script) }
  for _, word in ipairs { ... } do
    words[#words + 1] = quoted(word)
  end
  local pipe, why = io.popen(table.concat(words, " "), "r")
  local said = pipe and pipe:read("l")
  local port = said and said:match("^listening (%d+)$")
  if not port then
    if pipe then
      pipe:close()
      why = said and said:match("^cannot start: (.*)")
    end
    failure.raise("the server of the demonstration did not start" .. (why and ": " .. why or ""))
  end
  local server = { base = ("http://127.0.0.1:%s"):format(port) }
  return setmetatable(server, { __close = function()
    weir.shield(2, pcall, http.get, server.base .. "/quit")
    pipe:close()
  end })
end

--- How many of `n` connections can be open at once: each is a descriptor here and one in the server.
---@param n integer
---@return integer
function child.affordable(n)
  local pipe = io.popen("ulimit -n")
  local descriptors = pipe and tonumber(pipe:read("l")) or 256
  if pipe then
    pipe:close()
  end
  return math.max(1, math.min(n, descriptors - 64))
end

return child
