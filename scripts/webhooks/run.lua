-- webhooks.run - from the lines of a source to the last outcome.
--
-- One task reads: each line is checked, and its place put into the queue of its destination. Who
-- stands at the head of a destination's queue waits for that destination's pause and rate, then for
-- one of the places in flight that all share, then takes the token and makes the attempt, while
-- another one comes to the head. So a slow destination holds up its own queue alone. An attempt
-- runs in a shield: a cancel lets it end and its outcome be written, and stops what comes after it.
-- What is to be tried again sleeps as a task without a place, and comes back to its queue.

local http = require "weir.http"
local weir = require "weir"
local new_progress = require "weir.progress"

local retry = require "support.retry"
local delivery = require "webhooks.delivery"
local destination = require "webhooks.destination"

local GRACE <const> = 4           -- seconds that an attempt gets after Ctrl-C; the host ends after 5
local LOOK_AHEAD <const> = 1000000 -- deliveries read and not yet tried, in all
local STRETCH <const> = 50        -- lines read at a time; then the loop turns
local TURN <const> = 1e-9         -- seconds
local FIRST_WAIT <const> = 0.5    -- seconds before the second attempt, at most; doubled with each
local LONGEST_WAIT <const> = 60
local LONGEST_ASKED <const> = 300 -- a Retry-After beyond this is for another run

local serve

-- Send somebody to the head of a queue if nobody is there.
local function attend(run, to)
  if to:needs_attention() then
    to.attended = true
    run.scope:spawn(serve, run, to)
  end
end

-- --- one attempt and what follows from it ----------------------------------------------------------

local function sleep_and_return(run, to, item, seconds)
  weir.sleep(seconds)
  to.sleeping = to.sleeping - 1
  run.pending = run.pending + 1
  to:push_again(item)
  attend(run, to)
end

local function try_again(run, to, item, d, answer)
  local seconds = math.max(answer.wait or 0, retry.backoff(item.attempts, FIRST_WAIT, LONGEST_WAIT))
  run.journal:again(d.id, item.attempts, answer.message)
  run.report:count(to.key, "retried")
  to.sleeping = to.sleeping + 1
  run.scope:spawn(sleep_and_return, run, to, item, seconds)
end

local function finish(run, to, item, text, d, answer)
  if not answer.ok and run.dead then -- first: written twice is better than never
    run.dead:write(delivery.dead_letter(text, answer, item.attempts))
  end
  run.journal:finish(d.id, answer, item.attempts, text)
  run.report:count(to.key, answer.ok and "delivered" or "failed")
  if run.progress then
    run.progress:finish(answer.ok)
  end
end

-- A line for the operator.
local function tell(run, text)
  if run.progress then
    run.progress:message(text)
  else
    io.stderr:write(text, "\n")
  end
end

-- The destination has too much to do: leave it alone for as long as it says, or as seems right.
local function hold_back(run, to, item, answer)
  local seconds = answer.wait or retry.backoff(item.attempts, FIRST_WAIT, LONGEST_WAIT)
  if seconds <= LONGEST_ASKED then
    to:hold(seconds)
  elseif not to.dead then
    to:postpone(seconds, run.journal:is_kept())
    tell(run, ("webhooks.lua: '%s' asks to wait %.0f s: what is left for it %s"):format(to.key, seconds,
      to.is_postponed and "waits for --resume" or "fails, there is no journal to resume"))
  end
end

-- Tell the destination how it went. Returns what becomes of the delivery: "done", "again" or "left".
local function judge(run, to, item, answer, began)
  if not answer.alive then
    to:failed(began, answer.message)
  elseif not answer.busy then
    to:succeeded(weir.now() - began)
  end
  if answer.busy then
    hold_back(run, to, item, answer)
  end
  if not answer.again or item.attempts > run.options.retries then
    return "done"
  end
  return to.is_postponed and "left" or to.dead and "done" or "again"
end

local function attempt(run, to, item)
  local text = run.source:again(item.place)
  local d = delivery.parse(text)
  if to.is_postponed then
    return -- undone, as --resume will find it
  elseif to.dead then
    return finish(run, to, item, text, d, { error = "dead", message = to.dead })
  end
  item.attempts = item.attempts + 1
  run.journal:begin(d.id, item.attempts)
  if run.progress and item.attempts == 1 then
    run.progress:start()
  end
  local began <const>, answer = weir.now(), nil
  run.report:enter(to.key)
  local _ <close> = setmetatable({}, { __close = function()
    run.report:leave(to.key, answer, weir.now() - began)
  end })
  answer = delivery.send(run.client, d)
  local what = judge(run, to, item, answer, began)
  if what == "again" then
    try_again(run, to, item, d, answer)
  elseif what == "left" then
    run.journal:again(d.id, item.attempts, answer.message)
  else
    finish(run, to, item, text, d, answer)
  end
