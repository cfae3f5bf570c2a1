-- types/weir/http_client.lua - the annotations of bindings/weir/http/client.lua, taken out by tools/types.lua; do not edit.
---@meta _

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
local Client = {}

--- The same with the method as an option.
---@async
---@param url string|weir.http.Options
---@param opts? weir.http.Options
---@return weir.http.Response
function Client:request(url, opts) end

---@class weir.http.Response
---@field status integer
---@field headers table<string, string|string[]> names in lower case; repeats joined by ", ", set-cookie a list
---@field body? string whole; nil if it is streamed
---@field url string where it came from, after redirects; without credentials
---@field http_version string "1.1", "2" ...
---@field elapsed number seconds from the call to the answer
local Response = {}

--- The next piece of a streamed body, or nil at its end.
---@async
---@return string?
function Response:read() end

--- An iterator over the pieces; a loop that is left early closes the response.
---@return fun(): string?
function Response:chunks() end

--- Give the connection up, if the body was not read to its end. Harmless otherwise.
function Response:close() end

--- The body, decoded; reads a streamed one to its end. Kind `protocol` if it is not JSON.
---@async
---@return any
function Response:json() end

---@class weir.http
local http = {}

--- A client of its own: connections, limits and options of every request it makes.
---@param opts? weir.http.ClientOptions
---@return weir.http.Client
function http.client(opts) end
