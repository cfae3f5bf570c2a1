-- webhooks.destination - what one receiver may be sent, and when.
--
-- It has a queue of places in the source (numbers; a delivery is made of one when its turn comes),
-- a bucket for its rate, and a number of places in flight. One task at a time stands at its head
-- (`attended`): it waits for the pause and the token, so the rest of the queue costs no coroutine. A
-- delivery that waits for its next attempt is in `sleeping`.
-- Places: two at first, doubled by each success, up to what Little's law asks for at the latency
-- seen, twice over. So who stops to answer holds few of the places that all share. Failures in a row
-- close it down to one place and longer and longer pauses, too many end it.
-- What is sent evenly need not arrive so: the bucket alone would let a burst that was held up on its
-- way meet what came after it. So an attempt counts from its beginning to a second after it must
-- have arrived, and no more than rate + burst may count. It has arrived when it was answered. To a
-- receiver that is so slow that this would cost it its rate, as far as is known when the attempt
-- begins, it is taken to have arrived after `transit`.
-- Invariant: a token is taken when the attempt begins.

local weir = require "weir"

local new_fifo = require "support.fifo".new

local destination = {}
destination.__index = destination

local FIRST_PLACES <const> = 2   -- in flight before the first answer
local TOLERATED <const> = 2      -- failures in a row that mean nothing
local FIRST_PAUSE <const> = 0.5  -- seconds, doubled with each further failure
local LONGEST_PAUSE <const> = 10
local MEMORY <const> = 10        -- seconds; a heap of answers after a standstill is one to the average latency
local SHORTEST <const> = 1e-6 -- seconds of a wait: what is less may be none to the clock
local SECOND <const> = 1.001 -- two clocks need not agree to the last digit

