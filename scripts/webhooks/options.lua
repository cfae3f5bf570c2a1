-- webhooks.options - the command line of webhooks.lua: what may be said, checked and converted.
--
-- parse(line) returns a table of options whose values need no further check, or nil and a text for
-- standard error. Nothing is read or opened here.

local found, argparse = pcall(require, "argparse")
if not found then
  error("webhooks.lua needs argparse (Debian: lua-argparse, LuaRocks: argparse)", 0)
end

local words = require "support.words"

local options = {}

local description <const> = [[
Deliver webhooks: each line of SOURCE is a JSON object that is sent to its url.

  {"id": "evt-1", "url": "https://example.com/hook", "body": {"n": 1}, "headers": {"x-a": "b"}}

id and url must be there. body is a string, or any JSON, which is sent as such. method is POST
unless said. destination names what has a rate of its own; the url's scheme, host and port unless
said. A line that is not such an object is reported with its number, counts as failed and stops
nothing. SOURCE is a file, or - for standard input. Without one a demonstration runs against
receivers of its own on this machine.]]

local epilog <const> = [[
The id is sent as Idempotency-Key. Tried again, after a wait that doubles and is drawn at random:
no answer, and the statuses 408, 425, 429 and 500 or more but 501. A 429 or 503 holds the whole
destination back, as long as its Retry-After says; beyond 5 minutes nothing more is sent to it, and
the rest is left for --resume (without a journal it fails). What waits for its next
attempt holds no place and no connection. Three failures in a row slow a destination down to one
attempt at a time, with pauses of up to 10 s; after --give-up of them the rest of its deliveries
fail without an attempt.

The journal says before each attempt what is sent, and after it what came of it. Every record is
handed to the system at once, so whatever ends this process, --resume delivers the rest and
repeats only what was in flight. It is not forced to the disk: a machine that dies may lose the
last records, and what they say is sent again. It is locked while it is used, and belongs to the
SOURCE that it was begun with, which may grow meanwhile: with another one --resume wants to be told.

Exit code: 0 all delivered, 1 some failed, now or before, or are left, 2 wrong usage, a file that
cannot be read or written, or a SOURCE that was changed meanwhile, 130 interrupted (what was in
flight got 4 s to finish; --resume goes on).]]

local function build()
  local parser = argparse("webhooks.lua", description, epilog):usage_max_width(100)
  local function option(name, argname, convert, text)
    local made = parser:option(name):argname(argname):description(text)
    if convert then
      made:convert(convert)
    end
  end
  local function positive(name)
    return words.number(name, 0.001, 1e6, false, "a number from 0.001 to 1000000")
  end
  parser:argument("source"):argname("SOURCE"):args("?"):description("file of JSON lines, or -")
  option("--limit", "N", words.limit("--limit", 100000), "attempts in flight at once (500)")
  option("--per-host-limit", "N", words.limit("--per-host-limit", 100000),
    "the same for one destination, which has as many as its rate needs at its latency (50)")
  option("--per-host-rate", "R", positive "--per-host-rate", "attempts a second to one destination (10)")
  option("--burst", "N", words.integer("--burst", 1, 1000000),
    "attempts at once after a rest; what comes in a second is at most R + N (the rate)")
  option("--retries", "N", words.integer("--retries", 0, 100), "further attempts for a delivery (5)")
  option("--timeout", "S", positive "--timeout", "seconds for each attempt (30)")
  option("--give-up", "N", words.integer("--give-up", 3, 1000000),
    "failures in a row after which a destination is given up (15)")
  option("--queue", "N", words.integer("--queue", 1, 10000000),
    "deliveries read ahead for one destination; at so many reading stops until one is sent (100000)")
  option("--journal", "FILE", nil, "where to keep what was done")
  parser:flag("--resume"):description("go on with the journal that is there")
  parser:flag("--other-source"):description(
    "--resume with another SOURCE, or with lines changed that were done: what is done goes by ids alone")
  option("--dead-letter", "FILE", nil, "append what failed for good, as lines that can be a SOURCE")
  parser:flag("--insecure"):description("accept any certificate")
  parser:flag("--json"):description("print the summary as JSON")
  parser:flag("--quiet"):description("no progress and no summary")
  option("--demo-size", "N", words.integer("--demo-size", 1, 1000000), "deliveries of the demonstration (2500)")
  option("--demo-destinations", "N", words.integer("--demo-destinations", 1, 10000), "and its receivers (50)")
  parser:flag("--unlimited"):description("the demonstration without limits, rates and retries: see what breaks")
  return parser
end

local function whole(n)
  return math.tointeger(math.ceil(n))
end

local function complaint_about(given)
  local is_demo <const> = given.source == nil
  if is_demo and (given.journal or given.dead_letter or given.resume) then
    return "--journal, --resume and --dead-letter need a SOURCE"
  elseif not is_demo and (given.demo_size or given.demo_destinations or given.unlimited) then
    return "--demo-size, --demo-destinations and --unlimited are for the demonstration, which takes no SOURCE"
  elseif given.resume and not given.journal then
    return "--resume needs --journal"
  elseif given.other_source and not given.resume then
    return "--other-source is for --resume"
  end
end

---@param line string[] the command line, without the script
---@return table? options nil if it is wrong
---@return string? complaint for standard error
function options.parse(line)
  local parser = build()
  local fine, given = parser:pparse(line)
  if not fine then
    return nil, ("%s\nwebhooks.lua: %s"):format(parser:get_usage(), given)
  end
  local complaint = complaint_about(given)
  if complaint then
    return nil, "webhooks.lua: " .. complaint
  end
  given.demo = given.source == nil
  given.rate = given.per_host_rate or 10
  given.burst = given.burst or whole(given.rate)
  given.limit = given.limit or 500
  given.per_host_limit = given.per_host_limit or 50
  given.retries = given.retries or 5
  given.timeout = given.timeout or 30
  given.give_up = given.give_up or 15
  given.queue = given.queue or 100000
  given.demo_size = given.demo_size or 2500
  given.demo_destinations = given.demo_destinations or 50
  return given
end

return options
