#!/bin/sh
# docs.sh - the site of the documentation is built, whole, and its search knows the library (tools/docs/check.lua).
set -eu
if ! NO_INSTALL=1 sh tools/setup.sh docs >/dev/null 2>&1; then
    echo "skipped: MkDocs or its theme is missing (tools/setup.sh docs)"
    exit 77
fi
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
sh tools/docs.sh "$top/site"

# The check does find what it is there for.
echo '<title>weir</title><h1>a</h1><a href="nowhere.html">b</a><script src="https://example.org/x.js">' >"$top/site/extra.html"
if lua5.4 tools/docs/check.lua "$top/site" 2>"$top/said"; then
    echo "a page with a broken link and a foreign script passed"
    exit 1
fi
grep -q 'extra.html: links to nowhere.html' "$top/said"
grep -q 'extra.html: loads https://example.org/x.js' "$top/said"
