#!/usr/bin/env bash
# Builds the package twice, from nothing: in two folders whose paths differ in length,
# with two homes of cargo. Every file of the second must be the first one's, byte for
# byte. Everything is kept under TARGET/reproducible.
#
#   scripts/reproducible.sh TARGET
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${1:?where target/ is}
work=$target/reproducible
say() { printf 'reproducible: %s\n' "$*" >&2; }

home=${CARGO_HOME:-$HOME/.cargo}
# The toolchain stays where it is when cargo's home moves.
export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
"${CARGO:-cargo}" fetch --locked >&2
# From here on there is no network: whatever is missing is installed before.
scripts/sbom.sh "$(rustc -vV | sed -n 's/^host: //p')" >/dev/null

rm -rf "$work"
first=$work/a
second=$work/another/folder
# Both at once: somebody may go on working in this tree.
for folder in "$first" "$second"; do
    mkdir -p "$folder/tree" "$folder/home"
    git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
        [[ ! -e $file ]] || printf '%s\0' "$file"
    done | xargs -0 cp --parents -t "$folder/tree"
    cp -r "$home/registry" "$folder/home/"
done
for folder in "$first" "$second"; do
    say "building in $folder/tree"
    (cd "$folder/tree" &&
        CARGO_HOME=$folder/home CARGO_TARGET_DIR=$folder/target CARGO_NET_OFFLINE=true PATH=$home/bin:$PATH \
            scripts/package.sh "$folder/target" >&2)
done

(cd "$first/target/debian" && cat SHA256SUMS)
if ! cmp "$first/target/debian/SHA256SUMS" "$second/target/debian/SHA256SUMS"; then
    say "FAILED: they differ; \`diffoscope $first/target/debian $second/target/debian\` says where"
    exit 1
fi
say "ok: both builds gave these bytes"
