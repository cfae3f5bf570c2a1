-- support/postgres.lua - a real PostgreSQL on a free port of this machine, for as long as a spec needs it.
--
--   local server = postgres.start { tls = true, settings = {max_connections = 5} }
--   server:url([query]) server.port server.dir (its unix socket) server.ca
--   server:psql(sql) -> output     server:restart("immediate")     server:stop()
--
-- Knows nothing of weir. All it writes is in one temporary folder, which stop() removes. It will not run as root, so
-- then `postgres` or `nobody` runs it. Should this process be killed, a watcher stops it. Nothing it writes is forced
-- to disk. Users: weir (trusted), secret (a database of that name, password "s3 cret"). postgres.found is false
-- where there is no PostgreSQL.

local postgres = {}

-- What a sanitizer preloads for weir is not for the tools, nor is who runs the tests.
local SHELL <const> = "unset LD_PRELOAD PGHOST PGPORT PGUSER PGDATABASE PGSERVICE PGOPTIONS; "

local function quote(text)
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

local function run(command)
  local pipe = assert(io.popen(SHELL .. "{ " .. command .. "\n} 2>&1 </dev/null"))
  local output = pipe:read("a")
  local ok = pipe:close()
  return ok == true, output
end

-- Where initdb is: Debian keeps it out of the path, one folder a version.
local function find_bin()
  local _, output = run("ls -d /usr/lib/postgresql/*/bin/initdb | sort -V | tail -1; readlink -f $(command -v initdb)")
  return output:match("(/[^\n]*/)initdb\n")
end

local BIN <const> = find_bin()
postgres.found = BIN ~= nil
postgres.bin = BIN

-- Run as somebody else if this is root.
local function as_user(command)
  local _, id = run("id -u")
  if id:match("%d+") ~= "0" then return command end
  local user = run("id postgres") and "postgres" or "nobody"
  return ("setpriv --reuid=%s --regid=$(id -g %s) --clear-groups sh -c %s"):format(user, user, quote(command))
end

local function ports_in_use()
  local used = {}
  for _, name in ipairs { "/proc/net/tcp", "/proc/net/tcp6" } do
    local file <close> = io.open(name)
    for line in file and file:lines() or function() end do
      local port = line:match("^%s*%d+: %x+:(%x+)")
      if port then used[tonumber(port, 16)] = true end
    end
  end
  return used
end

-- Below the range that the system gives to outgoing connections.
local function free_port()
  local used = ports_in_use()
  while true do
    local port = math.random(20000, 32000)
    if not used[port] then return port end
  end
end

local function write(name, text)
  local file <close> = assert(io.open(name, "w"))
  file:write(text)
end

local server = {}
server.__index = server

local function must(command)
  local ok, output = run(command)
  if not ok then error(command .. ": " .. output, 2) end
  return output
end

function server:ctl(words)
  return run(as_user(("%spg_ctl -D %s/data -l %s/log -w -t 60 %s"):format(BIN, self.dir, self.dir, words)))
end

--- Stop it in a way ("immediate": as a crash would) and start it again.
function server:restart(mode)
  local ok, output = self:ctl("restart -m " .. (mode or "fast"))
  if not ok then error("no restart: " .. output .. self:log(), 2) end
end

--- The same without waiting for it: the caller's tasks go on meanwhile.
function server:begin_restart(mode)
  must("(" .. as_user(("%spg_ctl -D %s/data -l %s/log -w -t 60 restart -m %s"):format(BIN, self.dir, self.dir, mode))
    .. ") >/dev/null 2>&1 &")
end

--- The id of its first process.
function server:postmaster()
  local file <close> = assert(io.open(self.dir .. "/data/postmaster.pid"))
  return file:read("n")
end

--- Stop all its processes where they are, or one; and let them go on. Who connects meanwhile gets no answer.
function server:pause(pid)
  must(as_user(("kill -STOP %d"):format(pid or self:postmaster())))
end

function server:resume(pid)
  must(as_user(("kill -CONT %d"):format(pid or self:postmaster())))
end

