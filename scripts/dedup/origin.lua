-- dedup.origin - requests to the server behind: one whole answer for the cache, or one passed through.
--
-- fetch() gives an answer in memory: {status, headers, body, asked and at (when the origin was asked, and when
-- it answered), verdict, said (the status that came, 304 for one that is as it was)}. An answer larger than
-- `max_object` is not read; the caller passes the request on. pass() gives a reply whose body is read from the
-- origin as the client takes it. What the origin fails with is raised.

local http = require "weir.http"
local weir = require "weir"

local heads = require "dedup.headers"
local policy = require "dedup.policy"

local origin = {}
origin.__index = origin

local RECORD <const> = 512 -- bytes that an answer costs beside its texts, about
local FIELD <const> = 96   -- and a header field

---@param given table the command line
function origin.new(given)
  local client = http.client {
    max_per_host = given.origin_limit, max_waiting = given.max_waiting, follow = false,
    connect_timeout = given.timeout, verify = not given.insecure,
  }
  return setmetatable({
    client = client, base = given.origin.base, authority = given.origin.authority, given = given,
    counts = { requests = 0, loads = 0, confirmed = 0, passed = 0, failed = 0, bytes = 0 },
  }, origin)
end

function origin:close()
  self.client:close()
end

-- One request; `timeout` is for the head of the answer. Counted.
local function ask(self, request, shared, body, old)
  local counts <const> = self.counts
  counts.requests = counts.requests + 1
  local fine, response = pcall(weir.timeout, self.given.timeout, self.client.request, self.client, {
    url = self.base .. request.target, method = request.method, headers = heads.to_origin(request, self, shared, old),
    body = body ~= "" and body or nil, stream = true, follow = false,
  })
  if not fine then
    counts.failed = counts.failed + 1
    error(response, 0)
  end
  return response
end

-- The body, or nil if it is larger than what is kept.
local function read_body(self, response)
  local most <const> = self.given.max_object
  if (tonumber(response.headers["content-length"]) or 0) > most then
    return nil
  end
  local pieces, size = {}, 0
  for piece in response:chunks() do
    size = size + #piece
    if size > most then
      return nil
    end
    pieces[#pieces + 1] = piece
  end
  self.counts.bytes = self.counts.bytes + size
  return table.concat(pieces)
end

local function answer_of(self, said, status, headers, body, asked, at)
  headers.date = headers.date or os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time()) -- RFC 9110, 6.6.1
  return { status = status, said = said, headers = headers, body = body, asked = asked, at = at,
    verdict = policy.judge(status, headers, self.given, at - asked) }
end

--- The answer to a request that may be others' too, or nil if it is too large to keep. `old` is what
--- is kept: the origin is asked whether that is still right, if there is anything to tell by.
---@async
---@param request weir.http.Request
---@param old? table an answer
---@return table? answer
function origin:fetch(request, old)
  local counts <const>, asked <const> = self.counts, weir.now()
  counts.loads = counts.loads + 1
  old = old and (old.headers.etag or old.headers["last-modified"]) and old
  local response <close> = ask(self, request, true, nil, old)
  local at <const> = weir.now()
  if response.status == 304 and old then
    if not heads.confirms(response.headers, old.headers) then
      response:close() -- its place at the origin is needed
      return self:fetch(request) -- it is about another one than ours
    end
    counts.confirmed = counts.confirmed + 1
    return answer_of(self, 304, old.status, heads.freshened(old.headers, response.headers), old.body, asked, at)
  end
  local body = weir.timeout(self.given.timeout, read_body, self, response)
  return body and answer_of(self, response.status, response.status, response.headers, body, asked, at)
end

--- A reply to `request` alone.
---@async
---@return weir.http.Reply
function origin:pass(request)
  self.counts.passed = self.counts.passed + 1
  local response = ask(self, request, false, request.body)
  local head <const> = heads.to_client(response.headers, "PASS")
  head["content-length"] = heads.length(response.headers)
  return { status = response.status, headers = head, body = response }
end

--- Bytes that an answer takes in memory.
function origin.size(answer)
  local bytes = RECORD + #(answer.body or "")
  for name, value in pairs(answer.headers or {}) do
    bytes = bytes + FIELD + #name + (type(value) == "string" and #value or 64)
  end
  return bytes
end

return origin
