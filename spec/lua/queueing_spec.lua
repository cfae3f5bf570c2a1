-- queueing_spec.lua - weir.queueing: its checks, its answers, and both against jobs on a real semaphore.
--
-- The simulations run on virtual time with seeds of their own, not those of the run: a mean of
-- so many waits that depend on each other still scatters by some percent. WEIR_TEST_FACTOR scales
-- the number of jobs, in percent; fewer scatter more, and so much more is allowed.

local helper = require "support.helper"
local queueing = require "weir.queueing"
local weir = require "weir"

local scale <const> = (tonumber(os.getenv("WEIR_TEST_FACTOR")) or 100) / 100
local slack <const> = math.max(1, math.sqrt(1 / scale))

local function near(expected, got, share)
  if got ~= got or math.abs(got - expected) > share * math.abs(expected) then
    error(("expected %.6g within %g %%, got %.6g (%+.1f %%)"):format(
      expected, 100 * share, got, 100 * (got / expected - 1)), 2)
  end
end

-- ---------------------------------------------------------------- chance

-- Numbers > 0 and <= 1.
local function uniform(seed)
  local top <const> = 1 << 46
  local random <const> = helper.random(seed)
  for _ = 1, 50 do random(1, top) end
  return function() return random(1, top) / top end
end

local function exponential(mean)
  return function(u) return -mean * math.log(u()) end
end

local function constant(mean)
  return function() return mean end
end

-- Most are short and some long, exponential each: a coefficient of variation above 1.
local function hyperexponential(mean, cv)
  local share <const> = (1 + math.sqrt((cv * cv - 1) / (cv * cv + 1))) / 2
  return function(u)
    return -mean / (2 * (u() < share and share or 1 - share)) * math.log(u())
  end
end

-- ---------------------------------------------------------------- jobs on a semaphore

