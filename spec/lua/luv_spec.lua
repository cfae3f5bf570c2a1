-- luv_spec.lua - luv on weir's own loop, awaited through weir.await and weir.wrap. In real time.

local helper = require "support.helper"
local weir = require "weir"

local found, uv = pcall(require, "weir.luv")

-- A one-shot timer as an awaited operation; the handle is closed either way.
local function pause(ms)
  return weir.await(function(resume)
    local timer = uv.new_timer()
    timer:start(ms, 0, function()
      timer:close()
      resume("rang")
    end)
    return timer
  end)
end

describe("weir.luv #real", function()
  if not found then
    pending("needs luv: " .. tostring(uv))
    return
  end

  it("is luv", function()
    assert.is_function(uv.new_timer)
    assert.is_function(uv.fs_stat)
  end)

  it("wakes a task from a luv timer", helper.real(function()
    assert.equal("rang", pause(1))
  end))

  it("lets other tasks run meanwhile", helper.real(function()
    local order = {}
    weir.scope(function(s)
      s:spawn(function() pause(20) order[#order + 1] = "luv" end)
      s:spawn(function() weir.checkpoint() order[#order + 1] = "weir" end)
    end)
    assert.same({ "weir", "luv" }, order)
  end))

  it("mixes with weir's own timers", helper.real(function()
    local winner = weir.race { function() pause(1) return "luv" end, function() weir.sleep(60) return "weir" end }
    assert.equal("luv", winner)
    winner = weir.race { function() pause(60000) return "luv" end, function() weir.sleep(0.001) return "weir" end }
    assert.equal("weir", winner)
  end))

  it("closes the handle of a wait that is given up", helper.real(function()
    local timer
    local t = weir.spawn(function()
      weir.await(function()
        timer = uv.new_timer()
        timer:start(60000, 0, function() end)
        return timer
      end)
    end)
    weir.checkpoint()
    assert.is_false(timer:is_closing())
    t:cancel()
    t:pawait()
    assert.is_true(timer:is_closing())
  end))

  it("reads a file through weir.wrap", helper.real(function()
    local open, read, close = weir.wrap(uv.fs_open), weir.wrap(uv.fs_read), weir.wrap(uv.fs_close)
    local path = debug.getinfo(1, "S").source:sub(2)
    local err, fd = open(path, "r", 420)
    assert.is_nil(err)
    local read_err, text = read(fd, 15, 0)
    assert.is_nil(read_err)
    assert.equal("-- luv_spec.lua", text)
    assert.is_nil((close(fd)))
  end))

  it("waits for a child process", helper.real(function()
    local code = weir.await(function(resume)
      local process
      process = uv.spawn("/bin/sh", { args = { "-c", "exit 7" } }, function(status)
        process:close()
        resume(status)
      end)
      return process
    end)
    assert.equal(7, code)
  end))

  it("lets a callback detach a task, and not wait", helper.real(function()
    local kind
    local value = weir.await(function(resume)
      local timer = uv.new_timer()
      timer:start(1, 0, function()
        timer:close()
        kind = weir.kind(select(2, pcall(weir.sleep, 1)))
        weir.detach(function()
          weir.checkpoint()
          resume("detached")
        end)
      end)
      return timer
    end)
    assert.equal("detached", value)
    assert.equal("misuse", kind)
  end))

  it("keeps a program going as long as a wait hangs on a handle, and no longer", function()
    local out = helper.program [[
      local weir = require "weir"
      local uv = require "weir.luv"
      weir.run(function()
        weir.await(function(resume)
          local timer = uv.new_timer()
          timer:start(5, 0, function() timer:close() resume() end)
          return timer
        end)
        print "rang"
        uv.new_timer():start(600000, 0, function() end)
      end)
      print "ended"
      print(pcall(weir.run, function() weir.timeout(0.01, weir.await, function() end) end))
    ]]
    assert.is_truthy(out:find("rang\nended\nfalse", 1, true), out)
  end)

  it("reports an error in a callback and goes on", function()
    local out, code = helper.program [[
      local weir = require "weir"
      local uv = require "weir.luv"
      weir.run(function()
        local timer = uv.new_timer()
        timer:start(1, 0, function() timer:close() error("the callback broke") end)
        weir.sleep(0.02)
        print "went on"
      end)
    ]]
    assert.is_truthy(out:find("the callback broke", 1, true), out)
    assert.is_truthy(out:find("went on", 1, true), out)
    assert.equal(0, code)
  end)

  it("runs many operations at once", helper.real(function()
    local stat = weir.wrap(uv.fs_stat)
    local r = weir.map({ ".", "..", "/", "/tmp", "/no/such/file" }, function(path)
      local err, info = stat(path)
      return info and info.type or err
    end)
    assert.same({ "directory", "directory", "directory", "directory" }, { table.unpack(r, 1, 4) })
    assert.is_truthy(r[5]:find("ENOENT", 1, true))
  end))
end)
