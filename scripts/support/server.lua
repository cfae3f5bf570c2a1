-- support.server - what the servers of demonstrations share: each is a child process (support.child).
--
-- run() says "listening PORT" on standard output, or "cannot start: WHY", then a blank line now and
-- then. It ends when it is asked for /quit, and when nobody reads its output any more.

local found, http = pcall(require, "weir.http")
local weir = require "weir"

local hash = require "support.hash"

local server = {}

local HEARTBEAT <const> = 0.25 -- seconds between two looks whether anybody is there

--- A function of a key and a salt: a number in [0, 1) that depends on them and the seed alone.
---@param seed integer
---@return fun(key: any, salt: integer): number
function server.draws(seed)
  return function(key, salt)
    return (hash(tostring(key), seed ~ (salt << 32)) >> 11) / (1 << 53)
  end
end

--- Seconds that a request is worked on: 3 ms and more, 15 on average, never above 80.
---@param x number drawn from [0, 1)
---@return number
function server.working_time(x)
  return math.min(0.08, 0.003 - 0.012 * math.log(1 - x))
end

local function watch_reader()
  repeat
    weir.sleep(HEARTBEAT)
  until not (io.stdout:write("\n") and io.stdout:flush())
  os.exit(0) -- whoever started this is gone: nobody to answer, nobody to complain to
end

-- What was raised, on one line: of a module that is not found not where it was looked for.
local function cannot_start(why)
  local text = type(why) == "table" and why.message or tostring(why):gsub("^%S*:%d+: ", "")
  io.stdout:write("cannot start: ", (text:match("^[^\n]*"):gsub(":$", "")), "\n")
  io.stdout:flush()
  os.exit(1)
end

--- Serve on a free port of 127.0.0.1. `ending`: what the server is asked for at the end, to let answers that are
--- worked on be given ("drain") or not ("close").
---@param handle fun(request: table): table
---@param ending "drain"|"close"
function server.run(handle, ending)
  local quit
  local function answer(request)
    if request.path == "/quit" then
      quit()
      return { status = 200, body = "bye\n" }
    end
    return handle(request)
  end
  if not found then
    cannot_start(http)
  end
  weir.run(function()
    local fine, made = pcall(http.serve, { host = "127.0.0.1", port = 0 }, answer)
    if not fine then
      cannot_start(made)
    end
    local serving <close> = made
    io.stdout:write(("listening %d\n"):format(serving.port))
    io.stdout:flush()
    weir.race { watch_reader, function() weir.await(function(resume) quit = resume end) end }
    serving[ending](serving)
  end)
end

return server