--- Send `n` jobs through a semaphore after a start that does not count.
local function simulate(n, servers, arrival, service, seed)
  n = math.ceil(n * scale)
  local waits, sum, n_waited, stay = {}, 0, 0, 0
  local began, seconds
  helper.run(function()
    local u <const> = uniform(seed)
    local pool <const> = weir.semaphore(servers)
    local skipped <const> = n // 20
    local at = weir.now()
    weir.scope(function(scope)
      for i = 1, n + skipped do
        at = at + arrival(u)
        weir.sleep(math.max(0, at - weir.now()))
        if i == skipped + 1 then began = weir.now() end
        local hold <const> = service(u)
        scope:spawn(function()
          local arrived <const> = weir.now()
          local _ <close> = pool:acquire()
          local waited <const> = weir.now() - arrived
          if i > skipped then
            waits[#waits + 1] = waited
            sum = sum + waited
            stay = stay + waited + hold
            if waited > 0 then n_waited = n_waited + 1 end
          end
          weir.sleep(hold)
        end)
      end
    end)
    seconds = weir.now() - began
  end)
  table.sort(waits)
  return {
    mean = sum / n, probability = n_waited / n, rate = n / seconds, time = stay / n, n = stay / seconds,
    p95 = waits[math.ceil(0.95 * n)], p99 = waits[math.ceil(0.99 * n)],
    over = function(t)
      local count = 0
      for _, waited in ipairs(waits) do
        if waited > t then count = count + 1 end
      end
      return count / n
    end,
  }
end

describe("weir.queueing beside a simulation", function()
  it("says how long jobs wait for a semaphore (M/M/c)", function()
    local seen <const> = simulate(200000, 5, exponential(1 / 3.5), exponential(1), 1)
    local said <const> = queueing.wait { rate = 3.5, service = 1, servers = 5 }
    near(said.mean, seen.mean, 0.04 * slack)
    near(said.probability, seen.probability, 0.02 * slack)
    near(said.p95, seen.p95, 0.04 * slack)
    near(said.p99, seen.p99, 0.05 * slack)
    near(said:over(1), seen.over(1), 0.08 * slack)
    near(said.n, seen.n, 0.02 * slack)
  end)

  it("agrees on Little's law", function()
    local seen <const> = simulate(50000, 3, exponential(1 / 2), constant(1), 2)
    near(seen.n, queueing.little { rate = seen.rate, time = seen.time }, 1e-9)
    near(2, seen.rate, 0.02 * slack)
  end)

  it("is near for constant service (M/D/c)", function()
    local seen <const> = simulate(100000, 3, exponential(1 / 2.1), constant(1), 3)
    local said <const> = queueing.wait { rate = 2.1, service = 1, servers = 3, cv_service = 0 }
    near(said.mean, seen.mean, 0.1 * slack)
    near(said.probability, seen.probability, 0.1 * slack)
    near(said.p99, seen.p99, 0.15 * slack)
  end)

  it("is near for service that varies much (hyperexponential)", function()
    local seen <const> = simulate(150000, 5, exponential(1 / 3.5), hyperexponential(1, 2), 4)
    local said <const> = queueing.wait { rate = 3.5, service = 1, servers = 5, cv_service = 2 }
    near(said.mean, seen.mean, 0.15 * slack)
    near(said.probability, seen.probability, 0.15 * slack)
    near(said.p95, seen.p95, 0.2 * slack)
  end)

  it("finds the pool that keeps the target, where one less does not", function()
    local load <const> = { rate = 1000, service = 0.005, target_wait = 0.01 }
    local servers <const> = queueing.servers(load)
    assert.equal(7, servers)
    local function p99(n) return simulate(100000, n, exponential(1 / 1000), exponential(0.005), 5).p99 end
    assert.is_true(p99(servers) <= 0.01)
    assert.is_true(p99(servers - 1) > 0.01)
  end)
end)

describe("weir.queueing.little", function()
  it("gives the third of two", function()
    assert.equal(5, queueing.little { rate = 1000, time = 0.005 })
    assert.equal(0.5, queueing.little { rate = 10, n = 5 })
    assert.equal(2.5, queueing.little { time = 2, n = 5 })
    assert.equal(0, queueing.little { rate = 0, time = 2 })
    assert.equal(0, queueing.little { rate = 2, n = 0 })
  end)

  it("is misuse with one, with three, and where it would divide by 0", function()
    helper.error("misuse", queueing.little)
    helper.error("misuse", queueing.little, {})
    helper.error("misuse", queueing.little, { rate = 1 })
    helper.error("misuse", queueing.little, { rate = 1, time = 1, n = 1 })
    helper.error("misuse", queueing.little, { rate = 1, time = 1, m = 1 })
    helper.error("misuse", queueing.little, { rate = 0, n = 1 })
    helper.error("misuse", queueing.little, { time = 0, n = 0 })
  end)
end)

describe("weir.queueing.erlang_b and erlang_c", function()
  it("give the shares that are refused and that wait", function()
    near(0.2, queueing.erlang_b(1, 2), 1e-14)
    near(1 / 3, queueing.erlang_c(1, 2), 1e-14)
    near(0.2232955, queueing.erlang_c(999000, 1000000), 1e-2)
  end)

  it("stay shares where factorials overflow and where load is over the servers", function()
    for _, servers in ipairs { 1, 170, 171, 1000, 1000000 } do
      for _, load in ipairs { 0, 0.001, 0.5, 0.999, 1, 1.001, 2, 1e6 } do
        local b <const> = queueing.erlang_b(load * servers, servers)
        local c <const> = queueing.erlang_c(load * servers, servers)
        assert.is_true(b >= 0 and b <= 1 and c >= b and c <= 1)
        if load >= 1 then assert.equal(1, c) end
      end
    end
  end)
end)

describe("weir.queueing.wait", function()
  it("gives means, quantiles and numbers that fit together", function()
    local w <const> = queueing.wait { rate = 80, service = 0.01, servers = 1 }
    assert.is_true(w.stable)
    near(0.8, w.utilisation, 1e-12)
    near(0.8, w.probability, 1e-12)
    near(0.04, w.mean, 1e-12)
    near(0.05, w.time, 1e-12)
    near(4, w.n, 1e-12)
    near(w.queue, queueing.little { rate = 80, time = w.mean }, 1e-12)
    near(w.probability * w.delay, w.mean, 1e-12)
    assert.equal(w.p99, w:quantile(0.99))
    assert.equal(0, w:quantile(0.2))
    near(0.01, w:over(w.p99), 1e-12)
    assert.equal(0, w:over(math.huge))
    assert.matches("utilisation 0%.8", tostring(w))
  end)

  it("says so when the queue grows for ever", function()
    local w <const> = queueing.wait { rate = 120, service = 0.1, servers = 10 }
    assert.is_false(w.stable)
    assert.equal(1, w.probability)
    for _, name in ipairs { "mean", "delay", "p50", "p95", "p99", "queue", "time", "n" } do
      assert.equal(math.huge, w[name])
    end
    near(20, w.growth, 1e-12)
    assert.equal(math.huge, w:quantile(0.1))
    assert.equal(1, w:over(1000))
    assert.matches("unstable", tostring(w))
    assert.is_false(queueing.wait({ rate = 100, service = 0.1, servers = 10 }).stable)
  end)

  it("takes a pool that has nothing to do", function()
    local w <const> = queueing.wait { rate = 0, service = 1, servers = 1 }
    assert.is_true(w.stable)
    assert.equal(0, w.mean)
    assert.equal(0, w.p99)
    assert.equal(1, w.time)
    assert.equal(0, queueing.wait({ rate = 1e9, service = 0, servers = 1 }).p99)
  end)

  it("is misuse with what is no amount", function()
    local good <const> = { rate = 1, service = 1, servers = 2, cv_arrival = 1, cv_service = 1 }
    for name in pairs(good) do
      for _, bad in ipairs { -1, 0 / 0, math.huge, -math.huge, "1", true } do
        local opts = setmetatable({}, { __index = good })
        for key, value in pairs(good) do opts[key] = value end
        opts[name] = bad
        local err <const> = helper.error("misuse", queueing.wait, opts)
        assert.matches("^weir%.queueing%.wait: '" .. name .. "' must be ", tostring(err))
      end
    end
    helper.error("misuse", queueing.wait, { rate = 1, service = 1, servers = 0 })
    helper.error("misuse", queueing.wait, { rate = 1, service = 1, servers = 1.5 })
    helper.error("misuse", queueing.wait, { rate = 1, service = 1 })
    helper.error("misuse", queueing.wait, { service = 1, servers = 1 })
    helper.error("misuse", queueing.wait, { rate = 1, service = 1, servers = 2, cv = 1 })
    local w <const> = queueing.wait(good)
    for _, bad in ipairs { 0, 1, -1, 0 / 0, "0.5" } do helper.error("misuse", w.quantile, w, bad) end
    for _, bad in ipairs { -1, 0 / 0, "1" } do helper.error("misuse", w.over, w, bad) end
    helper.error("misuse", w.quantile, nil, 0.5)
  end)
end)

describe("weir.queueing.servers", function()
  local function servers(opts)
    opts.rate, opts.service = 1000, 0.005
    return queueing.servers(opts)
  end

  it("gives the least that keeps each target, and all of them", function()
    assert.equal(6, servers { target_wait = 0.021 })
    assert.equal(7, servers { target_wait = 0.02 })
    assert.equal(9, servers { target_wait = 0.02, quantile = 0.999, cv_service = 2 })
    assert.equal(7, servers { target_mean = 0.001 })
    assert.equal(8, servers { target_utilisation = 0.7 })
    assert.equal(10, servers { target_utilisation = 0.5 })
    assert.equal(10, servers { target_probability = 0.05 })
    assert.equal(10, servers { target_wait = 0.02, target_mean = 0.001, target_probability = 0.05 })
    assert.equal(6, servers { target_probability = 1 })
  end)

  it("needs no more for regular work", function()
    local n <const> = servers { target_wait = 0.005 }
    assert.is_true(servers { target_wait = 0.005, cv_service = 0 } < n)
    assert.is_true(servers { target_wait = 0.005, cv_service = 3 } > n)
    assert.equal(6, servers { target_wait = 0, cv_arrival = 0, cv_service = 0 })
  end)

  it("is impossible above max", function()
    assert.equal(7, servers { target_wait = 0.02, max = 7 })
    local err <const> = helper.error("impossible", servers, { target_wait = 0.02, max = 6 })
    assert.matches("6 servers do not meet the target", tostring(err))
    helper.error("impossible", queueing.servers, { rate = 1e12, service = 1, target_wait = 1 })
  end)

  it("finds large pools at once", function()
    local n <const> = queueing.servers { rate = 1e6, service = 1, target_wait = 0.001 }
    assert.is_true(n > 1000000 and n < 1010000)
  end)

  it("is misuse without a target or with one that is none", function()
    helper.error("misuse", servers, {})
    helper.error("misuse", servers, { quantile = 0.5 })
    helper.error("misuse", servers, { target_wait = 1, quantile = 1 })
    helper.error("misuse", servers, { target_wait = 1, quantile = 0 })
    helper.error("misuse", servers, { target_wait = -1 })
    helper.error("misuse", servers, { target_wait = 0 / 0 })
    helper.error("misuse", servers, { target_mean = 0 })
    helper.error("misuse", servers, { target_utilisation = 1.1 })
    helper.error("misuse", servers, { target_utilisation = 0 })
    helper.error("misuse", servers, { target_probability = 0 })
    helper.error("misuse", servers, { target_wait = 1, max = 0 })
    helper.error("misuse", servers, { target_wait = 1, servers = 1 })
  end)
end)

describe("weir.queueing", function()
  it("is a field of weir", function() assert.equal(queueing, weir.queueing) end)

  it("does what its page shows", function()
    local page <close> = assert(io.open("docs/queueing.md"))
    local example <const> = page:read("a"):match("```lua\n(.-)```")
    local printed, shown = {}, {}
    local function record(...)
      local words <const> = table.pack(...)
      for i = 1, words.n do words[i] = tostring(words[i]) end
      printed[#printed + 1] = table.concat(words, " ")
    end
    assert(load(example, "example", "t", setmetatable({ print = record }, { __index = _G })))()
    for text in example:gmatch("%-%->%s*([^\n]-)%s*\n") do shown[#shown + 1] = text end
    assert.is_true(#shown > 0)
    assert.same(shown, printed)
  end)
end)
