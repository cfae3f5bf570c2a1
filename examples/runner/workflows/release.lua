-- release.lua - asks before it does anything that cannot be taken back.
local version <const> = sh("echo 1.2"):match("%S+")
if not approve(("release %s?"):format(version), { timeout = 3600 }) then
  error("the operator said no", 0)
end
sh("true")
print("release: " .. version .. " is out")
