-- types/weir.lua - what `require "weir"` gives, for language servers: the part that is written in C.
---@meta weir
--
-- What is written in Lua is annotated where it is written; tools/types.lua makes the files in types/weir of it.
-- A function that may wait is marked @async. spec/lua/types_spec.lua holds all of it against the running library.

---@class weir
---@field _VERSION string "weir 1.2.3"
---@field http weir.http loaded when it is first used, as all the following
---@field json weir.json
---@field luv table luv, on weir's loop; its own types are luv's
---@field postgres weir.postgres
---@field progress weir.progress
---@field queueing weir.queueing
---@field sqlite weir.sqlite
---@field test weir.test
local weir = {}

---@alias weir.Kind
---| "timeout" its time is over
---| "cancelled" the task or a scope above it was cancelled
---| "closed" the object was closed or is draining, the scope has ended
---| "overload" as many wait as may
---| "limited"
---| "open" what it needs failed again and again, and is not tried for everybody
---| "impossible" it can never be, or cannot any more
---| "deadlock" nobody is left who could end this wait
---| "network" no whole answer
---| "protocol" what came is not what was agreed
---| "query" the database refused the statement
---| "lost" the connection broke earlier
---| "misuse" a bug of the caller
---| "error" what is not weir's

--- An error of weir's own; tostring gives the message. Values that you raise pass through unchanged.
---@class weir.Error
---@field kind weir.Kind
---@field message string
---@field op? string the function that raised it: "semaphore:acquire"
---@field name? string of the object
---@field reason? any of a cancel or a close
---@field retry_after? number seconds
---@field cause? any the error behind it
---@field others? any[] those that came beside it
---@field traceback string
---@field url? string of weir.http
---@field code? string curl's, SQLite's or PostgreSQL's name of the failure
---@field sqlstate? string
---@field [string] any what a database says besides

---@class weir.Histogram
---@field count integer
---@field mean number seconds, as the following
---@field max number
---@field p50 number
---@field p95 number
---@field p99 number

-- --- tasks -------------------------------------------------------------------------------------

--- Drive the loop until `fn` and all it started have ended, and return what `fn` returned. Inside a task it
--- is a scope, so that one script runs under the weir program and under plain Lua.
---@param fn async fun(...): ...
---@param ... any arguments of `fn`
---@return any ...
function weir.run(fn, ...) end

--- A task of the innermost scope. It starts at the spawner's next wait.
---@param fn async fun(...): ...
---@param ... any
---@return weir.Task
function weir.spawn(fn, ...) end

--- A task of the program: joined at its end. A failure is reported and hurts no other.
---@param fn async fun(...): ...
---@param ... any
---@return weir.Task
function weir.detach(fn, ...) end

--- A task of the program that is cancelled at its end.
---@param fn async fun(...): ...
---@param ... any
---@return weir.Task
function weir.daemon(fn, ...) end

--- Wait; 0 lets others run.
---@async
---@param seconds number
function weir.sleep(seconds) end

--- Let others run, and raise `cancelled` if so. For loops that only compute.
---@async
function weir.checkpoint() end

--- Seconds of a monotonic clock, the same during one turn of the loop; only differences mean something.
---@return number
function weir.now() end

---@class (exact) weir.ScopeOpts
---@field timeout? number seconds
---@field deadline? number a time of weir.now()
---@field name? string

--- What `fn(scope)` returns, when all its tasks have ended. The first failure cancels the others.
---@async
---@param opts weir.ScopeOpts
---@param fn async fun(scope: weir.Scope): ...
---@return any ...
---@overload async fun(fn: async fun(scope: weir.Scope): ...): ...
function weir.scope(opts, fn) end

--- What `fn(...)` returns, or `timeout`.
---@async
---@param seconds number
---@param fn async fun(...): ...
---@param ... any
---@return any ...
function weir.timeout(seconds, fn, ...) end

--- What `fn(...)` returns; cancels and deadlines from outside reach it `grace` (5) seconds late. For cleanup.
---@async
---@param grace number
---@param fn async fun(...): ...
---@param ... any
---@return any ...
---@overload async fun(fn: (async fun(...): ...), ...): ...
function weir.shield(grace, fn, ...) end

--- Wait for a callback. `start(resume)` runs at once; the first `resume(...)` ends the wait and gives its values.
--- What `start` returned is closed (`:close()` or `__close`) if the wait is given up.
---@async
---@param start fun(resume: fun(...)): any
---@return any ...
function weir.await(start) end

--- `fn(err, task)` in place of the report of a failure that nobody can get; true keeps the exit code 0.
---@param fn? fun(err: any, task: weir.Task): boolean?
function weir.on_unhandled(fn) end

--- The kind of any error value, "error" for what is not weir's.
---@param err any
---@return weir.Kind
function weir.kind(err) end

