-- fanout.fetch - one URL to its end: attempts, waits between them, and what came out.
--
-- fetch(client, item, options, meter) never raises for what a server or the network does; it
-- returns { status, bytes, attempts, error, message }, error being nil if all went well and
-- "line" if this is no URL: then nothing was sent. It raises `cancelled`, and a support.failure
-- for what the client would refuse for any URL. `meter` counts the requests that are in flight
-- right now: a URL that waits for its next attempt is not.
-- The wait before attempt k is drawn from 0 to first * 2^(k-1) ("full jitter": what failed
-- together does not come back together), and is never shorter than Retry-After.

local weir = require "weir"

local failure = require "support.failure"
local retry = require "support.retry"

local first_wait <const> = 0.1  -- seconds, doubled with each attempt
local longest_wait <const> = 60 -- also the longest Retry-After that is waited for

local retried <const> = { [408] = true, [429] = true, [500] = true, [502] = true, [503] = true, [504] = true }
local unserved <const> = { [429] = true, [503] = true } -- the request had no effect
local effects <const> = { POST = true, PATCH = true }   -- twice is not the same as once

-- One request, its body counted and thrown away piece by piece, so that a large one needs no room.
local function request(client, item, options)
  local response <close> = client:request(item.url, { method = options.method, body = options.data, stream = true })
  local bytes = 0
  for piece in response.read, response do
    bytes = bytes + #piece
  end
  return { status = response.status, bytes = bytes, retry_after = response.headers["retry-after"] }
end

-- One attempt. Returns what was answered, or nil, kind and message.
local function attempt(client, item, options, meter)
  meter:enter()
  local ok, answer = pcall(request, client, item, options)
  meter:leave()
  if ok then
    return answer
  end
  local kind = weir.kind(answer)
  if kind == "network" or kind == "timeout" or kind == "protocol" then
    return nil, kind, (answer.message:gsub("^http:%w+: ", ""))
  elseif kind ~= "misuse" then
    error(answer, 0)
  end
  local why = answer.message:match("is not one that can be fetched: (.*)$")
  if not why then
    failure.raise(answer.message, 2)
  end
  return nil, "line", "no URL: " .. why
end

-- May another attempt follow this answer, or this failure?
local function may_retry(method, status, kind)
  if effects[method] then
    return unserved[status] or false
  elseif status then
    return retried[status] or false
  end
  return kind ~= "line"
end

---@param client weir.http.Client
---@param item { url: string }
---@param options table as fanout.options makes it
---@param meter { enter: fun(self), leave: fun(self) }
---@return table outcome
local function fetch(client, item, options, meter)
  local attempts = 0
  while true do
    attempts = attempts + 1
    local answer, kind, message = attempt(client, item, options, meter)
    local status = answer and answer.status
    local outcome = { status = status, bytes = answer and answer.bytes or 0, attempts = attempts }
    if kind == "line" then
      outcome.attempts = 0
    end
    if status and status < 400 then
      return outcome
    end
    outcome.error = kind or "status"
    outcome.message = message or ("HTTP %d"):format(status)
    if attempts > options.retries or not may_retry(options.method, status, kind) then
      return outcome
    end
    local asked = unserved[status] and retry.after(answer.retry_after) or 0
    if asked > longest_wait then
      outcome.message = ("%s, and asks to wait %d s"):format(outcome.message, asked)
      return outcome
    end
    weir.sleep(math.max(asked, retry.backoff(attempts, first_wait, longest_wait)))
  end
end

return fetch
