--- weir.http.server - `http.serve(options, handler)`: a server whose every request is a task.
--
-- The server is a child of the current scope: one task of it owns the sockets, and the tasks of
-- the requests are below that one. So the scope does not end before the server, and a cancel of
-- the scope reaches every handler. How it can end:
--   server:drain()  stops listening, lets requests finish, closes idle connections, returns then
--   server:close()  cancels the handlers, waits for their cleanup, closes all (also `<close>`)
-- A handler gets {method, path, query, query_string, headers, body, remote, target} and returns
-- {status=, headers=, body=}; of a query name that is repeated the last value counts. A body that
-- is a function gives strings until nil and may wait; it is sent as it comes, no faster than the
-- client reads. So is one with a `read` method (a file, a streamed response), which is closed
-- whatever becomes of the answer. Whatever else a handler does is a 500 and a report, and hurts nobody.

local core <const> = require "weir.core"
local microhttpd <const> = require "weir.http.microhttpd"

---@class (exact) weir.http.Request
---@field method string as sent: "GET" ...
---@field target string as sent: "/a%20b?x=1"
---@field path string decoded: "/a b"
---@field query table<string, string> decoded; of a repeated name the last value
---@field query_string string as sent, "" if there is none
---@field headers table<string, string> by lower-case name; repeated ones joined by ", "
---@field body string "" if there is none
---@field remote string the client's address

---@class weir.http.Reply
---@field status integer 200 to 599
---@field headers? table<string, string|number|(string|number)[]> a list is a header for each value
---@field body? weir.http.Body a function gives chunks until nil, and may wait; what has `read` is read, and closed

---@class (exact) weir.http.ServeOptions
---@field host? string an IP address, "localhost" or "*"; "127.0.0.1" unless said
---@field port? integer 0, the default, is a free one
---@field name? string for reports
---@field backlog? integer connections that the system keeps before they are accepted; 1024
---@field max_connections? integer 10000, or three quarters of the descriptors; more wait
---@field max_header? integer bytes of a head, a request's (else 431) and a response's; 8192
---@field max_body? integer bytes of a request's body, else 413; 8 MiB
---@field body_timeout? number seconds for all of a request's body, however it trickles, else 408; 30
---@field max_buffered? integer bytes of bodies that no handler has yet, in all, else 503; 256 MiB, or max_body
---@field idle_timeout? number seconds until a head is here, and (whole ones) without progress of a body or answer; 60

---@class (exact) weir.http.ServerStats
---@field connections integer open now
---@field max_connections integer
---@field active integer requests whose handler runs
---@field accepted integer connections, ever
---@field requests integer heads read, ever
---@field errors integer handlers that failed
---@field left integer clients that did not wait for the answer
---@field timeouts integer connections closed because no request, or not all of it, came in time
---@field buffered integer bytes of bodies that no handler has yet
---@field refused { head: integer, body: integer, malformed: integer, closing: integer, buffered: integer }

local SERVE <const> = "http.serve"
local PATH_MOST <const> = 200 -- bytes of a method and a path in a report
local WHOLE <const> = 64 * 1024 -- a larger body is not copied, but kept until it was sent
local CHUNK <const> = 64 * 1024 -- asked of a file at a time

local known = {
  host = true, port = true, name = true, backlog = true, max_connections = true,
  max_header = true, max_body = true, idle_timeout = true, body_timeout = true,
  max_buffered = true,
}

-- Message handler: the text of the report, with the stack; a cancel stays what it is.
local function explain(err)
  return core.kind(err) == "cancelled" and err or debug.traceback(tostring(err), 2)
end

local function stream(box, response, body)
  if not box:stream(response.status, response.headers) then
    return
  end
  for chunk in body do
    if type(chunk) ~= "string" then
      core.misuse(SERVE, "a body function must return strings until nil, got %s", type(chunk))
    end
    if not box:write(chunk) then
      return
    end
  end
  box:finish()
end

-- A body that is read: a file, the response of another server.
local function stream_and_close(box, response, body)
  local _ <close> = setmetatable({}, { __close = function()
    if body.close then
      body:close()
    end
  end })
  stream(box, response, function() return body:read(CHUNK) end)
end

-- The `read` of what is no string and no function, or nil.
local function reads(body)
  local kind = type(body)
  return (kind == "table" or kind == "userdata") and body.read
end