---@class weir.Task
---@field name string yours to set; "task 7" otherwise
---@field status "pending"|"running"|"waiting"|"done"|"failed"|"cancelled"
---@field id integer
---@field traceback? string of a failed one
---@field errors? { error: any, traceback?: string, name?: string }[] of the tasks that failed it
local Task = {}

--- What it returned, or its error raised; any number of times, by any number of tasks.
---@async
---@param timeout? number|{ timeout?: number }
---@return any ...
function Task:await(timeout) end

--- true and what it returned, or false and its error. Claims a failure that comes while it waits.
---@async
---@param timeout? number|{ timeout?: number }
---@return boolean ok
---@return any ...
function Task:pawait(timeout) end

--- Its waits raise `cancelled` from now on. Does not wait for its end.
---@param reason? any
---@return boolean by_this_call
function Task:cancel(reason) end

---@class weir.Scope
---@field name? string
---@field cancelled boolean
---@field errors? { error: any, traceback?: string, name?: string }[]
local Scope = {}

--- A task of this scope, also from a task elsewhere.
---@param fn async fun(...): ...
---@param ... any
---@return weir.Task
function Scope:spawn(fn, ...) end

--- Cancel all below and the body itself, at its next wait.
---@param reason? any
---@return boolean by_this_call
function Scope:cancel(reason) end

--- Wait until it has no tasks.
---@async
---@param timeout? number|{ timeout?: number }
function Scope:join(timeout) end

--- The same, and their outcomes in spawn order; claims their failures.
---@async
---@return { n: integer, [integer]: { ok: boolean, value: any, error: any } }
function Scope:settle() end

-- --- semaphores --------------------------------------------------------------------------------

---@class (exact) weir.SemaphoreOpts
---@field permits integer
---@field name? string what errors, reports and stats call it
---@field max_waiting? integer|number how many may wait; no bound. 0 never queues
---@field bypass? integer|number how often requests that fit may pass a head that does not; 0
---@field order? "fifo"|"priority"
---@field aging? number by priority: seconds of waiting that are worth one level; 1

--- So many permits; who takes one holds it until it gives it back, the others wait in line.
---@param permits integer|weir.SemaphoreOpts
---@return weir.Semaphore
function weir.semaphore(permits) end

---@class (exact) weir.AcquireOpts
---@field timeout? number seconds; 0 only if it can be had now
---@field priority? integer larger first, where the order is by priority; 0

---@class weir.Semaphore
---@field capacity integer
---@field available integer negative in debt
---@field waiting integer
---@field name? string
local Semaphore = {}

--- A permit: `local permit <close> = sem:acquire()`.
---@async
---@param n? integer 1
---@param options? weir.AcquireOpts
---@return weir.Permit
---@overload async fun(self: weir.Semaphore, options: weir.AcquireOpts): weir.Permit
function Semaphore:acquire(n, options) end

--- A permit if it can be had now. Never passes those who wait.
---@param n? integer 1
---@return weir.Permit|false
---@return "busy"|"impossible"|"closed"|nil reason
function Semaphore:try_acquire(n) end

--- What `fn(...)` returns, called while one permit is held.
---@async
---@param fn async fun(...): ...
---@param ... any
---@return any ...
function Semaphore:with(fn, ...) end

--- The same with `n` permits.
---@async
---@param n integer
---@param fn async fun(...): ...
---@param ... any
---@return any ...
function Semaphore:with_n(n, fn, ...) end

--- More are given out at once; fewer leave a debt that releases pay first.
---@param n integer
function Semaphore:resize(n) end

--- Wait until no more is held than the capacity.
---@async
---@param timeout? number|{ timeout?: number }
function Semaphore:resized(timeout) end

--- The task's request goes behind all of that priority.
---@param task weir.Task
---@param priority integer
---@return boolean waits false if it does not wait here
function Semaphore:set_priority(task, priority) end

--- Those who wait and all who come get `closed`; what is out may come back.
---@param reason? any
function Semaphore:close(reason) end

--- Those who wait are served, who comes gets `closed`; waits until all is back.
---@async
---@param timeout? number|{ timeout?: number }
function Semaphore:drain(timeout) end

---@class weir.SemaphoreStats
---@field name? string
---@field capacity integer
---@field available integer
---@field held integer
---@field waiting integer
---@field grants integer
---@field queued integer grants and refusals that waited
---@field queued_weight integer
---@field bypassed integer
---@field oldest_wait number seconds
---@field rejects table<string, integer> by kind
---@field wait weir.Histogram
---@field hold weir.Histogram

--- A snapshot.
---@return weir.SemaphoreStats
function Semaphore:stats() end

---@class weir.Permit
---@field n integer 0 once it is released
---@field held boolean
local Permit = {}

--- Give it back. Once, by the task that holds it; `<close>` after it is harmless.
function Permit:release() end

--- From now on that task holds it.
---@param task weir.Task
function Permit:transfer(task) end

--- A permit for `n` of its own; this one keeps the rest.
---@param n integer
---@return weir.Permit
function Permit:split(n) end

