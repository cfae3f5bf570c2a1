#!/bin/sh
# docs.sh - README and the pages of docs/ as HTML: tools/docs.sh FOLDER
#
# Links from page to page are carried over (x.md becomes x.html), headings get the names that links use, and
# whatever else a page links to (a header, a script) is copied beside it. Needs cmark-gfm.
set -eu
out=${1:?usage: tools/docs.sh FOLDER}

find . -type d \( -name 'build*' -o -name node_modules -o -name .git \) -prune -o -name '*.md' -print |
    while read -r page; do
        html="$out/${page%.md}.html"
        folder=$(dirname "$page")
        mkdir -p "$(dirname "$html")"
        title=$(sed -n 's/^# //p' "$page" | head -n 1)
        {
            printf '<!doctype html>\n<meta charset="utf-8">\n<title>%s</title>\n' "$title"
            printf '<style>body{max-width:48em;margin:2em auto;padding:0 1em;font-family:sans-serif;line-height:1.5}'
            printf 'pre{background:#f4f4f4;padding:1em;overflow:auto}td,th{border:1px solid #ccc;padding:.2em .6em}'
            printf 'table{border-collapse:collapse}</style>\n'
            cmark-gfm --extension table "$page" | sed 's/\(href="[^":]*\)\.md\(["#]\)/\1.html\2/g' | awk '
                /^<h[1-6]>/ {
                    id = tolower($0)
                    gsub(/<[^>]*>|&[a-z]*;/, "", id)
                    gsub(/[^a-z0-9 _-]/, "", id)
                    gsub(/ /, "-", id)
                    sub(/>/, " id=\"" id "\">")
                }
                { print }'
        } >"$html"
        sed -n 's/href="/\n&/gp' "$html" | sed -n 's/^href="\([^":#]*\)[#"].*/\1/p' | while read -r target; do
            if [ -f "$folder/$target" ]; then
                mkdir -p "$out/$folder/$(dirname "$target")"
                cp "$folder/$target" "$out/$folder/$target"
            fi
        done
    done
echo "$out/README.html"
