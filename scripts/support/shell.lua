-- support.shell - what Lua cannot ask the system; a shell that inherits our descriptors can.

local shell = {}

--- A word that a shell reads as this text.
---@param text any
---@return string
function shell.quoted(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

--- Is a descriptor of this process a terminal?
---@param descriptor integer
---@return boolean
function shell.is_terminal(descriptor)
  return os.execute(("[ -t %d ]"):format(descriptor)) == true
end

--- Are two paths one file, whatever links lead to it? Devices and pipes are none.
---@param a string
---@param b string
---@return boolean
function shell.is_one_file(a, b)
  a, b = shell.quoted(a), shell.quoted(b)
  return os.execute(("[ -f %s ] && [ %s -ef %s ]"):format(a, a, b)) == true
end

-- The lock is one of the open file, which the child only has in common with us: it stays when the
-- child ends, and goes when our descriptor is closed, by us or by the end of this process.
local LOCK <const> = [[
path=%s
[ -f "$path" ] || exit 0
for fd in /dev/fd/*; do
  [ "$fd" -ef "$path" ] || continue
  fd=${fd##*/}
  if command -v flock >/dev/null; then
    exec flock -n "$fd" 2>/dev/null
  fi
  exec perl -e 'open(F, ">>&=", $ARGV[0]) or exit 3; exit(flock(F, 6) ? 0 : $!{EWOULDBLOCK} ? 1 : 3)' "$fd" 2>/dev/null
done
exit 3]]

--- Lock a file that this process has open, once, for as long as it has. Only files: on a device nothing
--- is locked. It keeps out whoever asks for this lock too, on this machine.
---@param path string
---@return boolean? locked nil if this system has no way
---@return string? why
function shell.lock(path)
  local _, how, code = os.execute(LOCK:format(shell.quoted(path)))
  if how == "exit" and code <= 1 then
    return code == 0, "another process has locked it"
  end
  return nil, "this system has neither flock nor perl, or no /dev/fd"
end

return shell