--- Both in this one; the other is released.
---@param other weir.Permit
function Permit:merge(other) end

-- --- limits ------------------------------------------------------------------------------------

---@class (exact) weir.LimitOpts
---@field n integer jobs at once
---@field name? string
---@field max_waiting? integer|number
---@field bypass? integer|number
---@field order? "fifo"|"priority"
---@field aging? number

--- Jobs, so many at once; the others wait as data. `limit(fn, ...)` gives a task.
---@param n integer|weir.LimitOpts
---@return weir.Limit
function weir.limit(n) end

---@class (exact) weir.JobOpts
---@field priority? integer
---@field weight? integer slots; 1
---@field name? string of the task

---@class weir.Limit
---@field active integer jobs that run
---@field pending integer jobs that wait
---@field limit integer slots
---@field name string
---@overload fun(fn: (async fun(...): ...), ...): weir.Task
local Limit = {}

--- A task that calls `fn(...)` when it has a slot.
---@param options weir.JobOpts
---@param fn async fun(...): ...
---@param ... any
---@return weir.Task
function Limit:submit(options, fn, ...) end

--- Wait until nothing runs or waits.
---@async
---@param timeout? number|{ timeout?: number }
function Limit:idle(timeout) end

--- Cancel the jobs that have not started.
---@param reason? any
---@return integer n how many
function Limit:clear(reason) end

--- More start at once; fewer: the running ones end first.
---@param n integer
function Limit:resize(n) end

--- Of a queued job.
---@param task weir.Task
---@param priority integer
---@return boolean queued false if it is not queued any more
function Limit:set_priority(task, priority) end

--- A snapshot.
---@return weir.SemaphoreStats
function Limit:stats() end

-- --- rates -------------------------------------------------------------------------------------

---@class weir.Rate
---@field rate? number tokens a second
---@field burst? number tokens at most; 1
---@field n? integer with `per`: a window
---@field per? number seconds

---@class (exact) weir.BucketLimits
---@field rate? number tokens a second; math.huge never waits
---@field burst? number tokens at most, and at the start; 1
---@field limits? weir.Rate[] beside or instead of `rate`
---@field window? { n: integer, per: number } at most `n` in any `per` seconds

---@class (exact) weir.BucketOpts: weir.BucketLimits
---@field name? string
---@field max_waiting? integer|number takes and reservations in the queue; no bound

--- How often something may happen: so many a second, with so many at once.
---@param options weir.BucketOpts
---@return weir.Bucket
function weir.bucket(options) end

---@class weir.Bucket
---@field rate number
---@field burst number
---@field available number tokens
---@field waiting integer
---@field reserved integer
---@field name? string
local Bucket = {}

--- Wait until `n` (1) tokens are its own.
---@async
---@param n? number
---@param options? number|{ timeout?: number }
---@return true
---@overload async fun(self: weir.Bucket, options: { timeout?: number }): true
function Bucket:take(n, options) end

---@param n? number
---@return boolean
---@return "busy"|"impossible"|"closed"|nil reason
---@return number? retry_after seconds until it would be had
function Bucket:try_take(n) end

--- A place in the queue, without waiting; `<close>` gives it back if it was not due.
---@param n? number
---@return weir.Reservation
function Bucket:reserve(n) end

--- Other limits, for those who wait too; what is not given stays.
---@param limits weir.BucketLimits
function Bucket:set(limits) end

--- Who waits and who comes gets `closed`; reservations stand.
---@param reason? any
function Bucket:close(reason) end

--- Refuse new ones; wait until the queue is empty, reservations included.
---@async
---@param timeout? number|{ timeout?: number }
function Bucket:drain(timeout) end

--- Is it as full as when it was made, and nobody waits?
---@return boolean
---@return number? seconds until it is, if time alone will do
function Bucket:is_idle() end

---@class weir.BucketStats
---@field name? string
---@field rate number
---@field burst number
---@field available number
---@field held integer 0: nothing is held
---@field waiting integer
---@field reserved integer
---@field grants integer
---@field queued integer
---@field refunds integer
---@field changes integer
---@field rejects table<string, integer> by kind
---@field wait weir.Histogram
---@field hold weir.Histogram empty

--- A snapshot.
---@return weir.BucketStats
function Bucket:stats() end

---@class weir.Reservation
---@field delay number seconds until it is due
---@field state "waiting"|"due"|"cancelled"|"impossible"
---@field n number
local Reservation = {}

--- Give it back. Not if it is due already.
---@return boolean given_back
function Reservation:cancel() end

-- --- data: their objects are in weir/pool.lua and weir/cache.lua --------------------------------

--- What is slow to make, lent and taken back.
---@param options weir.PoolOpts
---@return weir.Pool
function weir.pool(options) end

--- One load for a key however many ask.
---@param options? weir.CacheOpts
---@return weir.Cache
function weir.cache(options) end

return weir
