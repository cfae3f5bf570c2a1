-- dedup.serve - the proxy behind a socket: stats, a log, and an orderly end.
--
-- serve(given) returns an object with `port`, stats() and drain(); closing it ends everything at once.

local http = require "weir.http"
local json = require "weir.json"
local weir = require "weir"

local new_proxy = require "dedup.proxy".new

local served = {}
served.__index = served

local function log_line(request, answer, seconds)
  io.stderr:write(("%s %s %s %s %d %s %.1f ms\n"):format(os.date("!%Y-%m-%dT%H:%M:%SZ"), request.remote, request.method,
    request.target:gsub("[%c\x80-\xff]", "?"), answer.status, answer.headers and answer.headers["x-cache"] or "-",
    seconds * 1000))
end

function served:stats()
  local stats = self.proxy:stats()
  stats.connections = self.server:stats().connections
  return stats
end

--- Take no new connections, let requests finish.
---@async
function served:drain()
  self.server:drain()
end

function served:__close()
  self.server:close()
  self.proxy:close()
end

---@param given table as dedup.options makes it
return function(given)
  local proxy = new_proxy(given)
  local self = setmetatable({ proxy = proxy }, served)
  local function handle(request)
    if request.path == given.stats_path then
      return { status = 200, headers = { ["content-type"] = "application/json", ["cache-control"] = "no-store" },
        body = json.encode(self:stats()) .. "\n" }
    end
    local began <const> = weir.now()
    local answer = proxy:handle(request)
    if given.log then
      log_line(request, answer, weir.now() - began)
    end
    return answer
  end
  local fine, server = pcall(http.serve, { host = given.listen.host, port = given.listen.port, name = "dedup" }, handle)
  if not fine then
    proxy:close()
    error(server, 0)
  end
  self.server, self.port = server, server.port
  return self
end
