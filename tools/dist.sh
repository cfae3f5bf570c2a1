#!/bin/sh
# dist.sh - makes what a release is: tools/dist.sh [FOLDER [URL]]
#
# Into FOLDER (build/dist): the source as weir-X.Y.Z.tar.gz, a rockspec for each rock that fetches it from
# URL/weir-X.Y.Z.tar.gz, and, where luarocks is installed, the source rocks NAME-X.Y.Z-1.src.rock: tarball and
# rockspec in one file, which `luarocks install` takes without fetching anything. Without a URL it is FOLDER itself.
# The tarball has what git knows of or would; equal sources give equal bytes.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-build/dist}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
url=${2:-file://$folder}
version=$(sed -n 's/^#define WEIR_VERSION "\(.*\)"$/\1/p' core/include/weir/version.h)
name=weir-$version

# Of the place itself: a folder above may have a git of its own, which does not know these files.
sources() {
    if [ -e .git ]; then
        git ls-files --cached --others --exclude-standard
    else
        find . -type d '(' -name 'build*' -o -name node_modules ')' -prune -o \
            -type f ! -name '*.o' ! -name '*.so' -print | sed 's|^\./||'
    fi
}

sources | LC_ALL=C sort | while IFS= read -r file; do
    [ ! -e "$file" ] || printf '%s\n' "$file"
done | tar --create --files-from=- --transform="s|^|$name/|" --owner=0 --group=0 --numeric-owner --mode=u+rw,go=u-w \
    --mtime=@"${SOURCE_DATE_EPOCH:-0}" --file="$folder/$name.tar"
gzip --no-name --force --best "$folder/$name.tar"

lua5.4 tools/rockspec.lua --release "$folder" "$url/$name.tar.gz"

# What is packed is the tarball that was just made, wherever it will be fetched from later.
if command -v luarocks >/dev/null; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    for rockspec in "$folder"/*-"$version"-1.rockspec; do
        rock=$(basename "$rockspec" .rockspec).src.rock
        cp "$rockspec" "$folder/$name.tar.gz" "$work"
        rm -f "$folder/$rock"
        (cd "$work" && zip -q -X "$folder/$rock" "$(basename "$rockspec")" "$name.tar.gz")
        rm "$work"/*
    done
fi
ls "$folder"
