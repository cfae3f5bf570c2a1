-- dedup.proxy - the workflow: which requests share an answer, which go their own way.
--
-- A GET that may be shared has a key: its target, and what it says of the fields that the origin's
-- answers vary by. However many ask for a key that is not there, one load asks the origin. What comes
-- of it is either an answer for all who wait, or a mark:
--   pass    the answer is its own request's alone (private, no-store, set-cookie, too large); the
--           one whose request was sent has it, the others ask for themselves, and so do all who
--           come while the mark is kept
--   revary  it varies by more than the key says: it is kept under the longer key, and whoever
--           waited looks again under his own
-- Invariant: nobody gets an answer that was made for a request unlike his own.

local weir = require "weir"

local heads = require "dedup.headers"
local new_origin = require "dedup.origin".new
local policy = require "dedup.policy"
local size_of = require "dedup.origin".size

local proxy = {}
proxy.__index = proxy

local PASS_TTL <const> = 10     -- seconds that "ask for yourself" is remembered
local STALE_AT_ONCE <const> = 1e-9 -- seconds: a ttl of 0 keeps nothing
local KEYS <const> = 3          -- longer keys tried before a request goes its own way
local VARIES <const> = 10000    -- targets whose Vary is remembered
local RETRY <const> = "1"       -- seconds of Retry-After where nothing better is known

---@param given table the command line
function proxy.new(given)
  local self = setmetatable({ given = given, origin = new_origin(given), began = weir.now() }, proxy)
  self.varies = weir.cache { ttl = math.huge, max = VARIES, name = "vary" }
  self.cache = weir.cache {
    name = "answers", ttl = given.ttl, stale = given.stale, stale_if_error = given.stale_if_error,
    max = given.max_entries, max_bytes = given.max_bytes, size = size_of, max_waiting = given.max_waiting,
  }
  self.seen = { requests = 0, hit = 0, stale = 0, miss = 0, joined = 0, pass = 0, failed = 0, not_modified = 0 }
  return self
end

function proxy:close()
  self.cache:close()
  self.varies:close()
  self.origin:close()
end

-- --- keys ---------------------------------------------------------------------------------------

