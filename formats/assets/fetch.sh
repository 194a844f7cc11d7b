#!/usr/bin/env bash
# Makes the scripts of others that an HTML report carries, from the packages of the npm registry; with --check, fails
# unless the files here are what the packages hold.
set -euo pipefail
cd "$(dirname "$0")"

# package, version, sha256 of its archive, the script in it, its licence in it, the name here
packages=(
    "chart.js 4.6.1 9345dacdf4bb4c5d40321f4b9aafab6fe676d37a534fc0bc2d17c4c4e29c4f00 dist/chart.umd.min.js LICENSE.md chart"
    "@tanstack/table-core 8.21.3 1e5b2f4f04c8c31100ebd0b966fae5eadbb1d11bd45517edb9fc15fbd6a8f2a0 build/umd/index.production.js LICENSE table-core"
)

into=.
if [[ ${1-} == --check ]]; then
    into=$(mktemp -d)
elif (($#)); then
    echo "usage: fetch.sh [--check]" >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"; [[ $into == . ]] || rm -rf "$into"' EXIT

for package in "${packages[@]}"; do
    read -r name version sum script licence as <<<"$package"
    archive=$work/package.tgz
    curl -fsSL --retry 3 -o "$archive" "https://registry.npmjs.org/$name/-/${name##*/}-$version.tgz"
    sha256sum --quiet --check - <<<"$sum  $archive"
    tar -xzf "$archive" -C "$work"
    # The map of the source is not carried, so nothing may ask for it.
    sed '/^\/\/# sourceMappingURL=/d' "$work/package/$script" >"$into/$as.min.js"
    cp "$work/package/$licence" "$into/$as.LICENSE"
    rm -rf "$work/package"
done

(cd "$into" && sha256sum -- *.min.js *.LICENSE) >"$work/SHA256SUMS"
if [[ $into == . ]]; then
    cp "$work/SHA256SUMS" SHA256SUMS
else
    diff -u SHA256SUMS "$work/SHA256SUMS"
    sha256sum --quiet --check SHA256SUMS
fi
