-- json_spec.lua - weir.json: numbers as they were written, null, empty arrays, errors by kind.

local helper = require "support.helper"

local found, json = pcall(require, "weir.json")

describe("weir.json", function()
  if not found then
    pending("needs lua-cjson")
    return
  end

  describe("decode", function()
    it("gives integers for numbers without a fraction", function()
      local value = json.decode('{"a":1,"b":-7,"c":[0,2.5]}')
      assert.equal("integer", math.type(value.a))
      assert.equal(1, value.a)
      assert.equal("integer", math.type(value.b))
      assert.equal("integer", math.type(value.c[1]))
      assert.equal("float", math.type(value.c[2]))
    end)

    it("keeps every digit of a 64-bit integer", function()
      local value = json.decode("[9223372036854775807,-9223372036854775808, 1234567890123456789 ,9007199254740993]")
      assert.equal(math.maxinteger, value[1])
      assert.equal(math.mininteger, value[2])
      assert.equal(1234567890123456789, value[3])
      assert.equal(9007199254740993, value[4])
    end)

    it("leaves digits in strings and keys alone", function()
      local value = json.decode([[{"1234567890123456789":"1234567890123456789\"9876543210987654321",
        "x":1234567890123456789}]])
      assert.equal('1234567890123456789"9876543210987654321', value["1234567890123456789"])
      assert.equal(1234567890123456789, value.x)
    end)

    it("gives a float where an integer does not fit", function()
      assert.equal(1e19, json.decode("10000000000000000000"))
      assert.equal(1234567890123456.5, json.decode("1234567890123456.5"))
      assert.equal(1e300, json.decode("1e300"))
    end)

    it("gives json.null for null", function()
      local value = json.decode('[null,{"a":null}]')
      assert.equal(json.null, value[1])
      assert.equal(json.null, value[2].a)
    end)

    it("takes scalars", function()
      assert.equal(3, json.decode("3"))
      assert.equal("integer", math.type(json.decode("3")))
      assert.equal("text", json.decode('"text"'))
      assert.is_false(json.decode("false"))
    end)

    it("raises protocol for what is not JSON", function()
      for _, text in ipairs { "", "{", "[1,]", "nonsense", "NaN", "0x10", "[1] [2]", "[0000000000000000001]" } do
        local err = helper.error("protocol", json.decode, text)
        assert.equal("json.decode", err.op)
      end
    end)

    it("raises misuse for what is not a string", function()
      helper.error("misuse", json.decode, nil)
      helper.error("misuse", json.decode, {})
    end)
  end)

  describe("encode", function()
    it("writes integers of any size", function()
      assert.equal("9223372036854775807", json.encode(math.maxinteger))
      assert.equal('{"n":-9223372036854775808}', json.encode { n = math.mininteger })
      assert.equal("[100000000000000,1]", json.encode { 100000000000000, 1 })
    end)

    it("writes floats that read back as themselves", function()
      local random = helper.random()
      local list = { 0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, -123456.789e-30, 2 ^ 53 + 2, math.pi }
      for i = #list + 1, 200 do
        list[i] = random(1, 1 << 40) / random(1, 1 << 20) * 10.0 ^ random(-30, 30)
      end
      local back = json.decode(json.encode(list))
      for i, n in ipairs(list) do assert.equal(n, back[i]) end
    end)

    it("writes what it read, mixed with everything else", function()
      local text = json.encode { a = { 1, 2.5, "x", true, json.null }, big = 1 << 62, s = "weir:12345678:" }
      local back = json.decode(text)
      assert.same({ 1, 2.5, "x", true, json.null }, back.a)
      assert.equal(1 << 62, back.big)
      assert.equal("weir:12345678:", back.s)
    end)

    it("writes an empty table as an object, and as an array if it was marked", function()
      assert.equal("{}", json.encode {})
      assert.equal("[]", json.encode(json.array()))
      assert.equal('{"a":[]}', json.encode { a = json.array {} })
      assert.equal("[1]", json.encode(json.array { 1 }))
    end)

    it("leaves its argument as it was", function()
      local inner = { math.maxinteger }
      local value = { inner = inner, list = json.array() }
      json.encode(value)
      assert.equal(inner, value.inner)
      assert.equal(math.maxinteger, inner[1])
    end)

    it("raises misuse for what JSON has no word for", function()
      local loop = {}
      loop[1] = loop
      for _, value in ipairs { print, 0 / 0, math.huge, loop, { [{}] = 1 }, { print } } do
        local err = helper.error("misuse", json.encode, value)
        assert.equal("json.encode", err.op)
      end
      helper.error("misuse", json.encode, nil)
    end)
  end)
end)
