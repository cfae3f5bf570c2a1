-- types_spec.lua - the definition files in types/ say what the library has: no more, no less, and who may wait.
--
-- Each class is held against the table it describes, in both directions; fields of C objects against the source
-- of their __index, stats and options against the running ones. Whether a function may wait is found out by
-- calling it in a coroutine of our own, where every wait is refused.

local core = require "weir.core"
local helper = require "support.helper"
local test = require "weir.test"
local weir = require "weir"

local TOP <const> = os.getenv("WEIR_SOURCE") or "."

local function read(name)
  local file <close> = assert(io.open(TOP .. "/" .. name))
  return file:read("a")
end

-- ---------------------------------------------------------------- the definitions

local classes = {} -- name -> {parents = {names}, members = {name -> {async=, optional=, is=}}}
local functions = {} -- aliases of function types -> are they async

local function class_named(name)
  classes[name] = classes[name] or { parents = {}, members = {} }
  return classes[name]
end

-- Is a type that of a function, and an async one?
local function function_of(text)
  local known <const> = functions[text:match("^[%w_.]+")]
  if known ~= nil then return true, known end
  local bare <const> = text:gsub("^%(", "")
  return bare:find("^fun%(") ~= nil or bare:find("^async fun%(") ~= nil, bare:find("^async") ~= nil
end

local function each_definition_file()
  return assert(io.popen(("LC_ALL=C ls '%s'/types/weir.lua '%s'/types/weir/*.lua"):format(TOP, TOP))):lines()
end

local function parse_field(class, line)
  local name, rest = line:match("^%-%-%-@field ([%w_]+%??)%s+(.*)$")
  if not name or name == "package" then return end
  local plain <const> = name:gsub("%?$", "")
  assert(class.members[plain] == nil, "defined twice: " .. plain)
  local is_function <const>, async <const> = function_of(rest)
  class.members[plain] = { async = async, is = is_function and "function" or "field" }
end

local function parse(text)
  local current, variables, marked = nil, {}, false
  for line in text:gmatch("[^\n]*") do
    local name <const> = line:match("^%-%-%-@class %(exact%) ([%w_.]+)") or line:match("^%-%-%-@class ([%w_.]+)")
    if name then
      current = class_named(name)
      for parent in (line:match(name:gsub("%.", "%%.") .. ": (.*)$") or ""):gmatch("[%w_.]+") do
        table.insert(current.parents, parent)
      end
    elseif line:find("^%-%-%-@field") then
      parse_field(current, line)
    elseif line:find("^%-%-%-@async") then
      marked = true
    elseif line:find("^local [%w_]+ = {}$") then
      variables[line:match("^local ([%w_]+)")] = current
    elseif line:find("^function ") then
      local of, method = line:match("^function ([%w_]+)[.:]([%w_]+)%(")
      local members <const> = assert(variables[of], line).members
      assert(members[method] == nil, "defined twice: " .. line)
      members[method] = { async = marked, is = "function" }
    end
    if not line:find("^%-%-%-") then marked = false end
  end
end

for name in each_definition_file() do
  local file <close> = assert(io.open(name))
  for alias, async in file:read("a"):gmatch("\n%-%-%-@alias ([%w_.]+) (a?s?y?n?c? ?)fun%(") do
    functions[alias] = async ~= ""
  end
end
for name in each_definition_file() do
  local file <close> = assert(io.open(name))
  parse(file:read("a"))
end

-- The members of a class, inherited ones too.
local function members_of(name)
  local found = {}
  local class <const> = assert(classes[name], "no class " .. name)
  for _, parent in ipairs(class.parents) do
    for member, what in pairs(members_of(parent)) do found[member] = what end
  end
  for member, what in pairs(class.members) do found[member] = what end
  return found
end

local function sorted(set)
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  table.sort(list)
  return list
end

-- The keys of `there` are those of the class `name`: `is` chooses which kind of member.
local function same_names(name, there, is)
  local wanted, found = {}, {}
  for member, what in pairs(members_of(name)) do
    if not is or what.is == is then wanted[member] = true end
  end
  for member in pairs(there) do found[member] = true end
  assert.same({ name, sorted(found) }, { name, sorted(wanted) })
end

local function public(t)
  local found = {}
  for name in pairs(t) do
    if type(name) == "string" and not name:find("^_") then found[name] = true end
  end
  return found
end

local function upvalue(fn, name)
  for i = 1, math.huge do
    local got, value = debug.getupvalue(fn, i)
    if got == nil then return nil end
    if got == name then return value end
  end
