-- types/weir/http_server.lua - the annotations of bindings/weir/http/server.lua, taken out by tools/types.lua; do not edit.
---@meta _

---@class (exact) weir.http.Request
---@field method string as sent: "GET" ...
---@field target string as sent: "/a%20b?x=1"
---@field path string decoded: "/a b"
---@field query table<string, string> decoded; of a repeated name the last value
---@field query_string string as sent, "" if there is none
---@field headers table<string, string> by lower-case name; repeated ones joined by ", "
---@field body string "" if there is none
---@field remote string the client's address

---@class weir.http.Reply
---@field status integer 200 to 599
---@field headers? table<string, string|number|(string|number)[]> a list is a header for each value
---@field body? weir.http.Body a function gives chunks until nil, and may wait; what has `read` is read, and closed

---@class (exact) weir.http.ServeOptions
---@field host? string an IP address, "localhost" or "*"; "127.0.0.1" unless said
---@field port? integer 0, the default, is a free one
---@field name? string for reports
---@field backlog? integer connections that the system keeps before they are accepted; 1024
---@field max_connections? integer 10000, or three quarters of the descriptors; more wait
---@field max_header? integer bytes of a head, a request's (else 431) and a response's; 8192
---@field max_body? integer bytes of a request's body, else 413; 8 MiB
---@field body_timeout? number seconds for all of a request's body, however it trickles, else 408; 30
---@field max_buffered? integer bytes of bodies that no handler has yet, in all, else 503; 256 MiB, or max_body
---@field idle_timeout? number seconds until a head is here, and (whole ones) without progress of a body or answer; 60

---@class (exact) weir.http.ServerStats
---@field connections integer open now
---@field max_connections integer
---@field active integer requests whose handler runs
---@field accepted integer connections, ever
---@field requests integer heads read, ever
---@field errors integer handlers that failed
---@field left integer clients that did not wait for the answer
---@field timeouts integer connections closed because no request, or not all of it, came in time
---@field buffered integer bytes of bodies that no handler has yet
---@field refused { head: integer, body: integer, malformed: integer, closing: integer, buffered: integer }

---@class weir.http.Server
---@field host string
---@field port integer
---@field name? string
local Server = {}

--- Close at once: handlers are cancelled, then everything is closed. Idempotent.
---@async
---@param reason? any what the handlers' `cancelled` says
function Server:close(reason) end

--- Refuse new connections, let requests finish, close idle connections; returns when all are gone.
---@async
function Server:drain() end

--- A snapshot.
---@return weir.http.ServerStats
function Server:stats() end

---@class weir.http
local http = {}

--- Serve HTTP/1.1, from now on until the server is closed or the current scope is cancelled.
---@async
---@param options weir.http.ServeOptions
---@param handler async fun(request: weir.http.Request): weir.http.Reply
---@return weir.http.Server
function http.serve(options, handler) end