local function respond(box, response)
  if type(response) ~= "table" then
    core.misuse(SERVE, "the handler must return a table {status=, headers=, body=}, got %s", type(response))
  end
  local body = response.body
  local kind = type(body)
  if kind == "function" then
    stream(box, response, body)
  elseif reads(body) then
    stream_and_close(box, response, body)
  elseif kind ~= "string" and kind ~= "nil" then
    core.misuse(SERVE, "'body' of a response must be a string, a function or have a read method, got %s", kind)
  elseif body and #body > WHOLE then
    if box:stream(response.status, response.headers, #body) and box:write(body) then
      box:finish()
    end
  else
    box:respond(response.status, response.headers, body)
  end
end

-- Is the running task cancelled? An error of kind `cancelled` alone may be another task's.
local function is_cancelled(err)
  return core.kind(err) == "cancelled" and not pcall(core.checkpoint)
end

-- The function of a server's request tasks. It must not fail, or the server would.
local function serve_with(handler, report)
  local function answer(box, request)
    respond(box, handler(request))
  end
  return function(box)
    local _ <close> = box -- without an answer the connection is closed here
    local ok, request = pcall(box.request, box)
    if ok and not request then return end -- the client has left
    local err, method, path = request, nil, nil
    if ok then
      method, path = request.method, request.path -- now: the handler may write there
      ok, err = xpcall(answer, explain, box, request)
    end
    if not ok and not is_cancelled(err) then
      pcall(report, err, box, method, path)
    end
  end
end

-- "GET /path" for a report: what a client sent must not write lines of its own there.
local function describe(method, path)
  local text = ("%s %s"):format(method or "?", path or "?")
  if #text > PATH_MOST then text = text:sub(1, PATH_MOST) .. "..." end
  return (text:gsub("%c", function(ch) return ("\\x%02X"):format(ch:byte()) end))
end


---@class weir.http.Server
---@field host string
---@field port integer
---@field name? string
local methods = {}
local server_meta = { __name = "weir.http.server", __index = methods }

-- The body of the task that owns the sockets.
local function own(handle)
  local _ <close> = handle
  core.scope(function()
    handle:accept()
  end)
end

--- Close at once: handlers are cancelled, then everything is closed. Idempotent.
---@async
---@param reason? any what the handlers' `cancelled` says
function methods:close(reason)
  core.check_self(self, server_meta, "server:close")
  self._owner:cancel(reason or "the server was closed")
  self._owner:pawait()
end

--- Refuse new connections, let requests finish, close idle connections; returns when all are gone.
---@async
function methods:drain()
  core.check_self(self, server_meta, "server:drain")
  self._handle:drain()
  self._owner:pawait()
end

--- A snapshot.
---@return weir.http.ServerStats
function methods:stats()
  core.check_self(self, server_meta, "server:stats")
  return self._handle:stats()
end

function server_meta:__close()
  self._owner:cancel("the server was closed")
  pcall(self._owner.pawait, self._owner) -- the scope waits for it in any case
end

function server_meta:__tostring()
  return ("weir.http.server%s: %s:%d"):format(self.name and " '" .. self.name .. "'" or "", self.host, self.port)
end

local function check_port(port)
  port = port == nil and 0 or port
  if math.type(port) ~= "integer" or port < 0 or port > 65535 then
    core.misuse(SERVE, "'port' must be an integer from 0 to 65535, got %s", tostring(port))
  end
  return port
end

-- A bound; math.huge for none is as much as there can be.
local function check_bound(value, name, default)
  local n <const> = core.check_count(value, SERVE, name, default, true)
  return n == math.huge and math.maxinteger or n
end

local function check_text(value, name)
  if value ~= nil and type(value) ~= "string" then
    core.misuse(SERVE, "'%s' must be a string, got %s", name, type(value))
  end
  return value
end

local hosts = { localhost = "127.0.0.1", ["*"] = "0.0.0.0" }

--- Serve HTTP/1.1, from now on until the server is closed or the current scope is cancelled.
---@async
---@param options weir.http.ServeOptions
---@param handler async fun(request: weir.http.Request): weir.http.Reply
---@return weir.http.Server
local function serve(options, handler)
  core.check_options(options, SERVE, known)
  if type(handler) ~= "function" then
    core.misuse(SERVE, "'handler' must be a function, got %s", type(handler))
  end
  local host = check_text(options.host, "host") or "127.0.0.1"
  local name = check_text(options.name, "name")
  local handle
  local who <const> = name and ("a handler of %s '%s'"):format(SERVE, name) or "a handler of " .. SERVE
  local function report(err, box, method, path)
    handle:report(err, ("%s (%s)"):format(who, describe(method, path)))
    if box:pending() then
      box:respond(500, { ["content-type"] = "text/plain" }, "Internal Server Error")
    end
  end
  local max_body <const> = check_bound(options.max_body, "max_body", 8 * 1024 * 1024)
  handle = microhttpd.listen(
    serve_with(handler, report), hosts[host] or host, check_port(options.port),
    core.check_count(options.backlog, SERVE, "backlog", 1024),
    check_bound(options.max_connections, "max_connections", 0),
    core.check_count(options.max_header, SERVE, "max_header", 8 * 1024),
    max_body,
    core.check_seconds(options.idle_timeout, SERVE, "idle_timeout", 60),
    core.check_seconds(options.body_timeout, SERVE, "body_timeout", 30),
    check_bound(options.max_buffered, "max_buffered", math.max(256 * 1024 * 1024, max_body))
  )
  local owner <const> = core.spawn(own, handle)
  -- A task that is cancelled before it started never runs: see it start, or close the sockets.
  local ok, err = pcall(core.checkpoint)
  if not ok then
    handle:stop()
    error(err, 0)
  end
  return setmetatable({ _handle = handle, _owner = owner, host = host, port = handle:port(), name = name }, server_meta)
end

return { serve = serve }