end

local function module(name)
  local ok, found = pcall(require, name)
  return ok and found or nil
end

-- ---------------------------------------------------------------- names

local of_c <const> = { -- type of weir.core -> class
  task = "weir.Task", scope = "weir.Scope", semaphore = "weir.Semaphore", permit = "weir.Permit", limit = "weir.Limit",
  bucket = "weir.Bucket", reservation = "weir.Reservation", pool = "weir.Pool", lease = "weir.Lease",
  cache = "weir.Cache", batch = "weir.Batch",
}
local internal <const> = { simulator = true, flight = true }

describe("types:", function()
  it("what tools/types.lua makes is up to date", function()
    local pipe = assert(io.popen(("cd '%s' && lua5.4 tools/types.lua --check 2>&1"):format(TOP)))
    local output = pipe:read("a")
    assert.is_true(pipe:close(), output)
  end)

  it("are Lua", function()
    for name in each_definition_file() do assert(loadfile(name)) end
  end)

  it("weir is the table of require 'weir'", function()
    local there = public(weir)
    there._VERSION = true
    for _, name in ipairs { "http", "json", "luv", "postgres", "progress", "queueing", "sqlite", "test" } do
      there[name] = true
      local known, why = pcall(function() return weir[name] end)
      assert.is_true(known or tostring(why):find("not found", 1, true) ~= nil, tostring(why))
    end
    same_names("weir", there)
  end)

  for _, name in ipairs { "test", "json", "queueing", "http", "sqlite", "postgres" } do
    it("weir." .. name .. " is that module", function()
      local found = module("weir." .. name)
      if not found then return pending("weir." .. name .. " was not built") end
      same_names("weir." .. name, public(found))
    end)
  end

  it("every type of weir.core has a class, with its methods", function()
    for name, methods in pairs(core.methods) do
      assert.is_true(internal[name] or of_c[name] ~= nil, name)
      if of_c[name] then same_names(of_c[name], methods, "function") end
    end
  end)

  it("fields of C objects are those that their __index knows", function()
    local source = {}
    for name in assert(io.popen(("ls '%s'/bindings/l*.c"):format(TOP))):lines() do
      local file <close> = assert(io.open(name))
      source[#source + 1] = file:read("a")
    end
    source = table.concat(source)
    for name, class in pairs(of_c) do
      local body <const> = assert(source:match("\n[a-z ]*int l?" .. name .. "_index%(lua_State %*L%)\n{.-\n}"), name)
      local found = {}
      for field in body:gmatch('strcmp%(key, "([%w_]+)"%)') do found[field] = true end
      for field in body:gmatch('\n *{"([%w_]+)", p') do found[field] = true end
      same_names(class, found, "field")
    end
  end)

  it("objects of Lua have their methods", function()
    same_names("weir.Keyed", getmetatable(weir.keyed(function() end)).__index, "function")
    same_names("weir.Progress", public(getmetatable(weir.progress { terminal = false, file = assert(io.tmpfile()) })),
      "function")
    same_names("weir.Recorder", getmetatable(test.recorder()).__index, "function")
    same_names("weir.queueing.Wait", public(getmetatable(weir.queueing.wait { rate = 1, service = 0.1, servers = 1 })),
      "function")
  end)

  it("the HTTP client, its responses and the server have theirs", function()
    local curl, server = module("weir.http.curl"), module("weir.http.server")
    if not (curl and server) then return pending("weir.http was not built") end
    module("weir.http")
    same_names("weir.http.Client", public(curl.methods), "function")
    same_names("weir.http.Response", public(upvalue(curl.response.__index, "Response")), "function")
    same_names("weir.http.Server", upvalue(server.serve, "server_meta").__index, "function")
  end)

  it("connections, statements and pools of databases have theirs", function()
    local sqlite, postgres = module("weir.sqlite"), module("weir.postgres.methods")
    if not (sqlite and postgres) then return pending("weir.sqlite or weir.postgres was not built") end
    weir.run(function()
      local db <close> = sqlite.open(":memory:")
      local there = public(upvalue(getmetatable(db).__index, "Session"))
      for _, more in ipairs { db.driver.methods, db.driver.properties, postgres } do
        for name in pairs(more) do there[name] = true end
      end
      local driver <const> = upvalue(upvalue(require("weir.postgres").connect, "dialler"), "driver")
      for name in pairs(driver.properties) do there[name] = true end
      there.closed, there.name = true, true
      same_names("weir.database.Session", there)
      local statement <close> = db:prepare("select 1")
      same_names("weir.database.Statement", public(getmetatable(statement).__index))
    end)
    local pool <close> = sqlite.pool { path = "file:types?mode=memory&cache=shared" }
    local own = public(upvalue(getmetatable(pool).__index, "Pool"))
    for name in pairs(own) do assert.is_truthy(members_of("weir.database.Pool")[name], name) end
    for name in pairs(members_of("weir.database.Pool")) do
      if name ~= "name" then assert.is_not_nil(pool[name], name) end
    end
    for name, index in pairs {
      ["weir.postgres.CopyIn"] = upvalue(postgres.copy_in, "copy_in_meta").__index,
      ["weir.postgres.Pipeline"] = upvalue(postgres.pipeline, "pipeline_meta").__index,
    } do
      local there = public(index)
      there.op = nil -- for messages
      same_names(name, there)
    end
  end)

  it("stats are what stats() gives", helper.virtual(function()
    local sem, limit = weir.semaphore { permits = 1, name = "s" }, weir.limit { n = 1, name = "l" }
    same_names("weir.SemaphoreStats", sem:stats())
    same_names("weir.SemaphoreStats", limit:stats())
    sem:with(function() end)
    same_names("weir.Histogram", sem:stats().wait)
    same_names("weir.BucketStats", weir.bucket({ rate = 1, name = "b" }):stats())
    same_names("weir.KeyedStats", weir.keyed(function() return {} end, { name = "k" }):stats())
    same_names("weir.BatchStats", weir.batch(function(keys) return keys end, { name = "b" }):stats())
    local pool <close> = weir.pool { create = function() return 1 end, name = "p" }
    pool:with(weir.sleep, 0)
    weir.sleep(1)
    local stats = pool:stats()
    stats.suggested = stats.suggested or 1
    same_names("weir.PoolStats", stats)
    local cache <close> = weir.cache { name = "c" }
    pcall(cache.get, cache, 1, error)
    same_names("weir.CacheStats", cache:stats())
  end))
end)

-- ---------------------------------------------------------------- options

describe("types: options", function()
  -- What takes them.
  local takers <const> = {
    ["weir.SemaphoreOpts"] = weir.semaphore, ["weir.LimitOpts"] = weir.limit, ["weir.BucketOpts"] = weir.bucket,
    ["weir.PoolOpts"] = weir.pool, ["weir.CacheOpts"] = weir.cache,
    ["weir.ScopeOpts"] = function(o) return weir.scope(o, function() end) end,
    ["weir.AcquireOpts"] = function(o) return weir.semaphore(1):acquire(1, o) end,
    ["weir.JobOpts"] = function(o) return weir.limit(1):submit(o, function() end) end,
    ["weir.BucketLimits"] = function(o) return weir.bucket({ rate = 1 }):set(o) end,
    ["weir.CacheKeep"] = function(o) return weir.cache({}):set("key", "value", o) end,
    ["weir.KeyedOpts"] = function(o) return weir.keyed(function() end, o) end,
    ["weir.BatchOpts"] = function(o) return weir.batch(function() end, o) end,
    ["weir.MapOpts"] = function(o) return weir.map({}, function() end, o) end,
    ["weir.ProgressOpts"] = function(o) return weir.progress(o) end,
    ["weir.TestOpts"] = function(o) return test.run(function() end, o) end,
    ["weir.WrapOpts"] = function(o) return test.wrap(function() end, o) end,
    ["weir.FlakyOpts"] = function(o) return test.flaky(function() end, o) end,
    ["weir.queueing.WaitOpts"] = weir.queueing.wait, ["weir.queueing.ServersOpts"] = weir.queueing.servers,
  }

  local http, sqlite = module("weir.http"), module("weir.sqlite")
  if http then
    takers["weir.http.ClientOptions"] = http.client
    takers["weir.http.Options"] = function(o) return http.client():request("http://127.0.0.1:9/", o) end
    takers["weir.http.ServeOptions"] = function(o) return http.serve(o, function() end) end
  end
  if sqlite then takers["weir.sqlite.Options"] = sqlite.open end

  for name, take in pairs(takers) do
    it(name .. " are those that are known", function()
      local known
      test.run(function()
        local err = helper.error("misuse", take, { bogus = true })
        assert.is_truthy(tostring(err):find("unknown option 'bogus'", 1, true), tostring(err))
        known = assert(tostring(err):match("%(known: (.*)%)"), tostring(err))
      end)
      local there = {}
      for option in known:gmatch("[%w_]+") do there[option] = true end
      same_names(name, there)
    end)
  end
end)

-- ---------------------------------------------------------------- who waits

-- Was a wait refused when fn(...) was called in a coroutine that is no task?
local function refuses_to_wait(fn, ...)
  local co <const> = coroutine.create(fn)
  local ok, err = coroutine.resume(co, ...)
  local text <const> = ok and "" or tostring(err)
  coroutine.close(co)
  return text:find("called in a coroutine of your own", 1, true) ~= nil
    or text:find("must be called inside a task", 1, true) ~= nil
end

local function nothing() end

-- Arguments of every function, of the object first for methods: a list, or a function that makes it.
local calls <const> = {
  ["weir"] = {
    all = { { nothing } }, any = { { nothing } }, await = { nothing }, batch = { nothing }, bucket = { { rate = 1 } },
    cache = { {} }, checkpoint = {}, daemon = { nothing }, detach = { nothing }, each = { { 1 }, nothing },
    iter = { { nothing } }, keyed = { nothing }, kind = { 1 }, limit = { 1 }, map = { { 1 }, nothing }, now = {},
    on_unhandled = {}, pool = { { create = nothing } }, quorum = { 1, { nothing } }, race = { { nothing } },
    scope = { nothing }, semaphore = { 1 }, settle = { { nothing } }, shield = { nothing }, sleep = { 1 },
    spawn = { nothing }, timeout = { 1, nothing }, wrap = { nothing },
  },
  ["weir.Task"] = { await = {}, pawait = {}, cancel = {} },
  ["weir.Scope"] = { spawn = { nothing }, cancel = {}, join = {}, settle = {} },
  ["weir.Semaphore"] = {
    acquire = {}, try_acquire = {}, with = { nothing }, with_n = { 1, nothing }, resize = { 1 }, resized = {},
    set_priority = function() return { weir.spawn(nothing), 0 } end, close = {}, drain = {}, stats = {}, is_idle = {},
  },
  ["weir.Permit"] = {
    release = {}, transfer = function() return { weir.spawn(weir.checkpoint) } end, split = { 1 }, merge = { 1 },
  },
  ["weir.Limit"] = {
    submit = { {}, nothing }, idle = {}, clear = {}, resize = { 1 }, stats = {}, is_idle = {}, map = { { 1 }, nothing },
    each = { { 1 }, nothing }, set_priority = function() return { weir.spawn(nothing), 0 } end,
  },
  ["weir.Bucket"] = {
    take = {}, try_take = {}, reserve = {}, set = { { rate = 2 } }, close = {}, drain = {}, is_idle = {}, stats = {},
  },
  ["weir.Reservation"] = { cancel = {} },
  ["weir.Pool"] = {
    acquire = {}, try_acquire = {}, with = { nothing }, resize = { { max = 2 } }, evict = {}, close = {}, drain = {},
    is_idle = {}, stats = {},
  },
  ["weir.Lease"] = { release = {}, discard = {}, transfer = function() return { weir.spawn(weir.checkpoint) } end },
  ["weir.Cache"] = {
    get = { "k", nothing }, get_with = { {}, "k", nothing }, refresh = { "k", nothing }, peek = { "k" },
    set = { "k", 1 }, delete = { "k" }, delete_tag = { "t" }, clear = {}, close = {}, stats = {},
    get_many = { { "k" }, nothing },
    get_many_with = { {}, { "k" }, nothing },
  },
  ["weir.Batch"] = { flush = {}, close = {}, drain = {}, stats = {}, load_many = { { "k" } } },
  ["weir.Keyed"] = {
    with = { "k", nothing }, take = { "b" }, peek = { "k" }, forget = { "k" }, pairs = {}, stats = {},
  },
  ["weir.Progress"] = { draw = {}, start = {}, finish = {}, message = { "x" }, close = {} },
  ["weir.Recorder"] = {
    wrap = { "x", nothing }, times = { "x" }, count = { "x" }, texts = {}, peak = { "x" }, order = {}, clear = {},
  },
  ["weir.queueing.Wait"] = { quantile = { 0.5 }, over = { 1 } },
}

-- An object of each class, made in a run.
local make <const> = {
  ["weir"] = function() return nil, weir end,
  ["weir.Task"] = function() return weir.spawn(nothing) end,
  ["weir.Scope"] = function()
    local made
    weir.spawn(weir.scope, function(s)
      s:spawn(weir.sleep, 1)
      made = s
    end)
    weir.checkpoint()
    return made
  end,
  ["weir.Semaphore"] = function() return weir.semaphore { permits = 1, order = "priority" } end,
  ["weir.Permit"] = function() return weir.semaphore(2):acquire(2) end,
  ["weir.Limit"] = function() return weir.limit { n = 1, order = "priority" } end,
  ["weir.Bucket"] = function() return weir.bucket { rate = 1 } end,
  ["weir.Reservation"] = function() return weir.bucket({ rate = 1 }):reserve() end,
  ["weir.Pool"] = function() return weir.pool { create = function() return 1 end } end,
  ["weir.Lease"] = function() return weir.pool({ create = function() return 1 end }):acquire() end,
  ["weir.Cache"] = function() return weir.cache {} end,
  ["weir.Batch"] = function() return weir.batch(function(keys) return keys end) end,
  ["weir.Keyed"] = function()
    return weir.keyed(function(k) return k == "b" and weir.bucket { rate = 1 } or weir.semaphore(1) end)
  end,
  ["weir.Progress"] = function() return weir.progress { terminal = false, file = assert(io.tmpfile()) } end,
  ["weir.Recorder"] = test.recorder,
  ["weir.queueing.Wait"] = function() return weir.queueing.wait { rate = 1, service = 0.1, servers = 1 } end,
}

-- Waits, but only in a task: outside it runs the loop.
local exempt <const> = { ["weir.run"] = true }

describe("types: @async", function()
  for name, of_class in pairs(calls) do
    it(("marks the functions of %s that wait, and no other"):format(name), function()
      for member, what in pairs(members_of(name)) do
        if what.is == "function" and not exempt[name .. "." .. member] then
          assert.is_truthy(of_class[member], ("no call of %s %s here"):format(name, member))
          local waited
          test.run(function()
            local object, holder = make[name]()
            local arguments = of_class[member]
            if type(arguments) == "function" then arguments = arguments() end
            local fn <const> = (holder or object)[member]
            if object == nil then
              waited = refuses_to_wait(fn, table.unpack(arguments))
            else
              waited = refuses_to_wait(fn, object, table.unpack(arguments))
            end
          end, { reports = {} })
          assert.same({ member, what.async or false }, { member, waited })
        end
      end
    end)
  end

  it("marks what may be called as a function", function()
    test.run(function()
      local function call(object, ...) return object(...) end
      assert.is_true(refuses_to_wait(call, weir.batch(nothing), "key"))
      assert.is_false(refuses_to_wait(call, weir.limit(1), nothing))
      assert.is_false(refuses_to_wait(call, weir.keyed(function() return {} end), "key"))
    end)
    for file, marked in pairs { ["types/weir/batch.lua"] = true, ["types/weir/keyed.lua"] = false } do
      assert.equal(marked, read(file):find("\n---@overload async fun", 1, true) ~= nil, file)
    end
    local limit <const> = "---@overload fun(fn: (async fun(...): ...), ...): weir.Task"
    assert.is_truthy(read("types/weir.lua"):find(limit, 1, true))
  end)

  it("marks what waits of the connectors", function()
    local sqlite, http = module("weir.sqlite"), module("weir.http")
    if not (sqlite and http) then return pending("weir.sqlite or weir.http was not built") end
    weir.run(function()
      local function expect(name, object, of_member)
        for member, arguments in pairs(of_member) do
          local what <const> = assert(members_of(name)[member], member)
          local waited <const> = refuses_to_wait(object[member], table.unpack(arguments))
          assert.same({ name, member, what.async or false }, { name, member, waited })
        end
      end
      local url <const> = "http://127.0.0.1:9/"
      expect("weir.http", http, { get = { url }, head = { url }, post = { url }, put = { url }, patch = { url },
        delete = { url }, request = { url }, client = {}, stats = {}, })
      local client = http.client()
      expect("weir.http.Client", client, { get = { client, url }, head = { client, url }, post = { client, url },
        put = { client, url }, patch = { client, url }, delete = { client, url }, request = { client, url },
        stats = { client }, is_open = { client } })
      expect("weir.http.Client", client, { close = { client } })
      expect("weir.sqlite", sqlite, { open = { ":memory:" }, connect = { ":memory:" }, blob = { "" },
        memory_used = {} })
      local db <close> = sqlite.open(":memory:")
      local sql <const> = "select 1"
      expect("weir.database.Session", db, { query = { db, sql }, row = { db, sql }, value = { db, sql },
        exec = { db, sql }, rows = { db, sql }, prepare = { db, sql }, backup = { db, "/nowhere/x" },
        transaction = { db, nothing } })
    end)
  end)
end)