---@param key string
---@param options table as webhooks.options makes it
function destination.new(key, options)
  local most_in_a_second = math.max(1, (options.rate + options.burst) // 1)
  return setmetatable({
    key = key, rate = options.rate, bucket = weir.bucket { rate = options.rate, burst = options.burst },
    queue = new_fifo(), again = new_fifo(), busy = 0, sleeping = 0, attended = false,
    most = options.per_host_limit,
    places = options.unlimited and options.per_host_limit or math.min(options.per_host_limit, FIRST_PLACES),
    latency = nil, answered_at = nil, give_up = options.give_up, most_in_a_second = most_in_a_second,
    transit = math.max(0, most_in_a_second / options.rate - SECOND), -- as long as does not cost the rate
    under_way = 0,         -- attempts that may not have arrived
    slow = new_fifo(),     -- those of them that will be taken to have, in the order in which they will
    arrived = new_fifo(),  -- times at which others had, in the last second
    failures = 0, slowed_at = -math.huge, open_at = -math.huge, token_at = -math.huge, dead = nil,
    is_postponed = false,
  }, destination)
end

--- For weir.keyed: may it be forgotten?
function destination:is_idle()
  return self:size() == 0 and self.busy == 0 and self.sleeping == 0 and not self.attended
    and self.failures == 0 and self.open_at <= weir.now() and self.bucket:is_idle()
end

--- Deliveries that wait for their turn, not counting those that sleep.
function destination:size()
  return self.queue:size() + self.again:size()
end

function destination:push(place)
  self.queue:push(place)
end

--- Put one that has slept in front.
---@param item { place: integer, attempts: integer }
function destination:push_again(item)
  self.again:push(item)
end

--- The next: a place, or an item of push_again.
function destination:pop()
  return self.again:pop() or self.queue:pop()
end

--- Must somebody come to stand at the head?
function destination:needs_attention()
  return not self.attended and self:size() > 0 and self.busy < self.places
end

local function note_arrival(self, attempt, at)
  attempt.has_arrived = true
  self.under_way = self.under_way - 1
  self.arrived:push(at)
end

-- What has passed by now: attempts that arrived, and seconds that were over.
local function look(self, now)
  local slow <const>, arrived <const> = self.slow, self.arrived
  local attempt = slow:peek()
  while attempt and (attempt.has_arrived or attempt.arrives <= now) do
    if not attempt.has_arrived then
      note_arrival(self, attempt, attempt.arrives)
    end
    slow:pop()
    attempt = slow:peek()
  end
  while arrived:size() > 0 and arrived:peek() + SECOND <= now do
    arrived:pop()
  end
end

-- Seconds until one attempt less can count, if there are too many.
local function seconds_until_quiet(self, now)
  look(self, now)
  if self.under_way + self.arrived:size() < self.most_in_a_second then
    return 0
  end
  return (self.arrived:peek() or now) + SECOND - now -- of those under way one could arrive now
end

-- Seconds until an attempt may begin, as things stand.
local function seconds_until_open(self)
  if self.dead then
    return 0
  end
  local bucket <const>, now <const> = self.bucket, weir.now()
  local missing <const> = 1 - bucket.available
  local token = missing > 0 and missing / bucket.rate or self.token_at - now
  return math.max(token, self.open_at - now, seconds_until_quiet(self, now))
end

--- Wait until an attempt may begin. Nothing is taken: whoever goes on to wait for a place in flight
--- must not carry a token that grows old, or what was held up would arrive in a heap.
---@async
function destination:wait()
  local seconds = seconds_until_open(self)
  while seconds > 0 do
    weir.sleep(math.max(seconds, SHORTEST))
    seconds = seconds_until_open(self)
  end
end

--- Take the token now. False if the moment has passed.
function destination:try_start()
  if self.dead then
    return true
  end
  local now <const> = weir.now()
  if self.open_at > now or seconds_until_quiet(self, now) > 0 then
    return false
  end
  local taken, _, seconds = self.bucket:try_take()
  if not taken then -- a matter of nanoseconds
    self.token_at = now + math.max(seconds or 0, SHORTEST)
  end
  return taken
end

--- An attempt begins. What is returned is for leave().
---@return table attempt
function destination:enter()
  local attempt = { has_arrived = false, arrives = nil }
  self.busy = self.busy + 1
  self.under_way = self.under_way + 1
  if self.latency and self.latency > self.transit then
    attempt.arrives = weir.now() + self.transit
    self.slow:push(attempt)
  end
  return attempt
end

--- It ended.
---@param attempt table of enter
function destination:leave(attempt)
  local now <const> = weir.now()
  self.busy = self.busy - 1
  look(self, now)
  if not attempt.has_arrived then
    note_arrival(self, attempt, now)
  end
end

--- It asks to be left alone.
---@param seconds number
function destination:hold(seconds)
  self.open_at = math.max(self.open_at, weir.now() + seconds)
end

--- It asks to be left alone for longer than this run waits: nothing more is sent. What is in its queue is
--- left undone if `is_resumable`, and fails otherwise.
---@param seconds number
---@param is_resumable boolean
function destination:postpone(seconds, is_resumable)
  if not self.dead then
    self.dead, self.is_postponed = ("destination asks to wait %.0f s"):format(seconds), is_resumable
  end
end

-- Places for the rate at this latency: those that Little's law gives on average, twice over, since some take
-- longer and a burst is more.
local function places_for(self)
  return math.min(self.most, math.ceil(2 * self.rate * self.latency) + FIRST_PLACES)
end

--- It answered, after so many seconds: twice the places, if that many are of use.
---@param seconds number
function destination:succeeded(seconds)
  local now <const> = weir.now()
  local weight <const> = self.latency and 1 - math.exp((self.answered_at - now) / MEMORY) or 1
  self.latency = (self.latency or 0) + weight * (seconds - (self.latency or 0))
  self.answered_at = now
  self.failures, self.places = 0, math.min(places_for(self), 2 * self.places)
end

--- An attempt failed that began at `began`. What was in flight when it was slowed down tells nothing new.
---@param began number
---@param message string
function destination:failed(began, message)
  if began < self.slowed_at or self.dead then
    return
  end
  self.failures = self.failures + 1
  if self.failures >= self.give_up then
    self.dead = ("destination given up after %d failures in a row: %s"):format(self.failures, message)
  elseif self.failures > TOLERATED then
    self.slowed_at, self.places = weir.now(), 1
    self:hold(math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ^ (self.failures - TOLERATED - 1)))
  end
end

return destination
