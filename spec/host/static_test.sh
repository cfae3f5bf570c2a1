#!/bin/sh
# host/static_test.sh - the release binary: what it needs, and that it works where there is nothing else.
#
# A root with the C library, the loader and the binary in it, by chroot: that part is left out for who is not root.
# Where an archive was missing a connector is a module beside the binary; then it is named and not tried.
set -eu

case $WEIR in /*) ;; *) WEIR=$PWD/$WEIR ;; esac
dir=$(mktemp -d)
server=''
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"

fail() {
    echo "not ok: $*" >&2
    for file in out err; do [ ! -f "$dir/$file" ] || sed "s/^/$file: /" "$dir/$file" >&2; done
    exit 1
}

# --- what it needs -------------------------------------------------------------------------------
readelf -d "$WEIR" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort >needed
others=$(grep -v -e '^libc\.so' -e '^libm\.so' -e '^ld-linux' needed || true)
[ -z "$others" ] || fail "it needs:" $others
readelf -lW "$WEIR" | grep -q 'GNU_RELRO' || fail 'relocations can be written to'
readelf -dW "$WEIR" | grep -q 'Flags:.*NOW.*PIE' || fail 'not bound at once, or not position-independent'
seen=$(nm -D --defined-only "$WEIR" | grep -v -e ' lua_' -e ' luaL_' -e ' luaopen_' -e '@' || true)
[ -z "$seen" ] || fail "it shows others:" $seen

# --- a server with TLS, on this side ------------------------------------------------------------------
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
    -keyout key.pem -out cert.pem 2>/dev/null || fail 'no certificate'
openssl s_server -accept 127.0.0.1:0 -www -cert cert.pem -key key.pem >served 2>&1 </dev/null &
server=$!
tries=200
until port=$(sed -n 's/^ACCEPT 127\.0\.0\.1:\([0-9][0-9]*\)$/\1/p' served) && [ -n "$port" ]; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || fail "no server: $(cat served)"
    sleep 0.05
done

# --- a root with nothing else ----------------------------------------------------------------------
mkdir -p root/tmp
cp "$WEIR" root/weir
cp cert.pem root/
for file in $(ldd "$WEIR" | sed -n -e 's/.*=> \(\/[^ ]*\).*/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p'); do
    mkdir -p "root/$(dirname "$file")"
    cp -L "$file" "root/$file"
done
if [ "$(id -u)" -eq 0 ] && chroot root /weir -v >/dev/null 2>&1; then
    there=''
    bare() { chroot root "$@"; }
else
    echo 'not root: in the usual root, not an empty one'
    there=$dir/root
    bare() {
        program=$there$1
        shift
        "$program" "$@"
    }
fi

# run CODE COMMAND...
run() {
    expected=$1
    shift
    code=0
    bare "$@" >out 2>err </dev/null || code=$?
    [ "$code" -eq "$expected" ] || fail "exit code $code instead of $expected: $*"
}

has() { grep -q -e "$2" "$1" || fail "no line matches '$2' in $1"; }

run 0 /weir -e 'print(1 + 1)'
has out '^2$'
printf '1 + 1\n' | bare /weir -i >out 2>err || fail 'the prompt'
has out '^2$'

cat >root/app.lua <<'LUA'
-- One line for each connector that is inside.
local weir = require "weir"

local function has(...)
  for _, module in ipairs { ... } do
    if not package.preload[module] then
      print("beside the binary: " .. module)
      return false
    end
  end
  return true
end

local port <const>, root <const> = ...
if has("weir.http.curl", "weir.http.microhttpd") then
  local http <const> = require "weir.http"
  local server <close> = http.serve({ host = "127.0.0.1", port = 0 }, function(request)
    return { status = 200, body = "you asked for " .. request.path }
  end)
  print(http.get("http://127.0.0.1:" .. server.port .. "/this").body)
  local client <close> = http.client { ca = root .. "/cert.pem" }
  print("TLS", client:get("https://127.0.0.1:" .. port .. "/").status)
end
if has "weir.sqlite.sqlite3" then
  local db <close> = require("weir.sqlite").open(root .. "/tmp/data.db")
  db:query "create table t (n integer)"
  db:query("insert into t values (?), (?)", 40, 2)
  print("SQLite", db:query("select sum(n) as n from t")[1].n)
end
if has "weir.postgres.libpq" then
  local fine <const>, problem <const> = pcall(require("weir.postgres").connect,
    "host=127.0.0.1 port=1 user=nobody dbname=nothing connect_timeout=5")
  print("PostgreSQL", fine, weir.kind(problem))
end
if has "weir.edit.line" then print("libedit", type(require "weir.edit.line")) end
print("JSON", require("weir.json").encode { weir.now() > 0 })
LUA
run 0 /weir "$there/app.lua" "$port" "$there"
results() {
    grep -q '^beside the binary: weir.http' out || {
        has out '^you asked for /this$'
        has out '^TLS	200$'
    }
    grep -q '^beside the binary: weir.sqlite' out || has out '^SQLite	42$'
    grep -q '^beside the binary: weir.postgres' out || has out '^PostgreSQL	false	network$'
    grep -q '^beside the binary: weir.edit' out || has out '^libedit	table$'
    has out '^JSON	\[true\]$'
}
results
grep '^beside' out || true

# --- an executable that is made there runs there --------------------------------------------------------
rm -f root/tmp/data.db
run 0 /weir build "$there/app.lua" -o "$there/app"
grep -q '^beside' out || ! grep -q 'not inside' err || fail 'connectors that are inside are said not to be'
rm root/weir root/app.lua
run 0 /app "$port" "$there"
results
kill "$server"
server=''

echo 'ok: the release binary stands alone'
