-- dedup.proxy - the workflow: which requests share an answer, which go their own way.
--
-- A GET that may be shared has a key: its URL, and what it says of the fields that the origin's
-- answers vary by. However many ask for a key that is not there, one load asks the origin. What comes
-- of it is either an answer for all who wait, or a mark:
--   pass    the answer is its own request's alone (private, no-store, set-cookie, too large); the
--           one whose request was sent has it, the others ask for themselves, and so do all who
--           come while the mark is kept
--   revary  it varies by more than the key says: it is kept under the longer key, and whoever
--           waited looks again under his own
-- The cache keeps an answer as long as there is any use for it, and shares its loads; whether it is
-- fresh, may be given stale, or must be asked about first is seen when it is taken out (dedup.policy);
-- one of no-cache, or stale and strict, is for those alone who were there when the origin was asked.
-- Invariant: nobody gets an answer that was made for a request unlike his own.

local weir = require "weir"

local heads = require "dedup.headers"
local new_origin = require "dedup.origin".new
local policy = require "dedup.policy"
local size_of = require "dedup.origin".size
local cache_status = require "dedup.status"

local proxy = {}
proxy.__index = proxy

local PASS_TTL <const> = 10     -- seconds that "ask for yourself" is remembered
local KEYS <const> = 3          -- longer keys tried before a request goes its own way
local ASKED <const> = 3         -- times that a request waits for the origin to be asked anew
local VARY_SHARE <const> = 8 -- of the memory of answers, one part in so many is for what URLs vary by
local RETRY <const> = "1"       -- seconds of Retry-After where nothing better is known

local function size_of_names(names)
  return 64 + 32 * #names -- the texts are in the keys too
end

