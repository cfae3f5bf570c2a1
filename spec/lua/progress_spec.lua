-- progress_spec.lua - weir.progress: what it shows, when, and what it leaves behind.

local helper = require "support.helper"
local progress = require "weir.progress"
local weir = require "weir"

-- A file that keeps what is written, one entry a flush.
local function recorder()
  local file = { shown = {}, pending = {} }
  function file:write(...)
    for _, text in ipairs { ... } do self.pending[#self.pending + 1] = text end
    return self
  end
  function file:flush()
    self.shown[#self.shown + 1] = table.concat(self.pending)
    self.pending = {}
    return self
  end
  return file
end

describe("weir.progress", function()
  it("redraws one line on a terminal, no more often than its interval, and wipes it", helper.virtual(function()
    local file = recorder()
    local bar = progress { total = 100, label = "fetch", file = file, terminal = true, width = 80, interval = 1 }
    for _ = 1, 40 do
      bar:start()
      weir.sleep(0.1)
      bar:finish()
    end
    assert.is_true(#file.shown >= 3 and #file.shown <= 4)
    for _, text in ipairs(file.shown) do
      assert.matches("^\r", text)
      assert.matches("fetch  %d+/100  10/s  %d in flight  ETA 0:0%d  %[#+%-+%]\27%[K$", text)
      assert.is_true(#text <= 80 + 4)
    end
    bar:close()
    assert.equal("\r\27[K", file.shown[#file.shown])
    local n = #file.shown
    bar:close()
    bar:draw()
    assert.equal(n, #file.shown)
  end))

  it("prints plain lines elsewhere, the last of them with the rate of the whole", helper.virtual(function()
    local file = recorder()
    local bar <close> = progress { file = file }
    bar:start(3)
    weir.sleep(1)
    bar:finish(false)
    bar:finish()
    weir.sleep(1)
    bar:finish()
    weir.sleep(1)
    bar:close()
    assert.equal("3, 1 failed, 1.5/s, 0 in flight\n", file.shown[#file.shown])
    for _, text in ipairs(file.shown) do assert.is_nil(text:find("[\r\27]")) end
  end))

  it("puts a message above the bar and the bar back", helper.virtual(function()
    local file = recorder()
    local bar <close> = progress { total = 2, file = file, terminal = true }
    bar:draw()
    bar:message("something happened")
    assert.matches("^\r\27%[Ksomething happened\n\r", file.shown[2])
  end))

  it("never shows more finished than started", helper.virtual(function()
    local bar <close> = progress { file = recorder() }
    bar:finish()
    assert.equal(1, bar.started)
    assert.equal(1, bar.finished)
  end))

  it("is what map's option of that name drives", helper.virtual(function()
    local bar <close> = progress { file = recorder() }
    local _, errors = weir.map({ 1, 2, 3 }, function(x)
      weir.sleep(x)
      if x == 2 then error("two", 0) end
    end, { progress = bar, on_error = "collect" })
    assert.equal("two", errors[2])
    assert.same({ 3, 3, 1, 3 }, { bar.total, bar.started, bar.failed, bar.finished })
  end))

  it("raises misuse for options it does not know or cannot use", helper.virtual(function()
    for _, options in ipairs { { totl = 1 }, { total = -1 }, { total = 1.5 }, { label = 1 }, { width = 0 },
      { interval = -1 }, { terminal = true, width = "wide" } } do
      helper.error("misuse", progress, options)
    end
    local bar <close> = progress { file = recorder() }
    helper.error("misuse", bar.start, bar, 0)
  end))
end)
