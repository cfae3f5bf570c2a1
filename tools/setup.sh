#!/bin/sh
# setup.sh - see that what weir needs is there, and install what is missing: tools/setup.sh run|test|static|bench|docs
#
# The one list of packages. A line is: groups, Debian package, probe, what it is for. It is there if dpkg
# says so or the probe finds it by another way (cmd: a command, pc: a pkg-config module, lua: a module of
# lua5.4, clang: a run-time library of clang, a: an archive, of the linker or PostgreSQL, theme: one of MkDocs).
# `test`, `static` and `bench` need what `run` needs too. With nothing missing no network, no root and no package manager is touched.
# NO_INSTALL=1 only says what is missing. Systems without apt get the list; install by hand, run again.
set -eu

packages='
run    gcc                   cmd:cc              C compiler
run    libc6-dev             cmd:cc              C headers
run    make                  cmd:make            make
run    cmake                 cmd:cmake           CMake 3.21 or later
run    pkg-config            cmd:pkg-config      pkg-config
run    liblua5.4-dev         pc:lua5.4,lua-5.4,lua54  Lua 5.4 (5.4.4 or later): headers, library
run    libuv1-dev            pc:libuv            libuv 1.44 or later
run    lua-cjson-dev         pc:lua5.4-cjson     lua-cjson for Lua 5.4
run    libcurl4-openssl-dev  pc:libcurl          libcurl 7.84 or later
run    libmicrohttpd-dev     pc:libmicrohttpd    libmicrohttpd 0.9.70 or later
run    libsqlite3-dev        pc:sqlite3          SQLite 3.38 or later
run    libpq-dev             pc:libpq            libpq 14 or later
run    libedit-dev           pc:libedit          libedit, for the prompt of weir -i
run    lua-argparse          lua:argparse        argparse, for the command lines of scripts/
test,bench,docs  lua5.4      cmd:lua5.4          the Lua interpreter
test   lua-cjson             lua:cjson           lua-cjson for the interpreter
test   lua-busted            lua:busted.runner   busted
test   lua-luv               lua:luv             luv
test   lua-check             cmd:luacheck        luacheck
test   libcmocka-dev         pc:cmocka           cmocka
test   clang                 cmd:clang           the other compiler
test   libclang-rt-dev       clang:fuzzer        what clang links for fuzzers
test   clang-format          cmd:clang-format    clang-format
test   binutils              cmd:nm              nm, objdump
test   luarocks              cmd:luarocks        LuaRocks
test   zip                   cmd:zip             zip, for source rocks
test   unzip                 cmd:unzip           unzip, for rocks
bench  nodejs                cmd:node            Node.js, a peer
bench  npm                   cmd:npm             npm, for the peers in bench/peers
bench  golang-go             cmd:go              Go, a peer
test,bench  nginx-light      cmd:nginx           a server to fetch from; its service stays off
test,bench  postgresql       cmd:initdb          PostgreSQL, to talk to; its service stays off
test   openssl               cmd:openssl         certificates for them
docs,test  mkdocs            cmd:mkdocs          MkDocs: Markdown to a site
docs,test  mkdocs-material   theme:material      its theme, with the search
test,static  libssl-dev       pc:openssl        what the static binary contains: OpenSSL
test,static  libnghttp2-dev   pc:libnghttp2     likewise: HTTP/2
test,static  libidn2-dev      pc:libidn2        likewise: host names beyond ASCII
test,static  libunistring-dev  a:unistring      likewise: what libidn2 stands on
test,static  libzstd-dev      pc:libzstd        likewise: bodies in zstd
test,static  libbrotli-dev    pc:libbrotlidec   likewise: bodies in brotli
test,static  zlib1g-dev       pc:zlib           likewise: bodies in gzip
test,static  postgresql-server-dev-all  a:pgcommon_shlib  likewise: what libpq stands on
'

group=${1:-}
case $group in
run) groups='run' ;;
test) groups='run test' ;;
static) groups='run static' ;;
bench) groups='run bench' ;;
docs) groups='docs' ;;
*)
    echo "usage: tools/setup.sh run|test|static|bench|docs" >&2
    exit 2
    ;;
esac

installed() { # package
    command -v dpkg-query >/dev/null &&
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Debian has the server's programs in a folder of its version.
postgres=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tr '\n' ':')

found() { # probe
    case $1 in
    cmd:*) PATH=$PATH:/usr/sbin:$postgres command -v "${1#cmd:}" >/dev/null ;;
    pc:*)
        for module in $(echo "${1#pc:}" | tr ',' ' '); do
            pkg-config --exists "$module" 2>/dev/null && return
        done
        return 1
        ;;
    clang:*) ls "$(clang -print-runtime-dir 2>/dev/null)/libclang_rt.${1#clang:}"* >/dev/null 2>&1 ;;
    theme:*) mkdocs build --help 2>/dev/null | grep -q "[[|]${1#theme:}[]|]" ;;
    a:*) [ -n "$(find /usr/lib/*-linux-gnu /usr/lib/postgresql/*/lib -maxdepth 1 -name "lib${1#a:}.a" 2>/dev/null)" ] ;;
    lua:*) lua5.4 -e "require '${1#lua:}'" >/dev/null 2>&1 ;;
    esac
}

missing=''
list=''
while read -r of package probe what; do
    wanted=''
    for group_of in $groups; do
        case ",$of," in *",$group_of,"*) wanted=1 ;; esac
    done
    if [ -n "$wanted" ] && ! installed "$package" && ! found "$probe"; then
        missing="$missing $package"
        list="$list
    $package: $what"
    fi
done <<END
$packages
END
[ -z "$missing" ] && exit 0

echo "weir: missing for \`make $group\`:$list" >&2
if [ -n "${NO_INSTALL:-}" ]; then
    echo "weir: NO_INSTALL is set; on Debian and Ubuntu: apt-get install$missing" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "weir: this system has no apt-get (the names above are Debian's); install these, then run make again" >&2
    exit 1
fi

as_root=''
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "weir: neither root nor sudo; as root: apt-get install$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
apt() {
    # shellcheck disable=SC2086 # empty for root
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@"
}
# The tests start a server of their own: one that is installed for them must not run as a service.
policy=/usr/sbin/policy-rc.d
case " $missing " in
*' nginx-light '* | *' postgresql '*)
    if [ ! -e $policy ]; then
        trap '$as_root rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
        $as_root chmod 755 $policy
    fi
    ;;
esac
echo "weir: installing$missing" >&2
apt update -q
# shellcheck disable=SC2086 # a list of words
apt install -q -y --no-install-recommends $missing
case " $missing " in
*' nginx-light '*) [ ! -d /run/systemd/system ] || $as_root systemctl -q disable nginx ;;
esac
case " $missing " in
*' postgresql '*) [ ! -d /run/systemd/system ] || $as_root systemctl -q disable postgresql ;;
esac
# What was left out for want of a library is looked for again.
rm -f build/configured build-*/configured