---@param given table the command line
function proxy.new(given)
  local self = setmetatable({ given = given, origin = new_origin(given), began = weir.now(), renewing = {},
    changes = 0 }, proxy)
  self.varies = weir.cache { name = "vary", ttl = math.huge, max = given.max_entries,
    max_bytes = math.max(given.max_bytes // VARY_SHARE, 1), size = size_of_names }
  self.cache = weir.cache {
    name = "answers", max = given.max_entries, max_bytes = given.max_bytes, size = size_of,
    max_waiting = given.max_waiting,
  }
  self.seen = { requests = 0, hit = 0, stale = 0, miss = 0, joined = 0, revalidated = 0, pass = 0, failed = 0,
    not_modified = 0, renewed = 0, not_renewed = 0 }
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
    return request.url
  end
  local words = { request.url }
  for _, name in ipairs(names) do
    words[#words + 1] = ("%s: %s"):format(name, request.headers[name] or "\1") -- none is not empty
  end
  return table.concat(words, "\0")
end

-- The union of a sorted list and what of a Vary makes a difference, sorted; and whether that brought anything.
local function union(names, more)
  local seen, all = {}, table.move(names, 1, #names, 1, {})
  for _, name in ipairs(names) do
    seen[name] = true
  end
  for _, name in ipairs(more) do
    if not seen[name] and heads.tells_apart(name) then
      all[#all + 1] = name
    end
  end
  table.sort(all)
  return all, #all > #names
end

-- --- loads ----------------------------------------------------------------------------------------

-- How an answer is kept.
local function keep(self, answer, request)
  return { ttl = policy.worth(answer, self.given), tags = { request.url } }
end

-- The loader: `asker` is who began the load, keeps what is his alone, and brings what is kept (`old`).
-- An origin that fails has no answer that could be kept; what is old may be better.
local function load(_, self, asker)
  local request <const>, names <const>, changes <const> = asker.request, asker.names, self.changes
  local answer = self.origin:fetch(request, asker.old)
  local verdict <const> = answer and answer.verdict
  asker.answer, asker.loaded = answer, true
  if answer and answer.status >= 500 then
    error({ answer = answer, asker = asker }, 0)
  elseif not answer or verdict.private then
    return { mark = "pass", why = verdict and verdict.why or "size" }, { ttl = PASS_TTL }
  end
  local all, is_more = union(names, verdict.vary)
  if is_more then
    self.varies:set(request.url, all)
    if changes == self.changes then -- else it may be of before a change, which the cache cannot see from here
      self.cache:set(key_of(request, all), answer, keep(self, answer, request))
    end
    return { mark = "revary" }, { ttl = 0 }
  end
  return answer, keep(self, answer, request)
end

-- A load behind a stale answer: one at a time for a key, whoever had the answer.
local function renew(self, key, asker)
  if self.renewing[key] then
    return
  end
  self.renewing[key] = true
  weir.daemon(function()
    local _ <close> = setmetatable({}, { __close = function() self.renewing[key] = nil end })
    local fine = pcall(self.cache.refresh, self.cache, key, load, self, asker)
    local what <const> = fine and "renewed" or "not_renewed"
    self.seen[what] = self.seen[what] + 1
  end)
end

-- --- replies ---------------------------------------------------------------------------------------

local function count(self, what)
  self.seen[what] = self.seen[what] + 1
  return what:upper()
end

local function ttl_of(answer)
  return answer.verdict.ttl - (weir.now() - answer.at)
end

local from_origin <const> = { miss = true, revalidated = true, failed = true }

-- `how` is for Cache-Status, which gets the ttl here.
local function reply(self, request, answer, what, how)
  local head = heads.to_client(answer.headers, count(self, what))
  if answer.headers.age or not from_origin[what] then -- Age says that a cache had it (RFC 9111, 5.1)
    head.age = tostring(math.floor(answer.verdict.age + weir.now() - answer.at))
  end
  how.ttl = answer.verdict.kept and ttl_of(answer) or nil
  head["cache-status"] = cache_status(head["cache-status"], how)
  if answer.status == 200 and heads.is_not_modified(request, answer.headers) then
    self.seen.not_modified = self.seen.not_modified + 1
    head["content-length"] = #answer.body -- of what the client has (RFC 9110, 8.6)
    return { status = 304, headers = head }
  end
  return { status = answer.status, headers = head, body = answer.body }
end

-- What came of a load: for who asked (`what` is "miss" or "revalidated"), and who joined.
local function reply_loaded(self, request, answer, what, fwd)
  return reply(self, request, answer, what, { fwd = fwd, status = answer.said, collapsed = what == "joined",
    stored = policy.worth(answer, self.given) > 0 and not answer.verdict.private,
    detail = answer.verdict.why })
end

local function plain(status, text, headers)
  headers = headers or {}
  headers["content-type"] = "text/plain"
  return { status = status, headers = headers, body = text .. "\n" }
end

local of_origin <const> = { overload = true, timeout = true, network = true, protocol = true }

-- Is this the origin's failure? All else (a cancel, a fault of ours) is for who is above.
local function is_failure(err)
  return type(err) == "table" and err.answer ~= nil or of_origin[weir.kind(err)] == true
end

-- What a failure is for the client.
local function failed(self, err)
  local kind <const> = weir.kind(err)
  if not of_origin[kind] then
    error(err, 0)
  end
  local head <const> = { ["x-cache"] = count(self, "failed"),
    ["cache-status"] = cache_status(nil, { fwd = "miss", detail = kind }) }
  if kind == "overload" then
    head["retry-after"] = err.retry_after and tostring(math.ceil(err.retry_after)) or RETRY
    return plain(503, "too many requests wait for the origin", head)
  elseif kind == "timeout" then
    return plain(504, ("the origin did not answer within %g s"):format(self.given.timeout), head)
  end
  return plain(502, "the origin cannot be reached: " .. tostring(err.code or err.kind), head)
end

-- A change went through: nothing that is kept of its URL stands, nor of those of the same site that the answer
-- names (RFC 9111, 4.4).
local function forget(self, request, head)
  local site <const> = heads.site(request)
  local urls <const> = { request.url }
  for _, name in ipairs { "location", "content-location" } do
    local url <const> = type(head[name]) == "string" and head[name] or ""
    urls[#urls + 1] = url:find "^/[^/]" and site .. url or url
  end
  self.changes = self.changes + 1
  for _, url in ipairs(urls) do
    self.cache:delete_tag(url)
    self.cache:delete(url)
  end
end

local function pass(self, request, why, fwd)
  count(self, "pass")
  local answer = self.origin:pass(request)
  answer.headers["cache-status"] = cache_status(answer.headers["cache-status"],
    { fwd = fwd or why == "method" and "method" or "bypass", status = answer.status, detail = why })
  if policy.is_unsafe(request.method) and answer.status < 400 then
    forget(self, request, answer.headers)
  end
  return answer
end

-- Is what came of a load for this request too? A mark is for everybody.
local function is_for(found, asker)
  return asker.loaded or found.mark or found.asked >= asker.began
    or not policy.is_of_its_time(found, weir.now())
end

-- --- the way of a request that may share -------------------------------------------------------------

-- Ask the origin about what is kept, or what takes its place, and fall back on it if the origin fails. Another's
-- load that began before this request did is waited for, and not enough where the answer is of its time.
local function ask_anew(self, key, asker, old)
  asker.old = old
  local fine, found
  for _ = 1, ASKED do
    fine, found = pcall(self.cache.refresh, self.cache, key, load, self, asker)
    if not fine then
      break
    elseif is_for(found, asker) then
      return found
    end
    asker.old = found
  end
  if fine then
    return { mark = "pass", why = "stale" }
  elseif is_failure(found) and policy.may_stand(old, weir.now()) then
    return nil, { fwd = asker.fwd, status = found.answer and found.answer.said, detail = weir.kind(found) }
  end
  error(found, 0)
end

-- One try under the key that is known by now: a reply; or nil, and why the request goes its own way,
-- or nothing if there is another key to be tried.
local function try(self, request)
  local names <const>, began <const> = self.varies:peek(request.url) or {}, weir.now()
  local key <const> = key_of(request, names)
  local asker <const> = { request = request, names = names, began = began,
    fwd = #names > 0 and "vary-miss" or "uri-miss" }
  local found, old = self.cache:get(key, load, self, asker), nil
  if not asker.loaded and not found.mark and found.at < began then -- it was there
    local use <const> = policy.use(found, request, self.given, began)
    if use == "fresh" then
      return reply(self, request, found, "hit", { hit = true })
    elseif use == "stale" then
      asker.old = found
      renew(self, key, asker)
      return reply(self, request, found, "stale", { hit = true })
    end
    old, asker.fwd = found, use == "request" and "request" or "stale"
  elseif not is_for(found, asker) then
    old, asker.fwd = found, "stale"
  end
  if old then
    local how
    found, how = ask_anew(self, key, asker, old)
    if not found then
      return reply(self, request, old, "stale", how)
    end
  end
  local mine <const> = asker.answer
  if found.mark and not mine then
    return nil, found.mark == "pass" and found.why or nil
  end
  local answer <const> = mine or found
  local what <const> = not asker.loaded and "joined" or answer.said == 304 and asker.old and "revalidated" or "miss"
  return reply_loaded(self, request, answer, what, asker.fwd)
end

local function share(self, request)
  for _ = 1, KEYS do
    local answer <const>, why <const> = try(self, request)
    if answer then
      return answer
    elseif why then
      return pass(self, request, why, "uri-miss")
    end
  end
  return pass(self, request, "vary", "vary-miss")
end

-- What is kept and may be given without a word to the origin.
local function kept(self, request)
  local found <const> = self.cache:peek(key_of(request, self.varies:peek(request.url) or {}))
  if not found or found.mark then
    return nil
  end
  local use <const> = policy.use(found, request, self.given, weir.now())
  if use == "fresh" or use == "stale" then
    return reply(self, request, found, use == "fresh" and "hit" or "stale", { hit = true })
  end
  return nil
end

local function route(self, request)
  local why <const> = policy.passes(request, self.given)
  if why then
    return pass(self, request, why)
  elseif policy.only_if_cached(request) then
    return kept(self, request) or plain(504, "not in the cache", { ["cache-status"] = cache_status(nil,
      { detail = "only-if-cached" }) })
  elseif request.method == "HEAD" then
    return kept(self, request) or pass(self, request, "head", "uri-miss")
  end
  return share(self, request)
end

--- Answer a request.
---@async
---@param request weir.http.Request
---@return weir.http.Reply
function proxy:handle(request)
  self.seen.requests = self.seen.requests + 1
  heads.normalize(request)
  if not request.target:find "^/" then -- "*": about this server (RFC 9110, 9.3.7)
    return { status = request.method == "OPTIONS" and request.target == "*" and 204 or 400 }
  end
  request.url = heads.site(request) .. request.target
  local fine, answer = pcall(route, self, request)
  local said <const> = not fine and type(answer) == "table" and answer.answer -- the origin's own 5xx
  if said and said.verdict.private and answer.asker.request ~= request then
    fine, answer = pcall(pass, self, request, said.verdict.why, "uri-miss")
  elseif said then
    return reply(self, request, said, "failed", { fwd = answer.asker.fwd, status = said.said,
      collapsed = answer.asker.request ~= request })
  end
  return fine and answer or failed(self, answer)
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
      evicted = cache.evicted, expired = cache.expired } }
end

return proxy