local function key_of(request, names)
  if #names == 0 then
    return request.target
  end
  local words = { request.target }
  for _, name in ipairs(names) do
    words[#words + 1] = ("%s: %s"):format(name, request.headers[name] or "\1") -- none is not empty
  end
  return table.concat(words, "\0")
end

-- The union of two sorted lists, sorted; and whether the second brought anything.
local function union(names, more)
  local seen, all = {}, table.move(names, 1, #names, 1, {})
  for _, name in ipairs(names) do
    seen[name] = true
  end
  for _, name in ipairs(more) do
    if not seen[name] then
      all[#all + 1] = name
    end
  end
  table.sort(all)
  return all, #all > #names
end

-- --- loads ----------------------------------------------------------------------------------------

-- How an answer is kept. One that is stale at once may still be given as such, unless it forbids that.
local function keep(verdict, target)
  local ttl <const> = verdict.kept and not verdict.strict and math.max(verdict.ttl, STALE_AT_ONCE) or verdict.ttl
  return { ttl = ttl, tags = { target }, stale = not verdict.strict }
end

-- The loader: `asker` is who began the load, and keeps what is his alone.
local function load(_, self, asker)
  local request <const>, names <const> = asker.request, asker.names
  local answer = self.origin:fetch(request)
  local verdict <const> = answer and answer.verdict
  asker.answer, asker.loaded = answer, true
  if not answer or verdict.private then
    return { mark = "pass", why = verdict and verdict.why or "size" }, { ttl = PASS_TTL, stale = false }
  end
  local all, is_more = union(names, verdict.vary)
  if is_more then
    self.varies:set(request.target, all)
    self.cache:set(key_of(request, all), answer, keep(verdict, request.target))
    return { mark = "revary" }, { ttl = 0 }
  end
  if answer.status >= 500 then
    error({ answer = answer }, 0) -- what is old may be better
  end
  return answer, keep(verdict, request.target)
end

-- --- replies ---------------------------------------------------------------------------------------

local function count(self, what)
  self.seen[what] = self.seen[what] + 1
  return what:upper()
end

local function reply(self, request, answer, what)
  local head = heads.to_client(answer.headers, count(self, what))
  head.age = tostring(math.floor(answer.verdict.age + weir.now() - answer.at))
  if answer.status == 200 and heads.is_not_modified(request, answer.headers) then
    self.seen.not_modified = self.seen.not_modified + 1
    return { status = 304, headers = head }
  end
  return { status = answer.status, headers = head, body = answer.body }
end

local function plain(status, text, headers)
  headers = headers or {}
  headers["content-type"] = "text/plain"
  return { status = status, headers = headers, body = text .. "\n" }
end

-- What a failure is for the client.
local function failed(self, err)
  local kind <const> = weir.kind(err)
  count(self, "failed")
  if kind == "overload" then
    local seconds = err.retry_after and tostring(math.ceil(err.retry_after)) or RETRY
    return plain(503, "too many requests wait for the origin", { ["retry-after"] = seconds })
  elseif kind == "timeout" then
    return plain(504, ("the origin did not answer within %g s"):format(self.given.timeout))
  elseif kind == "network" or kind == "protocol" then
    return plain(502, "the origin cannot be reached: " .. tostring(err.code or err.kind))
  end
  error(err, 0)
end

local function pass(self, request)
  count(self, "pass")
  local answer = self.origin:pass(request)
  if policy.is_unsafe(request.method) and answer.status < 400 then
    self.cache:delete_tag(request.target)
    self.cache:delete(request.target)
  end
  return answer
end

-- --- the way of a request that may share -------------------------------------------------------------

local function is_stale(answer)
  return weir.now() - answer.at > answer.verdict.ttl
end

local function share(self, request)
  local fresh <const> = policy.wants_fresh(request, self.given)
  local began <const> = weir.now()
  for _ = 1, KEYS do
    local names <const> = self.varies:peek(request.target) or {}
    local key <const> = key_of(request, names)
    local asker <const> = { request = request, names = names }
    local get <const> = fresh and self.cache.refresh or self.cache.get
    local found = get(self.cache, key, load, self, asker)
    if not found.mark then
      local what = asker.loaded and "miss" or found.at >= began and "joined" or is_stale(found) and "stale" or "hit"
      return reply(self, request, found, what)
    elseif asker.answer then
      return reply(self, request, asker.answer, "miss")
    elseif found.mark == "pass" then
      break
    end
  end
  return pass(self, request)
end

local function head(self, request)
  local names <const> = self.varies:peek(request.target) or {}
  local found <const> = self.cache:peek(key_of(request, names))
  if found and not found.mark then
    return reply(self, request, found, "hit")
  end
  return pass(self, request)
end

local function cached_only(self, request)
  local found <const> = self.cache:peek(key_of(request, self.varies:peek(request.target) or {}))
  if found and not found.mark then
    return reply(self, request, found, "hit")
  end
  return plain(504, "not in the cache")
end

local function route(self, request)
  if policy.passes(request, self.given) then
    return pass(self, request)
  elseif policy.only_if_cached(request) then
    return cached_only(self, request)
  elseif request.method == "HEAD" then
    return head(self, request)
  end
  return share(self, request)
end

--- Answer a request.
---@async
---@param request weir.http.Request
---@return weir.http.Reply
function proxy:handle(request)
  self.seen.requests = self.seen.requests + 1
  local fine, answer = pcall(route, self, request)
  if fine then
    return answer
  elseif type(answer) == "table" and answer.answer then
    return reply(self, request, answer.answer, "failed") -- the origin's own 5xx
  end
  return failed(self, answer)
end

--- What was seen so far.
---@return table
function proxy:stats()
  local cache <const>, seen <const> = self.cache:stats(), {}
  for name, n in pairs(self.seen) do
    seen[name] = n
  end
  return { seconds = weir.now() - self.began, seen = seen, origin = self.origin.counts,
    cache = { entries = self.cache.count, bytes = self.cache.bytes, loads = cache.loads, joined = cache.joined,
      refreshes = cache.refreshes, refresh_failures = cache.refresh_failures, evicted = cache.evicted,
      expired = cache.expired } }
end

return proxy
