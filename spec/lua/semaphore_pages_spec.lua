-- semaphore_pages_spec.lua - the examples of docs/semaphore.md and docs/limit.md print what they say.

local helper = require "support.helper"

describe("the example of", function()
  for _, name in ipairs { "semaphore", "limit" } do
    it("docs/" .. name .. ".md runs as printed", function()
      local page <close> = assert(io.open("docs/" .. name .. ".md"))
      local code = page:read("a"):match("```lua\n(.-)```")
      local expected = {}
      for said in code:gmatch("%-%->([^\n]*)") do expected[#expected + 1] = said:match("^%s*(.-)%s*$") end
      local out = helper.program(code)
      local got = {}
      for line in out:gmatch("[^\n]+") do got[#got + 1] = line end
      assert.is_true(#expected > 3)
      assert.same(expected, got)
    end)
  end
end)
