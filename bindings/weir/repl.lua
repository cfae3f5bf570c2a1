-- weir.repl - read, run, print: Lua typed by hand, whose top level may wait.
--
-- Each input is a detached task: what it spawned when it returns goes on behind the prompt, and a failure of that is
-- reported where it happens. An error or an interrupt cancels the input that runs and what it started, not the
-- session. An input that is not complete yet is continued on the next line. Values are shown with what is in
-- them, down to a few levels.

local core <const> = require "weir.core"

local repl <const> = {}

local DEPTH <const> = 3  -- levels of tables that are shown
local ITEMS <const> = 40 -- entries of one
local WIDTH <const> = 78 -- a table that fits in so much is shown on one line

-- --- showing values ---------------------------------------------------------------------------------
local show

local reserved <const> = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch "%a+" do
  reserved[word] = true
end

local function show_key(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" and not reserved[key] then return key end
  return "[" .. show(key, DEPTH + 1) .. "]"
end

-- Keys in an order that is the same each time: numbers, then text, then the rest as it comes.
local rank <const> = { number = 1, string = 2 }
local function before(a, b)
  local ra <const>, rb <const> = rank[type(a)] or 3, rank[type(b)] or 3
  if ra ~= rb then return ra < rb end
  return ra < 3 and a < b or tostring(a) < tostring(b)
end

local function entries(value, depth, seen)
  local parts, keys, n = {}, {}, #value
  for i = 1, math.min(n, ITEMS) do parts[i] = show(value[i], depth + 1, seen) end
  for key in next, value do
    if not (math.type(key) == "integer" and key >= 1 and key <= n) then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  for i = 1, math.min(#keys, ITEMS) do
    parts[#parts + 1] = show_key(keys[i]) .. " = " .. show(rawget(value, keys[i]), depth + 1, seen)
  end
  local more <const> = math.max(0, n - ITEMS) + math.max(0, #keys - ITEMS)
  if more > 0 then parts[#parts + 1] = ("... %d more"):format(more) end
  return parts
end

local function show_table(value, depth, seen)
  if seen[value] then return "<" .. tostring(value) .. ", above>" end
  if depth > DEPTH then return "{...}" end
  seen[value] = true
  local parts <const> = entries(value, depth, seen)
  seen[value] = nil
  if #parts == 0 then return "{}" end
  local line <const> = "{ " .. table.concat(parts, ", ") .. " }"
  if #line + 2 * depth <= WIDTH and not line:find("\n", 1, true) then return line end
  local indent <const> = ("  "):rep(depth)
  return "{\n" .. indent .. "  " .. table.concat(parts, ",\n" .. indent .. "  ") .. "\n" .. indent .. "}"
end

-- `depth`: of the table it is in.
function show(value, depth, seen)
  local kind <const> = type(value)
  if kind == "string" then
    return depth == 0 and value or ("%q"):format(value):gsub("\\\n", "\\n")
  elseif kind == "table" then
    local meta <const> = getmetatable(value)
    if not (meta and (type(meta) ~= "table" or rawget(meta, "__tostring") or rawget(meta, "__name"))) then
      return show_table(value, depth, seen or {})
    end
  end
  local fine, text = pcall(tostring, value)
  return fine and text or ("<%s whose __tostring fails>"):format(kind)
end

--- A value as the prompt shows it.
---@param value any
---@return string
function repl.show(value) return (show(value, 0)) end

-- --- running input ------------------------------------------------------------------------------------

-- The input as a function; nil and what is wrong; or nil and nil if more of it must come.
local function compile(text)
  local fn = load("return " .. text:gsub("^=", ""), "=stdin", "t")
  if fn then return fn end
  local problem
  fn, problem = load(text, "=stdin", "t")
  if fn or not problem:find "<eof>$" then return fn, problem end
  return nil, nil
end

-- Without what is ours: what is below the input on the stack, where its task was spawned, who waits for it.
local OURS <const> = "\n[^\n]*weir/repl%.lua:%d+[^\n]*"
local function trim(text)
  text = text:gsub(" %(spawned at [^)\n]*weir/repl%.lua:%d+%)", "")
  text = text:gsub("in upvalue 'fn'" .. OURS, "in main chunk")
  return (text:gsub(OURS, ""))
end

local function report(input, err)
  local text
  if core.kind(err) == "cancelled" then
    text = ("interrupted (%s)"):format(tostring(err.reason))
  elseif core.kind(err) ~= "error" then
    text = trim(tostring(err))
  else
    local first <const> = input.errors and input.errors[1] -- of a task that it started, if that is what failed
    local stack <const> = input.traceback or first and first.traceback
    text = repl.show(err) .. (stack and "\n" .. trim(stack) or "")
  end
  io.stderr:write(text, "\n")
end

-- Run `fn` and wait until it returns, not for what it started then, or until its task has failed, for which all that it
-- started is cancelled. `session.input` is the task meanwhile.
local function run(session, fn)
  local results, _, err
  local waited <const>, why <const> = pcall(core.scope, function(waiting)
    local function returned(...)
      results = table.pack(...)
      waiting:cancel "the input returned" -- from here on nobody claims what fails in its task
    end
    session.input = core.detach(function() returned(fn()) end)
    _, err = session.input:pawait()
  end)
  local input <const> = session.input
  if not results and not waited then
    input:cancel(why.reason or why.kind)
    if core.kind(why) ~= "deadlock" then error(why, 0) end -- the session ends
    input:pawait()
    err = why
  end
  session.input = nil
  io.stdout:flush()
  if not results then
    report(input, err)
  elseif results.n > 0 then
    local shown <const> = {}
    for i = 1, results.n do shown[i] = repl.show(results[i]) end
    io.stdout:write(table.concat(shown, "\t"), "\n")
    io.stdout:flush()
  end
end

-- --- lines ----------------------------------------------------------------------------------------------

-- Without the editor's module lines are read as they are, and nothing else happens meanwhile.
local plain <const> = { is_terminal = false }
function plain.line(_, prompt)
  if plain.prompts then io.stdout:write(prompt) io.stdout:flush() end
  return io.stdin:read "l"
end
function plain.remember() end
plain.load, plain.save, plain.interrupt, plain.close = plain.remember, plain.remember, plain.remember, plain.remember

local function open_editor()
  local fine, module = pcall(require, "weir.edit.line")
  if not fine then
    plain.prompts = os.execute "[ -t 0 ]" == true
    return plain
  end
  return module.open()
end

-- Where the history is kept, or nil.
local function history_file()
  local given <const> = os.getenv "WEIR_HISTORY"
  if given then return given ~= "" and given or nil end
  local home <const> = os.getenv "HOME"
  return home and home .. "/.weir_history"
end

-- One input: its function, or nil at the end; false if it was interrupted or is wrong, which was said.
local function read(editor)
  local text = editor:line "> "
  while text do
    local fn, problem = compile(text)
    if fn then
      if text:find "%S" then editor:remember((text:gsub("\n", " "))) end
      return fn
    elseif problem then
      editor:remember((text:gsub("\n", " ")))
      io.stderr:write(problem, "\n")
      return false
    end
    local more <const> = editor:line ">> "
    if more == nil then
      io.stderr:write("stdin: the input ends in the middle of a statement\n")
      return nil
    end
    text = more and text .. "\n" .. more
  end
  return text
end

--- Read and run until the input ends. `on_interrupt(fn)`, if there is one, has `fn` called at Ctrl-C.
---@async
---@param on_interrupt? fun(fn: fun()?)
function repl.run(on_interrupt)
  local session <const> = {}
  local editor <const> = open_editor()
  local history <const> = editor.is_terminal and history_file() or nil
  local _ <close> = setmetatable({}, { __close = function()
    if on_interrupt then on_interrupt(nil) end
    editor:close()
  end })
  if history then editor:load(history) end
  if on_interrupt then
    on_interrupt(function()
      if session.input then
        session.input:cancel("SIGINT")
      else
        editor:interrupt()
      end
    end)
  end
  if rawget(_G, "weir") == nil then _G.weir = require "weir" end
  if editor.is_terminal or plain.prompts then
    print(("%s, %s. What waits may be typed as it is; Ctrl-C interrupts it, Ctrl-D ends."):format(_G.weir._VERSION,
      _VERSION))
  end
  while true do
    local fn <const> = read(editor)
    if history then editor:save(history) end -- now: nobody knows how a session ends
    if fn == nil then break end
    if fn then run(session, fn) end
  end
  if editor.is_terminal then print() end
end

return repl
