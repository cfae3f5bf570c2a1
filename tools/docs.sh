#!/bin/sh
# docs.sh - the documentation as a site of static pages: tools/docs.sh FOLDER
#
# MkDocs with the Material theme: search, navigation, a layout for phones, light and dark, and both are Debian packages, so
# nothing comes from elsewhere, neither when the site is built nor when it is read. tools/docs/pages.lua gathers the
# pages, tools/docs/check.lua holds what came out against what it must be. FOLDER/index.html opens as a file, too.
set -eu
out=${1:?usage: tools/docs.sh FOLDER}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
lua5.4 tools/docs/pages.lua "$stage"
mkdir -p "$out"
out=$(cd "$out" && pwd)
WEIR_DOCS_THEME=$PWD/tools/docs/theme mkdocs build --quiet --strict --clean \
    --config-file "$stage/mkdocs.yml" --site-dir "$out"
# The index once more, as a script: theme/assets/offline.js says why.
{
    printf 'var __search = { index: Promise.resolve('
    cat "$out/search/search_index.json"
    printf ') };\n'
} >"$out/search/search_index.js"
rm -f "$out/sitemap.xml" "$out/sitemap.xml.gz"
lua5.4 tools/docs/check.lua "$out"
echo "$out/index.html"
