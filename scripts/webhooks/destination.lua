-- webhooks.destination - what one receiver may be sent, and when.
--
-- It has a queue of places in the source (numbers; a delivery is made of one when its turn comes),
-- a bucket for its rate, and a number of places in flight: two at first, doubled by each success.
-- Consecutive failures close it down to one place and longer and longer pauses, too many in a row
-- end it.
-- One task at a time stands at its head (`attended`): it waits for the pause and the token, so the
-- rest of the queue costs no coroutine. A delivery that waits for its next attempt is in `sleeping`.
-- What is sent evenly need not arrive so: the bucket alone would let a burst that was held up on its
-- way meet what came after it. So an attempt also counts from its beginning to one second after its
-- end, and no more than rate + burst may count at a time: more cannot arrive in any second.
-- Invariant: busy <= places, except after a slow-down; a token is taken when the attempt begins.

local weir = require "weir"

local destination = {}
destination.__index = destination

local FIRST_PLACES <const> = 2   -- in flight before the first answer
local TOLERATED <const> = 2      -- failures in a row that mean nothing
local FIRST_PAUSE <const> = 0.5  -- seconds, doubled with each further failure
local LONGEST_PAUSE <const> = 10
local SHORTEST <const> = 1e-6 -- seconds of a wait: what is less may be none to the clock
local SECOND <const> = 1.001 -- two clocks need not agree to the last digit

---@param key string
---@param options table as webhooks.options makes it
function destination.new(key, options)
  local most_in_a_second = math.max(1, (options.rate + options.burst) // 1)
  local most = math.min(options.per_host_limit, most_in_a_second)
  return setmetatable({
    key = key, bucket = weir.bucket { rate = options.rate, burst = options.burst },
    queue = {}, first = 1, last = 0, again = {}, busy = 0, sleeping = 0, attended = false,
    most = most, places = options.unlimited and most or math.min(most, FIRST_PLACES),
    give_up = options.give_up, most_in_a_second = most_in_a_second,
    ends = {}, oldest = 1, newest = 0, -- times at which attempts ended, of the last second
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
  return self.last - self.first + 1 + #self.again
end

function destination:push(place)
  self.last = self.last + 1
  self.queue[self.last] = place
end

--- Put one that has slept in front.
---@param item { place: integer, attempts: integer }
function destination:push_again(item)
  self.again[#self.again + 1] = item
end

--- The next: a place, or an item of push_again.
function destination:pop()
  if #self.again > 0 then
    return table.remove(self.again, 1)
  end
  local place = self.queue[self.first]
  self.queue[self.first] = nil
  self.first = self.first + 1
  if self.first > self.last then
    self.first, self.last = 1, 0
  end
  return place
end

--- Must somebody come to stand at the head?
function destination:needs_attention()
  return not self.attended and self:size() > 0 and self.busy < self.places
end

-- Seconds until one attempt less counts, if there are too many.
local function seconds_until_quiet(self, now)
  local ends <const> = self.ends
  while self.oldest <= self.newest and ends[self.oldest] + SECOND <= now do
    ends[self.oldest] = nil
    self.oldest = self.oldest + 1
  end
  local counted = self.busy + self.newest - self.oldest + 1
  return counted + 1 > self.most_in_a_second and self.oldest <= self.newest and ends[self.oldest] + SECOND - now or 0
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

--- An attempt begins.
function destination:enter()
  self.busy = self.busy + 1
end

--- It ended.
function destination:leave()
  self.busy = self.busy - 1
  if self.dead then
    return
  end
  self.newest = self.newest + 1
  self.ends[self.newest] = weir.now()
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

--- It answered: twice the places. So who never answers takes few of the places that all share.
function destination:succeeded()
  self.failures, self.places = 0, math.min(self.most, 2 * self.places)
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
