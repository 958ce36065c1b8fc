#!/usr/bin/env bash
# What `cargo publish` would upload: that it is small, holds what it must and nothing
# that it should not, and that `cargo install` makes a program of it that runs.
#
#   scripts/crate-check.sh TARGET
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${1:?where target/ is}
cargo=${CARGO:-cargo}
# crates.io takes no more.
readonly LARGEST=$((10 * 1024 * 1024))

say() { printf 'crate-check: %s\n' "$*" >&2; }
fail() { say "FAILED: $*"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/kinewatch-crate.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$cargo" package --locked --allow-dirty --no-verify --target-dir "$target" >&2
version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)
crate=$target/package/kinewatch-$version.crate
size=$(stat -c %s "$crate")
((size < LARGEST)) || fail "$crate has $size bytes; crates.io takes $LARGEST"

tar -xzf "$crate" -C "$work"
tree=$work/kinewatch-$version
for file in Cargo.lock build.rs README.md LICENSE-MIT LICENSE-APACHE src/main.rs models/camera-events/model.onnx; do
    [[ -f $tree/$file ]] || fail "$file is not in the crate"
done
for folder in models/train models/export scripts packages target .ci .github; do
    [[ ! -e $tree/$folder ]] || fail "$folder is in the crate"
done
say "$(basename "$crate"): $size bytes, $(find "$tree" -type f | wc -l) files"

# Built where the tree is not, so that it can take nothing from there.
"$cargo" install --locked --path "$tree" --root "$work/root" --target-dir "$target" >&2
export PATH=$work/root/bin:$PATH
cd "$work"
[[ $(kinewatch --version) == "kinewatch $version" ]] || fail "kinewatch --version says $(kinewatch --version)"
kinewatch check "$tree/configs/usb-camera.toml"
say "ok"
