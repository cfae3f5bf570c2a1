-- host/lua_memory.lua - every allocation of Lua refused in turn, run by failing_lua.
--
-- Each program runs on virtual time, once per allocation that it makes: with that one refused
-- (and the retry that follows it), and with that one and all after it refused. It may fail in
-- any way but one: nothing may be left behind, and with its memory back it must succeed.

-- luacheck: globals fail count
local core = require "weir.core"
local weir = require "weir"

local function close_slowly()
  weir.shield(weir.sleep, 1)
end

local programs = {
  scope = function()
    weir.scope({ timeout = 10 }, function(s)
      for i = 1, 3 do s:spawn(weir.sleep, i) end
      s:join()
    end)
  end,
  semaphore = function()
    local sem = weir.semaphore(1)
    weir.scope(function(s)
      for _ = 1, 3 do s:spawn(function() sem:with(weir.sleep, 1) end) end
    end)
    local permit <close> = sem:acquire()
    assert(permit)
  end,
  limit = function()
    local limit = weir.limit(1)
    weir.scope(function()
      for _ = 1, 3 do limit(weir.sleep, 1) end
    end)
  end,
  all = function()
    weir.all { function() weir.sleep(1) return 1 end, function() weir.sleep(2) return 2 end }
  end,
  failure_of_a_child = function()
    local parent = weir.spawn(function() weir.spawn(function() weir.sleep(1) error {} end) end)
    assert(not parent:pawait() and parent.traceback)
  end,
  failure = function()
    pcall(weir.all, { function() weir.sleep(1) error {} end, function() weir.sleep(2) end })
  end,
  race = function()
    weir.race {
      function() weir.sleep(1) end,
      function()
        local _ <close> = setmetatable({}, { __close = close_slowly })
        weir.sleep(2)
      end,
    }
  end,
  map = function()
    weir.map({ 1, 2, 3 }, function(x) weir.sleep(x) return x end, { limit = 2 })
  end,
  iter = function()
    for i in weir.iter { function() weir.sleep(1) end, function() weir.sleep(2) end } do
      if i == 1 then break end
    end
  end,
  await = function()
    weir.await(function(resume)
      local t = weir.spawn(function()
        weir.sleep(1)
        resume(1, 2, 3)
      end)
      return { close = function() t:cancel() end }
    end)
  end,
  timeout = function() pcall(weir.timeout, 1, weir.sleep, 5) end,
  detach = function()
    weir.on_unhandled(function() return true end)
    weir.detach(error, "unhandled")
    weir.daemon(weir.sleep, 100)
    weir.sleep(1)
  end,
  cancel = function()
    local t = weir.spawn(weir.sleep, 100)
    weir.sleep(1)
    t:cancel {}
    t:pawait()
  end,
  cache = function()
    local cache = weir.cache { ttl = 1, stale = 10, negative_ttl = 5, max = 3 }
    local function load(key)
      weir.sleep(1)
      if key == "bad" then error {} end
      return { key }, { tags = { "tag" } }
    end
    weir.settle {
      function() return cache:get("a", load) end,
      function() return cache:get("a", load) end,
      function() return cache:get("bad", load) end,
      function()
        return cache:get_many({ "a", "b", "c" }, function(keys)
          weir.sleep(1)
          return keys
        end)
      end,
    }
    cache:set("d", {}, { tags = "other" })
    weir.sleep(1)
    cache:get("a", load)
    cache:delete_tag("tag")
    weir.sleep(2)
    cache:clear()
  end,
  batch = function()
    local batch = weir.batch(function(keys)
      weir.sleep(1)
      return { n = #keys, keys[1] }, { [2] = {} }
    end, { max = 2 })
    weir.settle {
      function() return batch("a") end,
      function() return batch("a") end,
      function() return batch("b") end,
      function() return batch:load_many { "c", "d", "e" } end,
    }
  end,
  deadlock = function()
    local sem = weir.semaphore(1)
    local permit <close> = sem:acquire()
    assert(permit and not pcall(sem.acquire, sem))
  end,
}

programs.stuck = function() assert(not pcall(weir.await, function() end)) end
programs.refused = function()
  local limit = weir.limit(2)
  limit(weir.sleep, 1)
  local job = limit:submit({ weight = 2 }, weir.sleep, 1)
  limit:resize(1)
  job:pawait()
end
programs.yield = function()
  weir.spawn(function()
    debug.sethook(function() end, "l")
    pcall(function() coroutine.yield() end)
    debug.sethook()
  end):await()
end

local names, n_refused = {}, 0
for name in pairs(programs) do names[#names + 1] = name end
table.sort(names)

for _, name in ipairs(names) do
  local program = programs[name]
  local sim = core.simulator { plan = "fifo" }
  for _ = 1, 3 do assert(sim:run(program).ok, name) end -- what is made once is made

  fail(0, 0)
  sim:run(program)
  local total = count()
  for _, n in ipairs { 2, math.maxinteger } do
    for nth = 1, total do
      local rest = n == 2 and "" or " and all after it"
      local what = ("%s, allocation %d of %d%s refused: "):format(name, nth, total, rest)
      collectgarbage()
      collectgarbage("stop") -- or the numbers would mean something else in every run
      fail(nth, n)
      local ran, r = pcall(sim.run, sim, program)
      count()
      collectgarbage("restart")
      n_refused = n_refused + 1
      assert(not ran or r.left == nil, what .. tostring(ran and r.left) .. " left")
      local again = sim:run(program)
      assert(again.ok and again.left == nil, what .. "and then " .. tostring(again.error or again.left))
    end
  end
  print(("%-10s %4d allocations"):format(name, total))
end
print(("figures: refused_allocations=%d"):format(n_refused))
