-- weir.http.client - what a client's methods do before curl: options to header lines, body, URL.
--
-- A call with a URL alone goes straight to C. With options, the header lines are built here (the
-- client's own first, then the request's in their place), checked so that no value can smuggle a
-- line of its own. A body that is written or read in pieces runs as an exchange: written from the
-- task that makes the request, so that a body function may wait, and read by whoever has the
-- response. Responses are plain tables with the methods below.

local core <const> = require "weir.core"
local curl <const> = require "weir.http.curl"

local perform <const>, exchange <const> = curl.perform, curl.exchange

---@alias weir.http.Body string|(fun(): string?)|{ read: fun(self, n: integer): string? }

---@class (exact) weir.http.Options
---@field url? string http or https; credentials in it are used and never shown
---@field method? string for `request`; GET unless said
---@field query? table<string, string|number|boolean|(string|number|boolean)[]> added to the URL, percent-encoded
---@field headers? table<string, string|number|string[]|false> false leaves one out that would be sent
---@field sensitive? string[] names of headers that a redirect to another origin must not get
---@field body? weir.http.Body a string; a function that gives strings until nil and may wait; a file
---@field json? any the body, encoded, with its content-type
---@field auth? { [1]: string, [2]: string } user and password, Basic
---@field bearer? string a bearer token
---@field timeout? number seconds for all of it, from the call to the last byte; no bound unless said
---@field connect_timeout? number seconds for TCP and TLS; 30 unless said
---@field max_body? number bytes, after decompression, more is an error of kind `protocol`; 64 MiB unless said,
---  math.huge is no bound, and there is none for a body that is streamed
---@field follow? boolean follow redirects; GET and HEAD do unless told not to, others only if told
---@field max_redirects? integer 10 unless said; more is an error of kind `protocol`
---@field stream? boolean return when the headers are there; the body is read from the response
---@field verify? boolean false accepts any certificate
---@field ca? string file of certificate authorities
---@field proxy? string|false URL of a proxy, false for none; unless said the environment's

---@class (exact) weir.http.ClientOptions
---@field max? integer most requests under way, and connections; 1024 or what descriptors allow
---@field max_per_host? integer most requests under way to one scheme, host and port
---@field max_waiting? integer most requests that wait for either; over it `overload`
---@field dns_ttl? number seconds that addresses are kept; 60 unless said
---@field headers? table<string, string|number|string[]> of every request
---@field sensitive? string[] of every request
---@field auth? { [1]: string, [2]: string }
---@field bearer? string
---@field timeout? number of each request that says none itself; no bound unless said
---@field connect_timeout? number
---@field max_body? number
---@field follow? boolean
---@field max_redirects? integer
---@field verify? boolean
---@field ca? string
---@field proxy? string|false

local of_request <const> = {
  url = true, method = true, query = true, headers = true, sensitive = true, body = true, json = true, auth = true,
  bearer = true, timeout = true, connect_timeout = true, max_body = true, follow = true,
  max_redirects = true, stream = true, verify = true, ca = true, proxy = true,
}

local of_client <const> = {
  max = true, max_per_host = true, max_waiting = true, dns_ttl = true, headers = true, sensitive = true, auth = true,
  bearer = true, timeout = true, connect_timeout = true, max_body = true, follow = true,
  max_redirects = true, verify = true, ca = true, proxy = true,
}

local CHUNK <const> = 64 * 1024 -- asked of a file at a time
local TOKEN <const> = "^[%w!#$%%&'*+%-.^_`|~]+$"

-- client -> { set = its headers by lower-case name, {name, value}, sensitive = names or nil }
local defaults <const> = setmetatable({}, { __mode = "k" })