end

-- --- the head of a queue ------------------------------------------------------------------------------

-- Wait for the turn of the next in the queue. Returns the item and the permit of its place in flight.
local function next_turn(run, to)
  weir.checkpoint()
  while true do
    to:wait()
    local permit = run.places:acquire()
    if to:try_start() then
      local item = to:pop()
      run.pending = run.pending - 1
      if run.on_room then
        run.on_room()
      end
      return type(item) == "table" and item or { place = item, attempts = 0 }, permit
    end
    permit:release()
  end
end

-- The body of who stands at the head, until the queue is empty or somebody else is there.
function serve(run, to)
  while to:size() > 0 do
    do
      local item, _ <close> = next_turn(run, to) -- with the place in flight
      to.attended = false
      local begun = to:enter()
      local _ <close> = setmetatable({}, { __close = function() to:leave(begun) end }) -- luacheck: ignore
      attend(run, to)
      weir.shield(GRACE, attempt, run, to, item)
    end
    if to.attended or to.busy >= to.places then
      return
    end
    to.attended = true
  end
  to.attended = false
end

-- --- reading -------------------------------------------------------------------------------------------

local function complain(run, number, problem)
  run.report.bad = run.report.bad + 1
  tell(run, ("webhooks.lua: %s:%d: %s"):format(run.source.name, number, problem))
end

local function read_line(run, text, place, number, seen)
  local report <const> = run.report
  report.read = report.read + 1
  local d, problem
  if #text > run.source.LONGEST then
    problem = "longer than 16 MiB"
  else
    d, problem = delivery.parse(text)
  end
  if not d then
    return complain(run, number, problem)
  elseif seen[d.id] then
    return complain(run, number, ("id '%s' is on line %d already"):format(d.id, seen[d.id]))
  end
  seen[d.id] = number
  local outcome <const> = run.journal:outcome(d.id, text, run.source.name)
  if outcome then
    report.skipped = report.skipped + 1
    report.failed_before = report.failed_before + (outcome == "failed" and 1 or 0)
    return
  end
  local to = run.destinations(d.destination)
  while to:size() >= run.options.queue or run.pending >= LOOK_AHEAD do
    weir.await(function(resume) run.on_room = resume end)
    run.on_room = nil
  end
  run.pending = run.pending + 1
  to:push(place)
  attend(run, to)
end

local function read_all(run)
  local seen, n = {}, 0
  for text, place, number in run.source.next, run.source do
    if text:find("%S") then
      if run.report.read == 0 then
        run.journal:begin_source(run.source.name, text, run.options.other_source)
      end
      read_line(run, text, place, number, seen)
    end
    n = n + 1
    if n % STRETCH == 0 then -- a checkpoint would let tasks run, not answers in
      weir.sleep(TURN)
    end
  end
  if run.progress then
    run.progress.total = run.report.read - run.report.bad - run.report.skipped
  end
end

---@param source table as webhooks.source makes it
---@param journal table as webhooks.journal makes it
---@param dead table? file of dead letters
---@param options table as webhooks.options makes it
---@param report table takes what happens
return function(source, journal, dead, options, report)
  local client <close> = http.client {
    max = options.limit < math.huge and options.limit or nil, timeout = options.timeout,
    verify = not options.insecure,
  }
  local progress <close> = not options.quiet and new_progress { label = "webhooks" } or nil
  local run = {
    source = source, journal = journal, dead = dead, options = options, report = report, client = client,
    progress = progress, pending = 0, on_room = nil,
    places = weir.semaphore { permits = options.limit < math.huge and options.limit or 1000000, name = "in flight" },
    destinations = weir.keyed(function(key) return destination.new(key, options) end, {
      name = "destinations", max = math.huge, -- the report has a row for each anyway
    }),
  }
  if progress and (journal.in_flight > 0 or journal.torn > 0) then
    progress:message(("webhooks.lua: resumed: %d done, %d were in flight and may arrive twice, %d lines cut"):format(
      journal.delivered + journal.failed, journal.in_flight, journal.torn))
  end
  local _ <close> = setmetatable({}, { __close = function() report:stop() end })
  weir.scope(function(scope)
    run.scope = scope
    read_all(run)
  end)
end
