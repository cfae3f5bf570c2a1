-- support/nginx.lua - a real nginx on a free port of this machine, for as long as a spec needs it.
--
--   local server = nginx.start()      server.port, server.tls_port, server.ca, server.dir
--   server:stop()
--
-- Knows nothing of weir. Everything it writes is in one temporary folder, which stop() removes.
-- What it serves: /hello /where (what it saw) /404 /gzip /large /slow /auth /hop/N /loop
-- /moved/STATUS /to?URL /cookies /echo (a small body, back) /files/NAME (PUT, GET, DELETE)
-- nginx.found is false where there is no nginx.

local nginx = {}

-- What a sanitizer preloads for weir is not for the tools.
local SHELL <const> = "PATH=$PATH:/usr/sbin:/usr/local/sbin; unset LD_PRELOAD; "

local function run(command)
  local pipe = assert(io.popen(SHELL .. "{ " .. command .. "; } 2>&1"))
  local output = pipe:read("a")
  local ok = pipe:close()
  return ok == true, output
end

nginx.found = run("command -v nginx")

local large = ("0123456789abcde\n"):rep(65536) -- 1 MiB

local template <const> = [[
daemon on;
worker_processes 1;
pid DIR/pid;
error_log DIR/error.log warn;
events { worker_connections 4000; }
http {
  access_log off;
  server_tokens off;
  client_body_temp_path DIR/body;
  proxy_temp_path DIR/proxy;
  fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi;
  scgi_temp_path DIR/scgi;
  client_max_body_size 0;
  keepalive_requests 1000000;
  default_type text/plain;
  server {
    listen 127.0.0.1:PORT backlog=4096;
    TLS
    root DIR/www;
    location = /hello { return 200 "hello"; }
    location = /where {
      add_header X-Connection $connection;
      add_header X-Request $connection_requests;
      set $what "$request_method $request_uri $server_protocol host=$http_host agent=$http_user_agent";
      set $sent "type=$http_content_type auth=$http_authorization one=$http_x_one";
      return 200 "$what $sent encoding=$http_accept_encoding cookie=$http_cookie via=$http_x_via";
    }
    location = /cookies {
      add_header Set-Cookie "a=1; Path=/";
      add_header Set-Cookie "b=2; Expires=Wed, 21 Oct 2099 07:28:00 GMT";
      add_header X-Twice one;
      add_header X-Twice two;
      return 200 "";
    }
    location = /gzip { gzip on; gzip_min_length 0; gzip_types *; try_files /large.txt =404; }
    location = /large { try_files /large.txt =404; }
    location = /slow { limit_rate 2k; try_files /large.txt =404; }
    location = /auth { auth_basic "weir"; auth_basic_user_file DIR/users; try_files /hello.txt =404; }
    location = /loop { return 302 /loop; }
    location = /hop/0 { return 200 "landed"; }
    HOPS
    location = /moved/301 { return 301 /where; }
    location = /moved/302 { return 302 /where; }
    location = /moved/303 { return 303 /where; }
    location = /moved/307 { return 307 /echo; }
    location = /moved/308 { return 308 /echo; }
    location = /to { return 302 $args; }
    location = /204 { return 204; }
    location = /echo {
      proxy_set_header X-Body $request_body;
      proxy_set_header X-Method $request_method;
      proxy_set_header X-Type $content_type;
      proxy_pass http://127.0.0.1:PORT/echoed;
    }
    location = /echoed { return 200 "$http_x_method $http_x_type $http_x_body"; }
    location /files/ { dav_methods PUT DELETE; create_full_put_path on; client_body_in_file_only off; }
    location / { return 404 "nothing here"; }
  }
}
]]

local function write(name, text)
  local file <close> = assert(io.open(name, "w"))
  file:write(text)
end

-- Ports that somebody listens on or uses, as far as the system tells.
local function ports_in_use()
  local used = {}
  local file <close> = io.open("/proc/net/tcp")
  for line in file and file:lines() or function() end do
    local port = line:match("^%s*%d+: %x+:(%x+)")
    if port then used[tonumber(port, 16)] = true end
  end
  return used
end

-- Below the range that the system gives to outgoing connections.
local function free_port(used)
  local port
  repeat port = math.random(20000, 32000) until not used[port]
  used[port] = true
  return port
end

local function make_certificate(dir)
  return (run(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
    .. "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
    .. "-keyout %s/key.pem -out %s/cert.pem"):format(dir, dir)))
end

local server = {}
server.__index = server

--- End it and remove its folder.
function server:stop()
  local file = io.open(self.dir .. "/pid")
  local pid = file and file:read("n")
  if file then file:close() end
  if pid then
    run(("kill -TERM %d; for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 %d || break; sleep 0.05; done"):format(pid, pid))
  end
  run(("rm -rf '%s'"):format(self.dir))
end
server.__close = server.stop

--- The URL of `path`, or of its TLS port.
function server:url(path)
  return ("http://127.0.0.1:%d%s"):format(self.port, path)
end

function server:tls_url(path)
  return ("https://localhost:%d%s"):format(self.tls_port, path)
end

--- The text of its error log.
function server:log()
  local file <close> = io.open(self.dir .. "/error.log")
  return file and file:read("a") or ""
end

local function prepare()
  local ok, dir = run("mktemp -d")
  assert(ok, dir)
  dir = dir:gsub("%s+$", "")
  assert(run(("mkdir -p %s/www/files && chmod -R a+rwx %s"):format(dir, dir)))
  write(dir .. "/www/large.txt", large)
  write(dir .. "/www/hello.txt", "hello")
  write(dir .. "/users", "ann:{PLAIN}se cret\n")
  return dir
end

--- Start one. Raises its output if it does not come up.
function nginx.start()
  local self = setmetatable({ dir = prepare() }, server)
  local has_tls = make_certificate(self.dir)
  local hops = {}
  for i = 1, 12 do hops[i] = ("location = /hop/%d { return 302 /hop/%d; }"):format(i, i - 1) end
  local output
  for _ = 1, 5 do -- a port can be taken between the look and the start
    local used = ports_in_use()
    self.port, self.tls_port = free_port(used), free_port(used)
    local values = {
      DIR = self.dir, PORT = tostring(self.port), HOPS = table.concat(hops, "\n    "),
      TLS = has_tls and ([[listen 127.0.0.1:%d ssl http2;
    ssl_certificate %s/cert.pem;
    ssl_certificate_key %s/key.pem;]]):format(self.tls_port, self.dir, self.dir) or "",
    }
    write(self.dir .. "/nginx.conf", (template:gsub("%u%u+", values)))
    local ok
    ok, output = run(("nginx -e %s/error.log -p %s -c %s/nginx.conf"):format(self.dir, self.dir, self.dir))
    if ok then
      self.ca = has_tls and self.dir .. "/cert.pem" or nil
      return self
    end
  end
  self:stop()
  error("nginx did not start: " .. output)
end

nginx.large = large

return nginx
