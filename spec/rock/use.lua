-- use.lua - what a user does with installed rocks, in plain lua5.4: use.lua FOLDER [MODULE]...
--
-- Everything of weir must come from below FOLDER. What each of the modules does is tried: "weir" itself, "weir.http"
-- (a fetch from its own server), "weir.postgres" (that it loads, and that nobody listens), "weir.sqlite",
-- "weir.json", "luv" (on weir's loop, in the same Lua state as the tasks).
local folder <const> = arg[1]
local weir = require "weir"

local tried <const> = {}

function tried.weir()
  local test = require "weir.test"
  local function squares()
    return weir.map({ 1, 2, 3 }, function(n) weir.sleep(0.001 * n) return n * n end, { limit = 2 })
  end
  assert(weir.run(squares)[3] == 9)
  assert(test.run(squares)[3] == 9)
  local function too_long() weir.timeout(0.001, weir.sleep, 60) end
  local ok, err = pcall(weir.run, function() weir.semaphore(1):with(too_long) end)
  assert(not ok and weir.kind(err) == "timeout", tostring(err))
end

tried["weir.http"] = function()
  local http = require "weir.http"
  weir.run(function()
    local server <close> = http.serve({ host = "127.0.0.1", port = 0 }, function(request)
      return { status = 201, headers = { ["content-type"] = "text/plain" }, body = "you asked for " .. request.path }
    end)
    local answer = http.get(("http://127.0.0.1:%d/rocks"):format(server.port))
    assert(answer.status == 201 and answer.body == "you asked for /rocks", answer.body)
  end)
end

tried["weir.postgres"] = function()
  local postgres = require "weir.postgres"
  local ok, err = pcall(weir.run, function() postgres.connect { host = folder .. "/nobody", user = "weir" } end)
  assert(not ok and weir.kind(err) == "network", tostring(err))
end

tried["weir.sqlite"] = function()
  local sqlite = require "weir.sqlite"
  weir.run(function()
    local db <close> = sqlite.open(":memory:")
    db:exec("create table stones (name text, weight integer)")
    db:query("insert into stones values (?, ?), (?, ?)", "slate", 3, "basalt", 4)
    assert(db:value("select sum(weight) from stones") == 7)
  end)
end

tried["weir.json"] = function()
  local json = require "weir.json"
  assert(json.decode(json.encode { id = 9007199254740993 }).id == 9007199254740993)
end

-- A timer of luv and one of weir, one after the other, and a file read through luv: one loop drives both.
function tried.luv()
  local uv = require "weir.luv"
  assert(uv == require "luv")
  local order = {}
  weir.run(function()
    weir.spawn(function() weir.sleep(0.001) order[#order + 1] = "weir" end)
    weir.await(function(resume)
      local timer = uv.new_timer()
      timer:start(30, 0, function() order[#order + 1] = "luv" timer:close() resume() end)
      return timer
    end)
    local stat = weir.wrap(uv.fs_stat)
    local err, found = stat(folder)
    assert(not err and found.type == "directory", err)
  end)
  assert(table.concat(order, " ") == "weir luv", table.concat(order, " "))
  assert(select(2, pcall(weir.run, function() weir.await(function() end) end)).kind == "deadlock", "the loop has ended")
end

for i = 2, #arg do
  local ok, err = xpcall(assert(tried[arg[i]], arg[i]), debug.traceback)
  if not ok then error(("%s: %s"):format(arg[i], err), 0) end
end

for name in pairs(package.loaded) do
  if name == "weir" or name:find "^weir%." then
    local file = package.searchpath(name, package.path) or package.searchpath(name, package.cpath)
    assert(file and file:sub(1, #folder + 1) == folder .. "/", ("%s is %s"):format(name, file))
  end
end