--- The same as a value that is closed at its end.
function server:paused(pid)
  self:pause(pid)
  return setmetatable({}, { __close = function() self:resume(pid) end })
end

--- End it and remove its folder.
function server:stop()
  if not self.dir then return end
  self:ctl("stop -m immediate")
  run("rm -rf " .. quote(self.dir))
  self.dir = nil
end
server.__close = server.stop

-- Nobody stops a server whose tests were killed but this.
function server:watch()
  local _, pid = run("echo $PPID")
  must(("(while kill -0 %d && test -d %s; do sleep 0.5; done; test ! -d %s || { %s; rm -rf %s; }) >/dev/null 2>&1 &")
    :format(tonumber(pid), self.dir, self.dir, as_user(("%spg_ctl -D %s/data -m immediate stop"):format(BIN, self.dir)),
      self.dir))
end

--- A URL, over TCP.
function server:url(query)
  return ("postgres://weir@127.0.0.1:%d/postgres%s"):format(self.port, query or "")
end

--- The text of its log.
function server:log()
  local file <close> = io.open(self.dir .. "/log")
  return file and file:read("a") or ""
end

--- What psql says to `sql`, rows as lines. Blocks.
function server:psql(sql)
  return (must(("%spsql -X -q -A -t -v ON_ERROR_STOP=1 -h %s -p %d -U weir -d postgres -c %s"):format(BIN, self.dir,
    self.port, quote(sql))):gsub("\n$", ""))
end

local function make_certificates(dir)
  must(([[cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=weir-test-authority -keyout ca-key.pem -out ca.pem &&
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
    -keyout data/server.key -out server.csr &&
    printf 'subjectAltName=DNS:localhost\n' >ext && openssl x509 -req -in server.csr -CA ca.pem -CAkey ca-key.pem \
    -CAcreateserial -days 2 -extfile ext -out data/server.crt && chmod 600 data/server.key]]):format(quote(dir)))
end

local authentication <const> = [[
local all all                  trust
host  all secret 127.0.0.1/32  scram-sha-256
host  all all    127.0.0.1/32  trust
]]

--- Start one. `options.tls`: with a certificate for localhost, of the authority server.ca; `options.settings`: lines
--- of postgresql.conf. Raises its output if it does not come up.
function postgres.start(options)
  options = options or {}
  local self <const> = setmetatable({ dir = must("mktemp -d"):gsub("%s+$", "") }, server)
  local dir <const> = self.dir
  local output
  local ok, err = pcall(function()
    must(("chmod 711 %s && mkdir %s/data && chown $(%s) %s %s/data"):format(dir, dir, as_user("id -u"), dir, dir))
    must(as_user(("%sinitdb -D %s/data -U weir -A trust -N --locale=C -E UTF8 >/dev/null"):format(BIN, dir)))
    if options.tls then
      make_certificates(dir)
      must(("chown $(stat -c %%u %s/data) %s/data/server.key %s/data/server.crt"):format(dir, dir, dir))
      self.ca = dir .. "/ca.pem"
    end
    write(dir .. "/data/pg_hba.conf", authentication)
    for _ = 1, 5 do -- a port can be taken between the look and the start
      self.port = free_port()
      local lines <const> = {
        "listen_addresses = '127.0.0.1'", "port = " .. self.port, "unix_socket_directories = '" .. dir .. "'",
        "fsync = off", "synchronous_commit = off", "full_page_writes = off", "shared_buffers = 16MB",
        "max_connections = 60", "logging_collector = off", "autovacuum = off", "lc_messages = 'C'",
        "log_min_messages = fatal", "ssl = " .. (options.tls and "on" or "off"),
      }
      for name, value in pairs(options.settings or {}) do lines[#lines + 1] = ("%s = '%s'"):format(name, value) end
      write(dir .. "/data/postgresql.conf", table.concat(lines, "\n") .. "\n")
      local up, said = self:ctl("start")
      if up then
        self:watch()
        return
      end
      output = said .. self:log()
    end
    error("PostgreSQL did not start: " .. tostring(output), 0)
  end)
  if not ok then
    self:stop()
    error(err, 2)
  end
  return self
end

return postgres
