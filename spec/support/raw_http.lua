-- support/raw_http.lua - a client that says exactly what it is told to, byte by byte.
--
-- For what a well-behaved client cannot do: half requests, pipelines, two lengths at once,
-- leaving in the middle, not reading. Sockets are luv's, on weir's own loop; every call that
-- must wait does so as a task. raw.uv is nil where luv is not installed.

local weir = require "weir"

local found, uv = pcall(require, "weir.luv")

local raw = { uv = found and uv or nil }

local client = {}
client.__index = client

--- Connect to a port of this machine. Raises the name of the error.
function raw.connect(port)
  local c = setmetatable({ socket = uv.new_tcp(), got = "" }, client)
  local err = weir.await(function(resume)
    c.socket:connect("127.0.0.1", port, resume)
  end)
  if err then
    c:close()
    error(err, 0)
  end
  c:listen()
  return c
end

--- Read what comes (a new client does).
function client:listen()
  self.socket:read_start(function(err, data)
    if data then
      self.got = self.got .. data
    else
      self.ended = err or "EOF"
    end
    local wake = self.wake
    self.wake = nil
    if wake then wake() end
  end)
end

--- Read what comes, and only count it in self.n.
function client:count()
  self.n = 0
  self.socket:read_start(function(err, data)
    self.n = self.n + #(data or "")
    self.ended = not data and (err or "EOF") or nil
  end)
end

--- Leave what comes in the socket, so that it fills.
function client:ignore()
  self.socket:read_stop()
end

function client:send(text)
  self.socket:write(text)
  return self
end

--- Wait until `pattern` is in what came (returns its captures) or nothing more can come (nil).
function client:wait(pattern, init)
  while true do
    local found_at = { self.got:find(pattern, init) }
    if found_at[1] then return table.unpack(found_at, 2) end
    if self.ended then return nil end
    weir.await(function(resume) self.wake = resume end)
  end
end

--- Wait for the end of the connection: "EOF" or the name of an error.
function client:finish()
  while not self.ended do
    weir.await(function(resume) self.wake = resume end)
  end
  return self.ended
end

local function dechunk(self, at)
  local body = {}
  while true do
    local stop, size = self:wait("^(%x+)\r\n", at)
    if not stop then return table.concat(body), nil end
    size = tonumber(size, 16)
    while #self.got < stop + size + 2 and not self.ended do
      weir.await(function(resume) self.wake = resume end)
    end
    if #self.got < stop + size + 2 then return table.concat(body), nil end
    at = stop + size + 3
    if size == 0 then return table.concat(body), at end
    body[#body + 1] = self.got:sub(stop + 1, stop + size)
  end
end

--- Wait for one response and take it: {status, head, headers, body, whole}; nil if none came.
--- `no_body`: it answers HEAD.
function client:response(no_body)
  local stop = self:wait("\r\n\r\n")
  if not stop then return nil end
  local head = self.got:sub(1, stop)
  local r = { head = head, status = tonumber(head:match("^HTTP/1%.1 (%d+)")), headers = {}, body = "", whole = true }
  for name, value in head:gmatch("\r\n([^:\r\n]+): ([^\r\n]*)") do
    name = name:lower()
    local old = r.headers[name]
    r.headers[name] = old and old .. ", " .. value or value
  end
  local length = tonumber(r.headers["content-length"])
  local rest
  if no_body or r.status < 200 or r.status == 204 or r.status == 304 then
    rest = stop + 1
  elseif r.headers["transfer-encoding"] then
    local after
    r.body, after = dechunk(self, stop + 1)
    r.whole = after ~= nil
    rest = after or #self.got + 1
  elseif length then
    while #self.got < stop + length and not self.ended do
      weir.await(function(resume) self.wake = resume end)
    end
    r.body = self.got:sub(stop + 1, stop + length)
    r.whole = #r.body == length
    rest = stop + length + 1
  else
    self:finish()
    r.body = self.got:sub(stop + 1)
    rest = #self.got + 1
  end
  self.got = self.got:sub(rest)
  return r
end

--- Send a request with a Host and take the response.
function client:get(target, fields, method)
  self:send(("%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n"):format(method or "GET", target, fields or ""))
  return self:response(method == "HEAD")
end

--- Close, and wait until luv has let go of the socket: it must not be left to the end of the
--- process, where luv would touch what is freed.
function client:close()
  if self.socket:is_closing() then return end
  local closed, resume
  self.socket:close(function()
    closed = true
    if resume then resume() end
  end)
  pcall(weir.await, function(wake)
    resume = wake
    if closed then wake() end
  end)
end

client.__close = client.close

return raw
