-- support/rude_server.lua - a server that breaks the rules, in a process of its own.
--
--   local server = rude.start()     server:url(behaviour)     server:stop()
--
-- Each connection serves one request, whose path names what is done to it: see `behave`. The
-- process is plain Lua with luv, so that it can be killed and knows nothing of weir. It ends with
-- the process that started it, should that forget to stop it.
-- rude.found is false where there is no luv.

local rude = { found = (pcall(require, "luv")) }

local function serve(parent)
  local uv = require "luv"
  local head = "HTTP/1.1 200 OK\r\nContent-Length: "

  local bomb
  local function gzip_bomb()
    if not bomb then
      local pipe <close> = assert(io.popen("head -c 68157440 /dev/zero | gzip"))
      bomb = pipe:read("a")
    end
    return bomb
  end

  local counters = { accepted = 0, open = 0, most = 0, body = 0 }

  -- path -> what to do with the socket once the request's headers are there
  local behave = {
    malformed = function(s) s:write("HTTQ/1.1 two hundred\r\n\r\n") s:shutdown() end,
    ["no-colon"] = function(s) s:write("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n") s:shutdown() end,
    ["bad-length"] = function(s) s:write(head .. "-7\r\n\r\n") s:shutdown() end,
    ["bad-chunk"] = function(s)
      s:write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n")
    end,
    ["bad-gzip"] = function(s)
      s:write(head .. "5\r\nContent-Encoding: gzip\r\n\r\nhello") s:shutdown()
    end,
    ["gzip-bomb"] = function(s) -- 65 MiB of zeros
      local packed = gzip_bomb()
      s:write(head .. #packed .. "\r\nContent-Encoding: gzip\r\n\r\n") s:write(packed) s:shutdown()
    end,
    short = function(s) s:write(head .. "100\r\n\r\nonly this") s:shutdown() end,
    ["short-chunk"] = function(s)
      s:write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n") s:shutdown()
    end,
    nothing = function(s) s:shutdown() end,
    reset = function(s) s:close_reset() end,
    silent = function() end,
    flood = function(s)
      s:write("HTTP/1.1 200 OK\r\n")
      local line = "X-Flood: " .. ("x"):rep(1000) .. "\r\n"
      for _ = 1, 400 do s:write(line) end
    end,
    ["flood-of-hints"] = function(s)
      local block = "HTTP/1.1 103 Early Hints\r\nX-Flood: " .. ("x"):rep(10000) .. "\r\n\r\n"
      for _ = 1, 40 do s:write(block) end
    end,
    nul = function(s) s:write("HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 0\r\n\r\n") s:shutdown() end,
    secure = function(s)
      s:write("HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n") s:shutdown()
    end,
    kill = function(s)
      s:write(head .. "100\r\n\r\nhalf of it", function() uv.kill(uv.os_getpid(), "sigkill") end)
    end,
    bomb = function(s) -- one write at a time, without end
      s:write("HTTP/1.1 200 OK\r\n\r\n")
      local chunk = ("x"):rep(65536)
      local function on(err)
        if err then return end
        counters.body = counters.body + #chunk
        s:write(chunk, on)
      end
      on()
    end,
    sent = function(s)
      local n = tostring(counters.body)
      s:write(head .. #n .. "\r\n\r\n" .. n) s:shutdown()
    end,
    most = function(s)
      local n = counters.most .. " " .. counters.accepted
      s:write(head .. #n .. "\r\n\r\n" .. n) s:shutdown()
    end,
    folded = function(s)
      s:write("HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n") s:shutdown()
    end,
    early = function(s) -- an answer before the body was read; what comes of it is dropped
      s:write("HTTP/1.1 413 Too Large\r\nContent-Length: 6\r\nConnection: close\r\n\r\nno way")
    end,
    hints = function(s)
      s:write("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" .. head .. "2\r\nX-A: b\r\n\r\nok") s:shutdown()
    end,
    trailer = function(s)
      s:write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n"
        .. "2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n") s:shutdown()
    end,
    elsewhere = function(s)
      s:write("HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/\r\nContent-Length: 0\r\n\r\n") s:shutdown()
    end,
    ["once"] = function(s) -- keeps the connection, then drops it when it is used again
      s:write(head .. "4\r\n\r\nonce")
      s.kept = true
    end,
    ["once-reset"] = function(s)
      s:write(head .. "4\r\n\r\nonce")
      s.kept, s.is_reset = true, true
    end,
    wait = function(s) -- answers in a moment, to see how many come at once
      local timer = uv.new_timer()
      timer:start(30, 0, function()
        timer:close()
        if not s.socket:is_closing() then s:write(head .. "2\r\n\r\nok") s:shutdown() end
      end)
    end,
  }

  local function on_connection(listener)
    local socket = uv.new_tcp()
    listener:accept(socket)
    counters.accepted = counters.accepted + 1
    counters.open = counters.open + 1
    counters.most = math.max(counters.most, counters.open)
    local got, answered = "", false
    local s = { socket = socket }
    local function close()
      if not socket:is_closing() then
        counters.open = counters.open - 1
        socket:close()
      end
    end
    function s:write(text, done) socket:write(text, done) end -- luacheck: ignore self
    function s:shutdown() socket:shutdown(close) end -- luacheck: ignore self
    function s:close_reset() -- luacheck: ignore self
      counters.open = counters.open - 1
      socket:close_reset()
    end
    socket:read_start(function(err, data)
      if err or not data then return close() end
      got = got .. data
      if answered then
        if s.is_reset then
          s:close_reset()
        elseif s.kept then
          close()
        end
        return
      end
      local path = got:match("^%u+ /(%S*) HTTP/1.1\r\n.-\r\n\r\n")
      if path then
        answered = true
        ;(behave[path] or behave.nothing)(s)
      end
    end)
  end

  local orphan = uv.new_timer()
  orphan:start(500, 500, function()
    if uv.kill(parent, 0) ~= 0 then os.exit(0) end
  end)
  local listener = uv.new_tcp()
  listener:bind("127.0.0.1", 0)
  listener:listen(4096, function() on_connection(listener) end)
  io.write(listener:getsockname().port, " ", uv.os_getpid(), "\n")
  io.flush()
  uv.run()
end

local server = {}
server.__index = server

function server:url(behaviour)
  return ("http://127.0.0.1:%d/%s"):format(self.port, behaviour)
end

function server:stop()
  os.execute(("kill -KILL %d 2>/dev/null"):format(self.pid))
  self.pipe:close()
end
server.__close = server.stop

--- Start one.
function rude.start()
  local self = setmetatable({}, server)
  local file = debug.getinfo(1, "S").source:match("^@(.*)$")
  -- a sanitizer's preload is not for it, and a client that leaves must not end it
  local command = "unset LD_PRELOAD; trap '' PIPE; LUA_CPATH='%s' lua5.4 %s serve $PPID &"
  self.pipe = assert(io.popen(command:format(package.cpath, file)))
  self.port, self.pid = self.pipe:read("n", "n")
  assert(self.port, "the rude server did not start")
  return self
end

if (...) == "serve" then serve(tonumber((select(2, ...)))) end

return rude
