-- build.lua - makes three parts side by side, joins them, and says what came out.
--
-- The folder is removed whatever happens: an error, the time limit, Ctrl-C.
local folder <const> = sh("mktemp -d"):match("%S+")
local _ <close> = setmetatable({}, { __close = function() weir.shield(sh, "rm -r " .. folder) end })

local parts <const> = { "one", "two", "three" }
weir.map(parts, function(part)
  return sh(("echo %s >%s/%s.o"):format(part, folder, part))
end)
sh(("cd %s && cat one.o two.o three.o >all"):format(folder))
print("build: digest " .. digest(folder .. "/all"))
