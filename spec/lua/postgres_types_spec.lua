-- postgres_types_spec.lua - values of weir.postgres, from Lua to the server and back.

local client = require "support.postgres_client"
local helper = require "support.helper"
local json = require "weir.json"
local weir = require "weir"

describe("weir.postgres types #real", function()
  if not client.found then
    pending(client.missing)
    return
  end

  local postgres = client.postgres
  local get = client.server(setup, teardown)
  local function with(fn, options) return client.with(get, fn, options) end

  -- The same value by a query, by a prepared statement, and in a loop.
  local function there_and_back(db, value, cast)
    local sql = "select $1::" .. cast .. " as v"
    local plain = db:value(sql, value)
    local statement <close> = db:prepare(sql)
    assert.same({ plain }, { (statement:value(value)) })
    for row in db:rows(sql, value) do assert.same({ plain }, { row.v }) end
    return plain
  end

  it("keeps integers of any size", with(function(db)
    for _, case in ipairs {
      { "int2", -32768, 32767, 0 }, { "int4", -2147483648, 2147483647, -1 },
      { "int8", math.mininteger, math.maxinteger, 2147483648, -2147483649 }, { "oid", 4294967295 },
    } do
      for i = 2, #case do
        local got = there_and_back(db, case[i], case[1])
        assert.equal(case[i], got)
        assert.equal("integer", math.type(got))
      end
    end
    assert.equal("integer", math.type(db:value("select $1", 5)))
    assert.equal(math.maxinteger, db:value("select $1", math.maxinteger))
    assert.equal("abcabc", db:value("select repeat('abc', $1)", 2)) -- a function that takes int4 alone
  end))

  it("keeps floats exactly, and those that are no numbers", with(function(db)
    local random = helper.random()
    local floats = {
      0.1, -0.0, 1e308, 5e-324, 2 ^ 53, 1 / 3, math.pi, math.huge, -math.huge, 3.0, 123456789012345680.0,
    }
    for i = 1, 200 do
      local n = string.unpack("<d", string.pack("<i8", random(0, 0x7fefffffffffffff)))
      floats[#floats + 1] = i % 2 == 0 and n or -n
    end
    for _, n in ipairs(floats) do
      local got = db:value("select $1::float8", n)
      assert.equal(n, got)
      assert.equal("float", math.type(got))
    end
    assert.equal(-math.huge, 1 / db:value("select $1::float8", -0.0))
    local nan = there_and_back(db, 0 / 0, "float8 > 0") -- NaN is the largest
    assert.is_true(nan)
    nan = db:value("select $1::float8", 0 / 0)
    assert.is_true(nan ~= nan)
    assert.equal(0.5, there_and_back(db, 0.5, "float4"))
    assert.equal("float", math.type(db:value("select $1", 2.0)))
    assert.equal(7, there_and_back(db, 7.0, "int4"))
  end))

  it("has booleans", with(function(db)
    assert.is_true(there_and_back(db, true, "bool"))
    assert.is_false(there_and_back(db, false, "bool"))
    assert.is_true(db:value("select $1", true))
  end))

  it("has text of any length and alphabet", with(function(db)
    for _, text in ipairs {
      "", "x", "it's \"quoted\" \\ back", "line\nline\ttab", "žluťoučký 馬 🐎", "NULL", "{1,2}", ("é"):rep(100000),
    } do
      assert.is_true(there_and_back(db, text, "text") == text)
    end
    assert.equal("", db:value("select ''"))
    assert.equal("ab", there_and_back(db, "ab", "varchar"))
    assert.equal("ab ", there_and_back(db, "ab", "char(3)"))
    assert.equal("name", db:value("select 'name'::name"))
  end))

  it("has NULL as nil, and as null", with(function(db)
    assert.is_nil(db:value("select $1::int", nil))
    assert.is_nil(db:value("select $1::int", postgres.null))
    assert.is_true(db:value("select $1::int is null and $2::text is null", nil, postgres.null))
    assert.equal(json.null, postgres.null)
  end))

  it("has bytes as blobs, which come back as strings", with(function(db)
    local all = {}
    for i = 0, 255 do all[#all + 1] = string.char(i) end
    for _, bytes in ipairs { "", "\0", table.concat(all), ("\0\xff'\\"):rep(100000) } do
      assert.is_true(there_and_back(db, postgres.blob(bytes), "bytea") == bytes)
      assert.equal(#bytes, db:value("select length($1)", postgres.blob(bytes)))
    end
    db:exec("set bytea_output = 'escape'")
    assert.is_true(there_and_back(db, postgres.blob(table.concat(all)), "bytea") == table.concat(all))
  end))

  it("has json as Lua values, integers kept", with(function(db)
    local value = { list = { 1, 2.5, "three", true, postgres.null }, big = math.maxinteger, inner = { a = "ž\"\\" } }
    for _, kind in ipairs { "json", "jsonb" } do
      assert.same(value, there_and_back(db, postgres.json(value), kind))
      assert.equal("x", there_and_back(db, postgres.json("x"), kind))
      assert.equal(5, there_and_back(db, postgres.json(5), kind))
      assert.equal(postgres.null, there_and_back(db, postgres.json(postgres.null), kind))
      assert.same({}, there_and_back(db, postgres.json(json.array()), kind))
    end
    assert.equal("integer", math.type(db:value("select $1::jsonb -> 'n'", postgres.json { n = 3 })))
    assert.same({ a = 1 }, db:value("select $1::jsonb || '{}'", '{"a":1}'))
  end))

  it("has arrays of the basic types", with(function(db)
    local null = postgres.null
    for _, case in ipairs {
      { "int2[]", { 1, -2, 3 } }, { "int4[]", { 2147483647 } },
      { "int8[]", { math.mininteger, null, math.maxinteger } },
      { "float4[]", { 0.5, -1.25 } }, { "float8[]", { 0.1, math.huge, -math.huge, null } },
      { "bool[]", { true, false, null } },
      { "text[]", { "", "a,b", '"', "\\", "{}", "NULL", null, " blank ", "ž", "line\nline" } },
      { "varchar[]", { "x" } },
      { "numeric[]", { "1.50", null } }, { "uuid[]", { "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" } },
      { "date[]", { "2024-02-29" } }, { "timestamp[]", { "2024-02-29 12:00:00" } }, { "oid[]", { 4294967295 } },
      { "int4[]", { { 1, 2 }, { 3, null } } }, { "text[]", { { { "a" }, { "b" } }, { { "c,{" }, { "d\"" } } } },
      { "int4[]", {} },
    } do
      assert.same(case[2], there_and_back(db, postgres.array(case[2]), case[1]))
    end
    assert.same({ "\0\xff", "" }, there_and_back(db,
      postgres.array { postgres.blob("\0\xff"), postgres.blob("") }, "bytea[]"))
    assert.same({ { a = 1 }, postgres.null, "x" }, there_and_back(db,
      postgres.array { postgres.json { a = 1 }, postgres.null, postgres.json("x") }, "jsonb[]"))
    assert.same({ 1, null, null }, there_and_back(db, postgres.array { 1, nil, nil, n = 3 }, "int[]"))
    assert.same({ 7, 8 }, db:value("select '[0:1]={7,8}'::int[]"))
    assert.is_true(db:value("select 2 = any($1)", postgres.array { 1, 2 }))
    local nan = db:value("select '{NaN}'::float8[]")[1]
    assert.is_true(nan ~= nan)
    local random, long = helper.random(), {}
    for i = 1, 2000 do
      local bytes = {}
      for k = 1, random(0, 12) do bytes[k] = string.char(random(32, 126)) end
      long[i] = table.concat(bytes)
    end
    assert.same(long, there_and_back(db, postgres.array(long), "text[]"))
  end))

  it("has numeric as text, or as numbers where asked", with(function(db)
    assert.equal("123456789012345678901234567890.50", db:value("select 123456789012345678901234567890.50"))
    assert.equal("1.50", there_and_back(db, "1.50", "numeric"))
    assert.equal("0.1", there_and_back(db, 0.1, "numeric"))
    assert.equal("NaN", db:value("select 'NaN'::numeric"))
    local other <close> = postgres.connect { url = get():url(), numeric = "number" }
    assert.same({ 1.5, 3, 0, 9007199254740991 }, { other:value("select 1.50"), other:value("select 3.00"),
      other:value("select 0.0"), other:value("select 9007199254740991.0") })
    assert.equal("integer", math.type(other:value("select 3.00")))
    assert.equal("float", math.type(other:value("select 1e25::numeric")))
    assert.equal(math.huge, other:value("select 'Infinity'::numeric"))
    assert.same({ 1.5, 2 }, other:value("select '{1.5,2}'::numeric[]"))
  end))

  it("has all other types as the server writes them", with(function(db)
    db:exec("set timezone = 'UTC'; create type pg_temp.mood as enum ('sad', 'ok')")
    for sql, text in pairs {
      ["'2024-02-29'::date"] = "2024-02-29", ["timestamptz '2024-02-29 12:00+02'"] = "2024-02-29 10:00:00+00",
      ["'1 day 02:00'::interval"] = "1 day 02:00:00", ["'ok'::pg_temp.mood"] = "ok",
      ["'{ok,sad}'::pg_temp.mood[]"] = "{ok,sad}", ["'10.0.0.1'::inet"] = "10.0.0.1", ["point(1, 2)"] = "(1,2)",
      ["row(1, 'a b')"] = '(1,"a b")', ["'[1,5)'::int4range"] = "[1,5)",
      ["1::money"] = "$1.00", ["'<a/>'::text"] = "<a/>", ["b'101'"] = "101",
    } do
      assert.equal(text, db:value("select " .. sql))
    end
    assert.equal("2024-03-01", there_and_back(db, "2024-03-01", "date"))
    assert.is_true(db:value("select $1 > now()", "2999-01-01"))
  end))

  it("quotes identifiers", with(function(db)
    for _, name in ipairs { "plain", "With Blank", 'quo"ted', "ž" } do
      assert.equal(name, db:query("select 1 as " .. postgres.identifier(name)).columns[1])
    end
    helper.error("misuse", postgres.identifier, "a\0b")
  end))

  it("decodes in pieces what is decoded whole", with(function(db)
    local sql = "select g as i, g / 3.0::float8 as f, md5(g::text) as t, g % 2 = 0 as b, "
      .. "case when g % 5 = 0 then null else g end as n, array[g, null] as a from generate_series(1, 500) g"
    local whole, i = db:query(sql), 0
    for row in db:rows(sql) do
      i = i + 1
      assert.same(whole[i], row)
    end
    assert.equal(500, i)
    assert.equal(weir.json.null, whole[1].a[2])
  end))
end)
