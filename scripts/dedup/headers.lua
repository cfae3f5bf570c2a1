-- dedup.headers - what of a head goes on: to the origin, and from it to the client (RFC 9110, 7.6).

local directives = require "dedup.directives"

local headers = {}

-- Of this connection alone, or said anew by whoever sends the message on.
local hop <const> = { connection = true, ["keep-alive"] = true, ["proxy-authenticate"] = true,
  ["proxy-authorization"] = true, ["proxy-connection"] = true, te = true, trailer = true,
  ["transfer-encoding"] = true, upgrade = true, ["content-length"] = true, expect = true }
-- The client's own conditions and wishes, which must not shape an answer that others get too.
local own <const> = { ["if-none-match"] = true, ["if-modified-since"] = true, ["if-match"] = true,
  ["if-unmodified-since"] = true, ["if-range"] = true, range = true, ["cache-control"] = true, pragma = true,
  cookie = true, forwarded = true, ["x-forwarded-for"] = true }
-- Of these every shared request says the same, whatever its client said.
local settled <const> = { ["accept-encoding"] = true, host = true, via = true }

-- What a 304 says of itself, not of the body that is kept.
local of_body <const> = { ["content-encoding"] = true, ["content-type"] = true, ["content-range"] = true }

local VIA <const> = "1.1 weir-dedup"

-- The names that Connection adds to the list.
local function named(value)
  local names = {}
  for name in (value or ""):gmatch("[^%s,]+") do
    names[name:lower()] = true
  end
  return names
end

--- Can the origin's answer to a shared request depend on this field of its client's?
---@param name string lower case
function headers.tells_apart(name)
  return not (hop[name] or own[name] or settled[name])
end

--- Take the authority of a target in absolute form for the host (RFC 9112, 3.2.2).
---@param request weir.http.Request
function headers.normalize(request)
  local authority <const>, rest <const> = request.target:match("^%a[%w+.-]*://([^/?]*)(.*)$")
  if authority then
    request.headers.host = authority
    request.target = rest:find "^/" and rest or "/" .. rest
  end
end

-- What the origin is told of the URL that the client asked for.
local function asked_at(request)
  local fields <const> = request.headers
  return fields["x-forwarded-proto"] or "http", fields["x-forwarded-host"] or fields.host or ""
end

--- The URL that was asked for, but for its target; of two that differ here nothing is shared.
---@param request weir.http.Request
---@return string
function headers.site(request)
  return ("%s://%s"):format(asked_at(request)):lower()
end

--- The head for the origin. `shared`: the answer is for others too; `old`: only if it is not this one any more.
---@param request weir.http.Request
---@param origin { authority: string }
---@param shared boolean
---@param old? table an answer
---@return table<string, any>
function headers.to_origin(request, origin, shared, old)
  local out <const>, also <const> = {}, named(request.headers.connection)
  for name, value in pairs(request.headers) do
    if not hop[name] and not also[name] and not (shared and own[name]) then
      out[name] = value
    end
  end
  local from <const> = request.headers["x-forwarded-for"]
  out["x-forwarded-for"] = not shared and (from and from .. ", " .. request.remote or request.remote) or nil
  out["x-forwarded-proto"], out["x-forwarded-host"] = asked_at(request)
  out.via = (request.headers.via and request.headers.via .. ", " or "") .. VIA
  out.host = origin.authority
  out["accept-encoding"] = "identity" -- bodies are kept as they are read
  if old then
    out["if-none-match"], out["if-modified-since"] = old.headers.etag, old.headers["last-modified"]
  end
  return out
end

--- The length that an answer has whose body goes on as it is read, or nil if the head does not say it.
---@param head table<string, any> of the origin's answer
---@return string?
function headers.length(head)
  return head["content-encoding"] == nil and head["content-length"] or nil
end

--- The head for the client.
---@param head table<string, any> of the origin's answer
---@param what string for X-Cache
---@return table<string, any>
function headers.to_client(head, what)
  local out <const>, also <const> = {}, named(head.connection)
  for name, value in pairs(head) do
    if not hop[name] and not also[name] and name ~= "content-encoding" then -- it was undone on the way in
      out[name] = value
    end
  end
  out.via = (head.via and head.via .. ", " or "") .. VIA
  out["x-cache"] = what
  return out
end

local function opaque(tag)
  return tag and tag:gsub("^W/", "") or nil
end

--- Is this 304 about that answer (RFC 9111, 4.3.4)?
---@param head table<string, any> of the 304
---@param old table<string, any> of the answer
function headers.confirms(head, old)
  return head.etag == nil or old.etag == nil or opaque(head.etag) == opaque(old.etag)
end

--- The head of an answer that a 304 confirmed: as the 304 says where it says something (RFC 9111, 3.2).
---@param old table<string, any>
---@param head table<string, any> of the 304
---@return table<string, any>
function headers.freshened(old, head)
  local out <const>, also <const> = {}, named(head.connection)
  for name, value in pairs(old) do
    out[name] = value
  end
  out.age, out.date = nil, nil -- the 304 has its own, or none
  for name, value in pairs(head) do
    if not hop[name] and not also[name] and not of_body[name] then
      out[name] = value
    end
  end
  return out
end

--- Do the client's conditions say that it has this answer already (RFC 9110, 13.2.2)?
---@param request weir.http.Request
---@param head table<string, any>
function headers.is_not_modified(request, head)
  local tags <const> = request.headers["if-none-match"]
  if tags then
    local mine <const> = opaque(head.etag)
    if tags:match("^%s*%*%s*$") then
      return true
    end
    for tag in tags:gmatch('"[^"]*"') do
      if tag == mine then
        return true
      end
    end
    return false
  end
  local since <const> = directives.date(request.headers["if-modified-since"])
  local changed <const> = directives.date(head["last-modified"] or head.date)
  return since ~= nil and changed ~= nil and changed <= since
end

return headers