-- --- header lines -----------------------------------------------------------------------------
local base64_letters <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(s)
  local out = {}
  for i = 1, #s, 3 do
    local a, b, c = s:byte(i, i + 2)
    local n = a << 16 | (b or 0) << 8 | (c or 0)
    for shift = 18, 0, -6 do
      local at = (n >> shift & 63) + 1
      out[#out + 1] = base64_letters:sub(at, at)
    end
  end
  local rest = #s % 3
  local text = table.concat(out)
  return rest == 0 and text or text:sub(1, rest - 4) .. ("="):rep(3 - rest)
end

local function check_value(op, name, value)
  if math.type(value) == "integer" then
    value = tostring(value)
  elseif type(value) == "number" then
    value = ("%.17g"):format(value)
  elseif type(value) ~= "string" then
    core.misuse(op, "header '%s' must be a string, a number or a list of them, got %s", name, type(value))
  end
  if value:find("[\0-\8\10-\31\127]") then
    core.misuse(op, "header '%s' must not hold control characters", name)
  end
  return value
end

-- Put `headers` into `set` (lower-case name -> {name, value}).
local function add_headers(set, headers, op)
  if type(headers) ~= "table" then
    core.misuse(op, "option headers must be a table, got %s", type(headers))
  end
  for name, value in pairs(headers) do
    if type(name) ~= "string" or not name:find(TOKEN) then
      core.misuse(op, "option headers must have header names for keys, got %q", tostring(name))
    end
    local lower = name:lower()
    if lower == "transfer-encoding" then
      core.misuse(op, "header 'transfer-encoding' is for the client to set")
    end
    if type(value) == "table" then
      local list = {}
      for i, one in ipairs(value) do list[i] = check_value(op, name, one) end
      set[lower] = { name, list }
    elseif value == false then
      set[lower] = { name, false }
    else
      set[lower] = { name, check_value(op, name, value) }
    end
  end
end

local function add_auth(set, opts, op)
  local auth, bearer = opts.auth, opts.bearer
  if auth ~= nil then
    local user, password = type(auth) == "table" and auth[1], type(auth) == "table" and auth[2]
    if type(user) ~= "string" or type(password) ~= "string" then
      core.misuse(op, "option auth must be a list of user and password")
    elseif user:find(":", 1, true) then
      core.misuse(op, "option auth must have a user without a colon")
    elseif bearer ~= nil then
      core.misuse(op, "options auth and bearer must not both be given")
    end
    set.authorization = { "Authorization", "Basic " .. base64(user .. ":" .. password) }
  elseif bearer ~= nil then
    if type(bearer) ~= "string" then
      core.misuse(op, "option bearer must be a string, got %s", type(bearer))
    end
    set.authorization = { "Authorization", check_value(op, "authorization", "Bearer " .. bearer) }
  end
end

local function add_line(lines, name, value)
  -- curl's own spelling: "name:" leaves a header out, "name;" sends an empty one
  if value == false then
    lines[#lines + 1] = name .. ":"
  elseif value:find("%S") then
    lines[#lines + 1] = name .. ": " .. value
  else
    lines[#lines + 1] = name .. ";"
  end
end

local function add_lines(lines, header)
  local name, value = header[1], header[2]
  if type(value) == "table" then
    for _, one in ipairs(value) do add_line(lines, name, one) end
  else
    add_line(lines, name, value)
  end
end

-- The lines that are sensitive come first, and the field `sensitive` counts them.
local function to_lines(set, sensitive)
  local lines = {}
  for lower in pairs(sensitive or {}) do
    if set[lower] then add_lines(lines, set[lower]) end
  end
  lines.sensitive = #lines
  for lower, header in pairs(set) do
    if not (sensitive and sensitive[lower]) then add_lines(lines, header) end
  end
  return lines
end

-- The set of names that `list` adds to those of `known`, either may be nil.
local function add_sensitive(known, list, op)
  if list == nil then return known end
  if type(list) ~= "table" then
    core.misuse(op, "option sensitive must be a list of header names, got %s", type(list))
  end
  local all = {}
  for lower in pairs(known or {}) do all[lower] = true end
  for _, name in ipairs(list) do
    if type(name) ~= "string" or not name:find(TOKEN) then
      core.misuse(op, "option sensitive must be a list of header names, got %q in it", tostring(name))
    end
    all[name:lower()] = true
  end
  return all
end

-- --- the URL ------------------------------------------------------------------------------------
local function escape(s)
  return (s:gsub("[^%w%-._~]", function(ch) return ("%%%02X"):format(ch:byte()) end))
end

local function query_value(op, name, value)
  local kind = type(value)
  if kind == "string" then return escape(value) end
  if kind == "boolean" then return tostring(value) end
  if math.type(value) == "integer" then return tostring(value) end
  if kind == "number" then return escape(("%.17g"):format(value)) end
  return core.misuse(op, "query '%s' must be a string, number, boolean or a list of them, got %s", name, kind)
end

-- In the order of the names, so that the same query is the same URL.
local function add_query(url, query, op)
  if type(query) ~= "table" then
    core.misuse(op, "option query must be a table, got %s", type(query))
  end
  local names, parts = {}, {}
  for name in pairs(query) do
    if type(name) ~= "string" then
      core.misuse(op, "option query must have strings for keys, got %s", type(name))
    end
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = query[name]
    local values = type(value) == "table" and value or { value }
    for _, one in ipairs(values) do
      parts[#parts + 1] = escape(name) .. "=" .. query_value(op, name, one)
    end
  end
  if #parts == 0 then return url end
  local rest, fragment = url:match("^([^#]*)(.*)$")
  local joint = not rest:find("?", 1, true) and "?" or rest:find("[?&]$") and "" or "&"
  return rest .. joint .. table.concat(parts, "&") .. fragment
end

-- --- the body -----------------------------------------------------------------------------------
-- The body as a string, or as a function that gives it in pieces.
local function to_body(opts, set, op)
  local body = opts.body
  if opts.json ~= nil then
    if body ~= nil then
      core.misuse(op, "options body and json must not both be given")
    end
    if not (set["content-type"] and set["content-type"][2]) then
      set["content-type"] = { "Content-Type", "application/json" }
    end
    return require("weir.json").encode(opts.json)
  end
  local kind = type(body)
  if kind == "string" or kind == "nil" then return body end
  if kind == "function" then return nil, body end
  if (kind == "userdata" or kind == "table") and body.read then
    return nil, function() return body:read(CHUNK) end
  end
  return core.misuse(op, "option body must be a string, a function or have a read method, got %s", kind)
end

-- What the content-length header says; it is taken out, for curl writes it itself.
local function take_length(set, body, source, op)
  local header = set["content-length"]
  if not header then return nil end
  set["content-length"] = nil
  local length = math.tointeger(tonumber(header[2] or nil))
  if not length or length < 0 or (not source and length ~= #(body or "")) then
    core.misuse(op, "header 'content-length' must be the length of the body")
  end
  return length
end

local function pump(x, source, op)
  for chunk in source do
    if type(chunk) ~= "string" then
      core.misuse(op, "option body must give strings until nil, got %s", type(chunk))
    end
    if not x:write(chunk) then return end -- the answer came first
  end
  x:finish()
end

local guard_meta <const> = {
  __close = function(guard)
    if guard.exchange then guard.exchange:close() end
  end,
}

local function in_steps(client, method, url, lines, body, opts, source, length, op)
  local x <const> = exchange(client, method, url, lines, source and true or body, opts, length)
  local guard <close> = setmetatable({ exchange = x }, guard_meta)
  if source then pump(x, source, op) end
  local response <const> = x:answer()
  if opts.stream then
    response.exchange = x
    guard.exchange = nil
  end
  return response
end

-- --- requests -------------------------------------------------------------------------------------
local known_ops <const> = {
  GET = "http:get", HEAD = "http:head", POST = "http:post", PUT = "http:put", PATCH = "http:patch",
  DELETE = "http:delete",
}

local function send_with(client, method, url, opts)
  local op <const> = known_ops[method] or "http:request"
  core.check_options(opts, op, of_request)
  if opts.stream ~= nil and type(opts.stream) ~= "boolean" then
    core.misuse(op, "option stream must be a boolean, got %s", type(opts.stream))
  end
  if type(url) ~= "string" then
    core.misuse(op, "'url' must be a string, got %s", type(url))
  end
  if opts.query ~= nil then url = add_query(url, opts.query, op) end

  local lines, body, source, length
  if opts.headers or opts.auth or opts.bearer or opts.json ~= nil or opts.sensitive then
    local set, common = {}, defaults[client] or {}
    for lower, header in pairs(common.set or {}) do set[lower] = header end
    local sensitive = add_sensitive(common.sensitive, opts.sensitive, op)
    if opts.headers ~= nil then add_headers(set, opts.headers, op) end
    add_auth(set, opts, op)
    body, source = to_body(opts, set, op)
    length = take_length(set, body, source, op)
    lines = to_lines(set, sensitive)
  else
    body, source = to_body(opts, {}, op)
  end
  if source or opts.stream then
    return in_steps(client, method, url, lines, body, opts, source, length, op)
  end
  return perform(client, method, url, lines, body, opts)
end

local function send(client, method, url, opts)
  if opts == nil then
    if type(url) ~= "table" then return perform(client, method, url) end
    opts = url
    url = opts.url
  end
  return send_with(client, method, url, opts)
end

---@class (exact) weir.http.ClientStats
---@field held integer requests under way
---@field waiting integer
---@field max integer
---@field room integer
---@field open integer connections
---@field spare integer of these, idle
---@field requests integer ever, as the following
---@field failed integer
---@field redirects integer
---@field connections integer
---@field lookups integer
---@field rejects { overload: integer }

---@alias weir.http.Url string|weir.http.Options
---@alias weir.http.Method async fun(self: any, url: weir.http.Url, options?: weir.http.Options): weir.http.Response
---@alias weir.http.Call async fun(url: weir.http.Url, options?: weir.http.Options): weir.http.Response

---@class weir.http.Client
---@field get weir.http.Method
---@field head weir.http.Method
---@field post weir.http.Method
---@field put weir.http.Method
---@field patch weir.http.Method
---@field delete weir.http.Method
---@field close fun(self: weir.http.Client) requests under way and later ones get `closed`
---@field is_open fun(self: weir.http.Client): boolean
---@field stats fun(self: weir.http.Client): weir.http.ClientStats
local Client <const> = curl.methods

for _, method in ipairs { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" } do
  --- client:get(url | options), client:get(url, options) and so on for each method.
  local op <const> = "client:" .. method:lower()
  Client[method:lower()] = function(self, url, opts)
    core.check_self(self, curl.meta, op)
    return send(self, method, url, opts)
  end
end

for _, name in ipairs { "close", "is_open", "stats" } do
  local method <const>, op <const> = Client[name], "client:" .. name
  Client[name] = function(self)
    core.check_self(self, curl.meta, op)
    return method(self)
  end
end

--- The same with the method as an option.
---@async
---@param url string|weir.http.Options
---@param opts? weir.http.Options
---@return weir.http.Response
function Client:request(url, opts)
  core.check_self(self, curl.meta, "client:request")
  if opts == nil and type(url) == "table" then
    opts = url
    url = opts.url
  end
  local method = "GET"
  if opts ~= nil then
    core.check_options(opts, "http:request", of_request)
    method = opts.method or method
    if type(method) ~= "string" then
      core.misuse("http:request", "option method must be a string, got %s", type(method))
    end
    if known_ops[method:upper()] then method = method:upper() end
  end
  return send(self, method, url, opts)
end

-- --- responses --------------------------------------------------------------------------------------
---@class weir.http.Response
---@field status integer
---@field headers table<string, string|string[]> names in lower case; repeats joined by ", ", set-cookie a list
---@field body? string whole; nil if it is streamed
---@field url string where it came from, after redirects; without credentials
---@field http_version string "1.1", "2" ...
---@field elapsed number seconds from the call to the answer
local Response <const> = {}

local function stream_of(response, op)
  core.check_self(response, curl.response, op)
  local x = rawget(response, "exchange")
  if not x then
    core.misuse(op, "the response was not asked for with stream = true")
  end
  return x
end

--- The next piece of a streamed body, or nil at its end.
---@async
---@return string?
function Response:read()
  return stream_of(self, "response:read"):read()
end

--- An iterator over the pieces; a loop that is left early closes the response.
---@return fun(): string?
function Response:chunks()
  local x <const> = stream_of(self, "response:chunks")
  return function() return x:read() end, nil, nil, self
end

--- Give the connection up, if the body was not read to its end. Harmless otherwise.
function Response:close()
  core.check_self(self, curl.response, "response:close")
  local x <const> = rawget(self, "exchange")
  if x then x:close() end
end

--- The body, decoded; reads a streamed one to its end. Kind `protocol` if it is not JSON.
---@async
---@return any
function Response:json()
  core.check_self(self, curl.response, "response:json")
  local body = rawget(self, "body")
  if not body then
    local pieces = {}
    for piece in self:chunks() do pieces[#pieces + 1] = piece end
    body = table.concat(pieces)
  end
  return require("weir.json").decode(body)
end

-- The header lines that came become a table, and the version a field, when they are looked at.
curl.response.__index = function(response, key)
  if key == "headers" then
    local headers <const> = curl.headers(response.head)
    response.headers = headers
    return headers
  elseif key == "http_version" then
    return response.head:match("^HTTP/([%d.]+)")
  end
  return Response[key]
end
curl.response.__close = Response.close

-- --- clients ------------------------------------------------------------------------------------------
--- A client of its own: connections, limits and options of every request it makes.
---@param opts? weir.http.ClientOptions
---@return weir.http.Client
local function new(opts)
  local op <const> = "http.client"
  local set, sensitive, lines = {}, nil, nil
  if opts == nil then
    opts = {}
  else
    core.check_options(opts, op, of_client)
    if opts.headers ~= nil then add_headers(set, opts.headers, op) end
    add_auth(set, opts, op)
    if set["content-length"] then
      core.misuse(op, "header 'content-length' must be the length of a body")
    end
    sensitive = add_sensitive(nil, opts.sensitive, op)
    if next(set) then lines = to_lines(set, sensitive) end
  end
  local copy = {}
  for name, value in pairs(opts) do copy[name] = value end
  local client <const> = curl.client(copy, lines)
  if lines or sensitive then defaults[client] = { set = set, sensitive = sensitive } end
  return client
end

return { new = new }
