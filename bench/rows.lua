-- rows.lua - what bench/run runs and what it is held against: programs, titles, goals.
--
-- A program: `name`, `needs` (words of BENCH_HAVE), `command` with ${VARIABLES}, `once` for
-- those that run in the first repetition only, `slow` for those that --quick leaves out. A row's key
-- is its name, with its count where the count is what varies (`sized`; %s in its title). A goal: weir's row `key` is at
-- most `factor` times the row `of` of implementation `impl` (or at most `most`, an absolute value);
-- with `growth = {impl, larger, smaller}` times that growth, too. `why` is what is known of a goal that is missed;
-- a `comparison` is none, and nothing that can be missed.
-- A group is what stands in one chart and its table.

local M = {}

local url = "http://127.0.0.1:${BENCH_PORT}/fast"

M.programs = {
  { name = "limit-weir", needs = "weir", command = "${WEIR} bench/limit.lua" },
  { name = "limit-node", needs = "node", command = "node bench/peers/limit.mjs" },
  { name = "limit-go", needs = "go", command = "${BENCH_DIR}/limit.go" },
  { name = "semaphore-weir", needs = "weir", command = "${WEIR} bench/semaphore.lua" },
  { name = "keyed-weir", needs = "weir", command = "${WEIR} bench/keyed.lua" },
  { name = "contended-weir", needs = "weir", command = "${WEIR} bench/contended.lua" },
  { name = "semaphore-go", needs = "go", command = "${BENCH_DIR}/semaphore.go" },
  { name = "bucket-weir", needs = "weir", command = "${WEIR} bench/bucket.lua" },
  { name = "queues-p-limit", needs = "node", command = "node bench/peers/queues.mjs p-limit", once = true },
  { name = "queues-async", needs = "node", command = "node bench/peers/queues.mjs async", once = true },
  { name = "queues-p-queue", needs = "node", command = "node bench/peers/queues.mjs p-queue", once = true,
    slow = true },
  { name = "queues-bottleneck", needs = "node", command = "node bench/peers/queues.mjs bottleneck", once = true,
    slow = true },
  { name = "timeout-node", needs = "node", command = "node bench/peers/timeout.mjs" },
  { name = "start-weir", needs = "start weir", command = "${BENCH_DIR}/start start weir 60 ${WEIR} -e ''" },
  { name = "start-lua", needs = "start lua", command = "${BENCH_DIR}/start start lua 60 ${LUA} -e ''" },
  { name = "start-node", needs = "start", tool = "node",
    command = "${BENCH_DIR}/start start node 12 node -e ''" },
}

-- The files themselves, not their libraries.
M.programs[#M.programs + 1] = { name = "size", needs = "weir lua", command = "bench/size ${WEIR} ${LUA} node",
  once = true }

