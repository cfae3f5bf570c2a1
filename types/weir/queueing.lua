-- types/weir/queueing.lua - the annotations of bindings/weir/queueing.lua, taken out by tools/types.lua; do not edit.
---@meta weir.queueing

---@class weir.queueing.Load
---@field rate number arrivals per second, >= 0
---@field service number mean seconds that a job holds a server, >= 0
---@field cv_arrival? number standard deviation / mean of the time between arrivals; 1, Poisson
---@field cv_service? number the same of service; 1, exponential; 0 is constant

---@class (exact) weir.queueing.WaitOpts: weir.queueing.Load
---@field servers integer size of the pool

---@class (exact) weir.queueing.ServersOpts: weir.queueing.Load
---@field target_wait? number seconds that the wait at `quantile` does not exceed, >= 0
---@field quantile? number of target_wait; 0.99
---@field target_mean? number seconds that the mean wait does not exceed, > 0
---@field target_utilisation? number share of the time that servers are busy, at most, > 0 and <= 1
---@field target_probability? number share of jobs that wait at all, at most, > 0 and <= 1
---@field max? integer servers that there can be

---@class weir.queueing.Wait
---@field stable boolean false: the queue grows for ever
---@field servers integer
---@field offered number rate * service: servers busy if nobody ever waited
---@field utilisation number offered / servers
---@field probability number share of jobs that wait at all
---@field delay number mean seconds of those that wait
---@field mean number mean seconds waited, of all jobs
---@field p50 number
---@field p95 number
---@field p99 number seconds that 99 % of all jobs wait at most
---@field queue number jobs that wait, on average
---@field time number mean seconds from arrival to end: mean + service
---@field n number jobs there, waiting or served, on average: rate * time
---@field growth number jobs per second by which the queue grows; 0 if stable
local Wait = {}

--- Seconds that a share `q` of all jobs waits at most; 0 if fewer than 1 - q wait.
---@param q number > 0 and < 1
---@return number
function Wait:quantile(q) end

--- The share of all jobs that waits longer than `seconds`.
---@param seconds number >= 0
---@return number
function Wait:over(seconds) end

---@class weir.queueing
local queueing = {}

--- Little's law, n = rate * time, which holds for whatever is stable: of the rate at which jobs
--- come, the mean time each stays and the mean number there, two give the third.
---@param opts { rate?: number, time?: number, n?: number }
---@return number
function queueing.little(opts) end

--- Erlang B: the share of jobs that find all servers busy and go away.
---@param offered number rate * service
---@param servers integer
---@return number
function queueing.erlang_b(offered, servers) end

--- Erlang C: the share of jobs that find all servers busy and wait; 1 if offered >= servers.
---@param offered number rate * service
---@param servers integer
---@return number
function queueing.erlang_c(offered, servers) end

--- What waits there are with so many servers.
---@param opts weir.queueing.WaitOpts
---@return weir.queueing.Wait
function queueing.wait(opts) end

--- The least number of servers that meets all targets given. Raises `impossible` if `max` do not.
---@param opts weir.queueing.ServersOpts
---@return integer
function queueing.servers(opts) end

return queueing
