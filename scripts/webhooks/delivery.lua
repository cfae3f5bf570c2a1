-- webhooks.delivery - one delivery: out of a line of the input, and one attempt to hand it over.
--
-- parse(text) gives { id, url, destination, method, body, headers }, or nil and what is wrong.
-- send(client, delivery) never raises for what a receiver or the network does. A body that is JSON
-- goes out as it stands in the line, byte for byte: an empty list stays one, a signature holds.

local json = require "weir.json"
local weir = require "weir"

local lines = require "support.lines"
local origin = require "webhooks.origin"
local retry = require "support.retry"

local delivery = {}

local LONGEST <const> = 8192  -- bytes of a URL that servers can be expected to take
local LONGEST_ID <const> = 255

local fields <const> = { id = true, url = true, body = true, headers = true, method = true, destination = true }
local of_dead_letter <const> = { error = true, attempts = true, status = true } -- a letter may be sent again

local unavailable <const> = { [429] = true, [503] = true } -- what they ask for is for everybody

local function check_url(url)
  if type(url) ~= "string" then
    return "url: expected a string"
  elseif #url > LONGEST then
    return ("url: longer than %d bytes"):format(LONGEST)
  elseif url:find("[%c ]") then
    return "url: blank or control character inside"
  elseif not url:find("^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]") then
    return "url: expected http:// or https:// and a host"
  end
end

local function check_headers(headers)
  if headers == nil or headers == json.null then
    return nil
  elseif type(headers) ~= "table" then
    return "headers: expected an object"
  end
  for name, value in pairs(headers) do
    if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then
      return ("headers: '%s' is no header name"):format(tostring(name))
    elseif (type(value) ~= "string" and type(value) ~= "number") or tostring(value):find("[%c]") then
      return ("headers: expected text for '%s'"):format(name)
    end
  end
end

local function check(object)
  if type(object) ~= "table" then
    return "expected a JSON object"
  end
  local id <const> = object.id
  if (type(id) ~= "string" and math.type(id) ~= "integer") or tostring(id) == "" then
    return "id: expected text or a whole number"
  elseif #tostring(id) > LONGEST_ID or tostring(id):find("[%c]") then
    return ("id: expected at most %d bytes, no control characters"):format(LONGEST_ID)
  elseif object.method ~= nil and not (type(object.method) == "string" and object.method:find("^%u+$")) then
    return "method: expected a word in capitals"
  elseif object.destination ~= nil and (type(object.destination) ~= "string" or object.destination == "") then
    return "destination: expected text"
  end
  for name in pairs(object) do
    if not fields[name] and not of_dead_letter[name] then
      return ("'%s' is none of id, url, body, headers, method, destination"):format(tostring(name))
    end
  end
  return check_url(object.url) or check_headers(object.headers)
end

-- Where the string ends whose first quote is at `at`.
local function string_end(text, at)
  local stop = text:find('["\\]', at + 1)
  while text:byte(stop) == 92 do
    stop = text:find('["\\]', stop + 2)
  end
  return stop
end

-- Where the value that begins at `at` ends: at the comma or brace that follows it.
local function value_end(text, at)
  local depth = 0
  while true do
    local s = text:find('["%[%]{},]', at)
    local c = text:sub(s, s)
    if c == '"' then
      at = string_end(text, s) + 1
    elseif depth == 0 and (c == "," or c == "}") then
      return s
    else
      depth = depth + ((c == "{" or c == "[") and 1 or c == "," and 0 or -1)
      at = s + 1
    end
  end
end

-- The members of an object, { name, text of the value } each; `text` is known to be one.
local function members(text)
  local list, at = {}, text:find("{", 1, true) + 1
  while true do
    local quote = text:find('["}]', at)
    if text:sub(quote, quote) == "}" then
      return list
    end
    local stop = string_end(text, quote)
    local from = text:find(":", stop, true) + 1
    local to = value_end(text, from)
    local name = json.decode("[" .. text:sub(quote, stop) .. "]")[1]
    list[#list + 1] = { name, text:sub(from, to - 1):match("^%s*(.-)%s*$") }
    at = text:sub(to, to) == "," and to + 1 or to
  end
end

---@param text string
---@return table? delivery
---@return string? problem
function delivery.parse(text)
  local fine, object = pcall(json.decode, text)
  if not fine then
    return nil, "not JSON"
  end
  local problem = check(object)
  if problem then
    return nil, problem
  end
  local made = {
    id = tostring(object.id), url = object.url, destination = object.destination or origin(object.url),
    method = object.method or "POST", headers = {}, body = object.body,
  }
  for name, value in pairs(object.headers ~= json.null and object.headers or {}) do
    made.headers[name:lower()] = value
  end
  if made.body ~= nil and type(made.body) ~= "string" then
    for _, member in ipairs(members(text)) do
      made.body = member[1] == "body" and member[2] or made.body
    end
    made.headers["content-type"] = made.headers["content-type"] or "application/json"
  end
  made.headers["idempotency-key"] = made.id
  return made
end

-- One request, its answer's body thrown away piece by piece, so that a large one needs no room.
local function request(client, d)
  local response <close> = client:request(d.url, {
    method = d.method, headers = d.headers, body = d.body, follow = false, stream = true,
  })
  for _ in response.read, response do -- to its end, so that the connection can be used again
  end
  return { status = response.status, wait = retry.after(response.headers["retry-after"]) }
end

--- One attempt. The answer has `status`, or `error` (network, timeout ...) and `message`; `ok`; `again` if
--- another attempt may help; `alive` if the receiver is in order, whatever it said; `busy` if it says that
--- it has too much to do; and `wait`, the seconds for which it asks to be left alone.
---@async
---@param client weir.http.Client
---@param d table
---@return table answer
function delivery.send(client, d)
  local fine, answer = pcall(request, client, d)
  if not fine then
    local kind = weir.kind(answer)
    if kind ~= "network" and kind ~= "timeout" and kind ~= "protocol" and kind ~= "misuse" then
      error(answer, 0)
    end
    return { error = kind, message = type(answer) == "table" and answer.message or tostring(answer),
      again = kind ~= "misuse", alive = kind == "misuse" }
  end
  local status <const> = answer.status
  answer.ok = status >= 200 and status < 300
  answer.again = status == 408 or status == 425 or status == 429 or (status >= 500 and status ~= 501)
  answer.alive = status < 500
  answer.busy = unavailable[status]
  answer.wait = answer.busy and answer.wait or nil
  if not answer.ok then
    answer.error, answer.message = "status", ("HTTP %d"):format(status)
  end
  return answer
end

--- The line that a delivery came from, with what became of it: a line of the dead letters.
---@param text string
---@param answer table
---@param attempts integer
---@return string
function delivery.dead_letter(text, answer, attempts)
  local parts = {}
  for _, member in ipairs(members(text)) do
    if not of_dead_letter[member[1]] then
      parts[#parts + 1] = lines.encode(member[1]) .. ":" .. member[2]
    end
  end
  parts[#parts + 1] = '"error":' .. lines.encode(answer.message)
  parts[#parts + 1] = answer.status and '"status":' .. answer.status
  parts[#parts + 1] = '"attempts":' .. attempts
  return "{" .. table.concat(parts, ",") .. "}\n"
end

return delivery