local function add(program) M.programs[#M.programs + 1] = program end

for _, n in ipairs { 1000, 10000, 100000, 1000000 } do
  local once = n == 1000000
  add { name = "parked-weir", needs = "weir", command = "${WEIR} bench/parked.lua " .. n, once = once, slow = once }
  add { name = "parked-lua", needs = "lua", command = "${LUA} bench/peers/coroutine.lua parked " .. n, once = once,
    slow = once }
end
add { name = "parked-node", needs = "node", command = "node --expose-gc bench/peers/parked.mjs 100000" }
add { name = "parked-go", needs = "go", command = "${BENCH_DIR}/parked.go 100000" }
add { name = "queued-weir", needs = "weir", command = "${WEIR} bench/queued.lua 100000" }
add { name = "queued-node", needs = "node", command = "node --expose-gc bench/peers/queued.mjs 100000" }

for _, n in ipairs { 10000, 100000 } do
  local target = (" %s %d 50"):format(url, n)
  local once = n == 10000 -- the connections are warm either way: it says the same
  add { name = "http-weir", needs = "weir nginx", once = once,
    command = "${BENCH_CLIENT} ${WEIR} bench/http.lua" .. target }
  for _, loop in ipairs { "socket", "perform" } do
    add { name = "http-curl", needs = "curl nginx", once = once,
      command = "${BENCH_CLIENT} ${BENCH_DIR}/curl_multi" .. target .. " " .. loop }
  end
  add { name = "http-node", needs = "node nginx", once = once,
    command = "${BENCH_CLIENT} node bench/peers/http.mjs" .. target }
  add { name = "http-go", needs = "go nginx", once = once,
    command = "${BENCH_CLIENT} ${BENCH_DIR}/http.go" .. target }
end

add { name = "pool-weir", needs = "weir", command = "${WEIR} bench/pool.lua" }
add { name = "pool-node", needs = "node", command = "node bench/peers/pools.mjs" }
add { name = "pool-go", needs = "go", command = "${BENCH_DIR}/pool.go" }
add { name = "cache-weir", needs = "weir", command = "${WEIR} bench/cache.lua" }
add { name = "cache-node", needs = "node", command = "node bench/peers/caches.mjs" }
add { name = "postgres-weir", needs = "weir postgres", command = "${WEIR} bench/postgres.lua ${BENCH_POSTGRES}" }
add { name = "postgres-node", needs = "node postgres", command = "node bench/peers/postgres.mjs ${BENCH_POSTGRES}" }
add { name = "postgres-pgbench", needs = "postgres", command = "bench/pgbench ${BENCH_POSTGRES}" }

for _, mode in ipairs { "incremental", "incremental 100", "generational" } do
  add { name = "pause-weir", needs = "weir", command = "${WEIR} bench/pause.lua 100000 " .. mode, once = true,
    slow = true }
end

-- What the page calls them, where that is not the word that they print.
M.impls = {
  ["bottleneck-elapsed"] = "bottleneck elapsed", coroutine = "bare coroutine", go = "Go", lua = "lua5.4",
  ["incremental-idle"] = "idle steps", ["libcurl-perform"] = "libcurl perform", ["libcurl-socket"] = "libcurl sockets",
  node = "Node", ["node-race"] = "Promise.race",
}

M.sized = {
  parked_bytes = true, parked_life = true, http = true, pair_waiting = true, handoff_waiting = true,
  priority_waiting = true, priority_jobs = true, resize_storm = true,
}

-- In the order of the page: a table and a chart for each. `ours`: every bar is one of weir's.
M.groups = {
  { id = "limit", title = "Many jobs through a limit", rows = "limit_map limit_map_wait spawn_with spawn_with_wait" },
  { id = "semaphore", title = "A semaphore and a deadline",
    rows = "pair sem_with sem_acquire_release sem_acquire_close sem_try_release handoff handoff_timeout option_table"
      .. " deadline timeout_call checkpoint" },
  { id = "queue", title = "Many in one queue", rows = "pair_waiting handoff_waiting weighted" },
  { id = "priority", title = "Many in one queue, with priorities and resizes",
    rows = "priority_waiting priority_jobs resize_storm" },
  { id = "rate", title = "Rates",
    rows = "bucket_take bucket_try_take bucket_refuse bucket_reserve bucket_limits bucket_wait" },
  { id = "keyed", title = "One object for each key",
    rows = "keyed_look_up keyed_table keyed_make keyed_evict keyed_with" },
  { id = "pool", title = "A pool: an idle resource lent and back", rows = "pool_cycle pool_with" },
  { id = "spike", title = "A pool: 50 requests at once, 150 ms for a new one",
    rows = "spike_p50 spike_p99 spike_size" },
  { id = "cache", title = "A cache, and calls in batches",
    rows = "cache_hit cache_peek cache_miss cache_herd batch_load" },
  { id = "postgres", title = "PostgreSQL, a pool of 10",
    rows = "pg_query pg_query_elapsed pg_prepared pg_prepared_elapsed" },
  { id = "memory", title = "Memory", rows = "parked_bytes queued_bytes mapped_bytes" },
  { id = "task", title = "The life of a task", rows = "parked_life" },
  { id = "http", title = "HTTP, 50 in flight", rows = "http" },
  { id = "start", title = "Start", rows = "start" },
  { id = "size", title = "Size of the program", rows = "size" },
  { id = "pause", title = "The longest pauses, by mode of the collector", ours = true,
    rows = "pause_median pause_p99 pause_worst" },
}

M.titles = {
  { "pair", "one Lua resume/yield pair" },
  { "limit_map", "100,000 immediate jobs through a limit of 100" },
  { "limit_map_wait", "the same, each job lets the others run once" },
  { "spawn_with", "100,000 tasks, each in a semaphore of 100" },
  { "spawn_with_wait", "the same, each lets the others run once" },
  { "sem_with", "sem:with(f), uncontended" },
  { "sem_acquire_release", "sem:acquire() and permit:release(), uncontended" },
  { "sem_acquire_close", "the same by <close>" },
  { "sem_try_release", "sem:try_acquire() and permit:release()" },
  { "handoff", "a permit handed from task to task, contended" },
  { "handoff_timeout", "the same with {timeout = 60}" },
  { "option_table", "reading the options {timeout = 60} of a wait" },
  { "deadline", "setting and cancelling the deadline of a wait" },
  { "pair_waiting", "one bare resume/yield pair, %s coroutines in turn" },
  { "handoff_waiting", "a permit handed on, %s tasks in turn" },
  { "weighted", "the same by weight: 100 permits, 1 to 10 a task, 1,000 tasks" },
  { "priority_waiting", "a permit handed on by priority, %s tasks" },
  { "priority_jobs", "one job of %s, each with a priority, ten at once" },
  { "resize_storm", "a permit handed on and the capacity changed, %s tasks" },
  { "bucket_take", "bucket:take(), tokens there" },
  { "bucket_try_take", "bucket:try_take(), tokens there" },
  { "bucket_refuse", "bucket:try_take(), none there" },
  { "bucket_reserve", "bucket:reserve(), tokens there" },
  { "bucket_limits", "bucket:take() of two rates and a window" },
  { "bucket_wait", "bucket:take() in a queue of 1,000, virtual time" },
  { "timeout_call", "a time limit around an immediate call" },
  { "checkpoint", "weir.checkpoint() with nobody else to run" },
  { "keyed_look_up", "keyed(key), one of 100,000 keys after the other" },
  { "keyed_table", "the same look-up in a plain table" },
  { "keyed_make", "a new key, its object and room for it" },
  { "keyed_evict", "the same where each new key sends one away" },
  { "keyed_with", "keyed:with(key, f) through a semaphore, uncontended" },
  { "pool_cycle", "pool:acquire() and lease:release() of an idle one" },
  { "pool_with", "the same by pool:with(f)" },
  { "spike_p50", "50 requests at once, 5 resources there: median" },
  { "spike_p99", "50 requests at once, 5 resources there: 99th percentile" },
  { "spike_size", "resources after 50 requests at once" },
  { "cache_hit", "cache:get(key), there" },
  { "cache_peek", "cache:peek(key)" },
  { "cache_miss", "cache:get(key), loaded at once, and one evicted" },
  { "cache_herd", "10,000 at once for one key that takes a millisecond, each" },
  { "batch_load", "100 keys at once, one call for all, each" },
  { "pg_query", "a PostgreSQL query through a pool of 10, CPU" },
  { "pg_query_elapsed", "the same, elapsed" },
  { "pg_prepared", "a prepared PostgreSQL query, CPU" },
  { "pg_prepared_elapsed", "a prepared PostgreSQL query, elapsed" },
  { "parked_bytes", "memory of a sleeping task, one of %s" },
  { "parked_life", "spawn, sleep, wake and end of a task, one of %s" },
  { "queued_bytes", "memory of a job queued by limit(fn, i)" },
  { "mapped_bytes", "memory of a job queued by limit:map" },
  { "http", "one HTTP request of %s, 50 in flight, CPU" },
  { "start", "start and end of the interpreter, no script" },
  { "size", "the file, stripped; what it loads at run time not counted" },
  { "pause_median", "one tick of the loop, 100,000 sleeping tasks, median" },
  { "pause_p99", "the same, 99th percentile" },
  { "pause_worst", "the same, worst" },
}

M.goals = {
  { key = "limit_map", of = "limit_map", impl = "p-limit", factor = 1 / 10, text = "1/10 of p-limit" },
  { key = "limit_map", of = "spawn_with", impl = "go", factor = 1 / 3,
    text = "1/3 of a Go semaphore, all goroutines started" },
  { key = "limit_map", of = "limit_map", impl = "go", factor = 1,
    text = "a Go semaphore, slot first", comparison = true },
  { key = "spawn_with", of = "spawn_with", impl = "p-limit", factor = 1 / 4, text = "1/4 of p-limit" },
  { key = "sem_with", of = "pair", impl = "coroutine", factor = 1, text = "one resume/yield pair" },
  { key = "handoff", of = "pair", impl = "coroutine", factor = 3, text = "3 resume/yield pairs" },
  { key = "deadline", of = "pair", impl = "coroutine", factor = 0.5, text = "half a resume/yield pair" },
  { key = "option_table", of = "pair", impl = "coroutine", factor = 1,
    text = "one resume/yield pair", comparison = true },
  { key = "sem_acquire_release", of = "pair", impl = "coroutine", factor = 1,
    text = "one resume/yield pair", comparison = true },
  { key = "sem_with", of = "sem_with", impl = "go", factor = 1, text = "a Go channel of one", comparison = true },
  { key = "handoff_waiting@1000", of = "handoff_waiting@10", impl = "weir", factor = 1.2,
    growth = { "coroutine", "pair_waiting@1000", "pair_waiting@10" },
    text = "1.2 times that of 10 tasks, grown as a bare pair grows",
    why = "the caches: Flat, under Instructions" },
  { key = "handoff_waiting@100000", of = "handoff_waiting@10", impl = "weir", factor = 1.2,
    growth = { "coroutine", "pair_waiting@100000", "pair_waiting@10" },
    text = "1.2 times that of 10 tasks, grown as a bare pair grows",
    why = "the caches: Flat, under Instructions" },
  { key = "handoff_waiting@1000", of = "handoff_waiting@1000", impl = "go", factor = 1,
    text = "a Go channel of one", comparison = true },
  { key = "priority_waiting@100000", of = "priority_waiting@100000", impl = "go", factor = 1,
    text = "Go's container/heap", comparison = true },
  { key = "priority_jobs@100000", of = "priority_jobs@100000", impl = "p-queue", factor = 1 / 4,
    text = "1/4 of p-queue" },
  { key = "resize_storm@1000", of = "resize_storm@10", impl = "weir", factor = 2, text = "twice that of 10 tasks" },
  { key = "bucket_take", of = "pair", impl = "coroutine", factor = 2, text = "two resume/yield pairs" },
  { key = "keyed_look_up", of = "keyed_look_up", impl = "bottleneck", factor = 1,
    text = "a group of bottleneck", comparison = true },
  { key = "timeout_call", of = "timeout_call", impl = "node-race", factor = 1,
    text = "withTimeout in Node", comparison = true },
  { key = "pool_cycle", of = "pool_cycle", impl = "pg-pool", factor = 1 / 7, text = "1/7 of pg-pool",
    why = "a lease is made for each loan, an object that knows its holder; pool:with(f), which needs none, meets it" },
  { key = "pool_cycle", of = "pool_cycle", impl = "generic-pool", factor = 1 / 4, text = "1/4 of generic-pool",
    why = "a lease is made for each loan, an object that knows its holder; pool:with(f), which needs none, meets it" },
  { key = "pool_cycle", of = "pool_cycle", impl = "go", factor = 1, text = "Go database/sql", comparison = true },
  { key = "spike_p99", most = 25e6, text = "ten turns of 2 ms, and 5" },
  { key = "spike_size", most = 6, text = "the 5 and one more" },
  { key = "cache_hit", of = "cache_hit", impl = "lru-cache", factor = 1, text = "lru-cache" },
  { key = "cache_miss", of = "cache_miss", impl = "lru-cache", factor = 1 / 2, text = "half of lru-cache" },
  { key = "cache_herd", of = "cache_herd", impl = "lru-cache", factor = 3,
    text = "3 times lru-cache",
    why = "weir starts, parks and ends a task for each, where lru-cache makes a promise" },
  { key = "batch_load", of = "batch_load", impl = "dataloader", factor = 3,
    text = "3 times dataloader",
    why = "likewise a task for each, where dataloader makes a promise: 5,000 of 8,100 instructions" },
  { key = "pg_query", of = "pg_query", impl = "node-postgres", factor = 1 / 2, text = "half of node-postgres",
    why = "half of it is the kernel's, in the two system calls of a query; of the rest two thirds are Lua's and"
      .. " weir's: the loan, the lock, two switches, the table of rows" },
  { key = "pg_prepared_elapsed", of = "pg_prepared_elapsed", impl = "pgbench", factor = 2,
    text = "twice pgbench, 10 connections" },
  { key = "parked_bytes@100000", most = 1400, text = "a bare coroutine of 1,120, and 280",
    why = "a task of 280 bytes beside its coroutine would be needed; byte by byte under Instructions" },
  { key = "mapped_bytes", most = 64, text = "an item and its place" },
  { key = "queued_bytes", most = 64, text = "the same for a job with a handle",
    why = "what limit(fn, i) returns is a task; limit:map returns none and meets it" },
  { key = "parked_life@1000000", of = "parked_life@10000", impl = "weir", factor = 2,
    text = "twice that of 10,000 tasks" },
  { key = "http@100000", of = "http@100000", impl = "libcurl-socket", factor = 1.2,
    text = "1.2 times a bare libcurl loop over sockets" },
  { key = "http@100000", of = "http@100000", impl = "libcurl-perform", factor = 1,
    text = "a bare libcurl loop that performs", comparison = true },
  { key = "http@100000", of = "http@100000", impl = "undici", factor = 0.5, text = "half of undici",
    why = "a bare libcurl loop over sockets, which is how weir drives it, takes more than that by itself" },
  { key = "http@100000", of = "http@100000", impl = "go", factor = 1, text = "Go net/http",
    why = "a bare libcurl loop over sockets, which is how weir drives it, takes more than that by itself" },
  { key = "start", of = "start", impl = "node", factor = 1 / 5, text = "1/5 of Node" },
}

return M
