#!/usr/bin/env bash
# The licences and notices of every crate in the binary, as their licences ask of
# whoever passes the binary on. To standard output; a text that several crates share
# stands there once.
#
#   scripts/notices.sh TARGET_TRIPLE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly TRIPLE=${1:?the target, such as x86_64-unknown-linux-gnu}
export LC_ALL=C

cat <<'END'
The kinewatch binary holds the crates below. Each line: crate, version, licence,
and the numbers of the texts, further down, that it came with. A crate without a
number came without a text; the licence's own is meant.

END

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# name, version, licence and folder of each crate, by way of its manifest.
"${CARGO:-cargo}" metadata --locked --format-version 1 --filter-platform "$TRIPLE" >"$work/metadata.json"
"${CARGO:-cargo}" tree --locked --edges normal --target "$TRIPLE" --prefix none --format '{p}|{l}' |
    sed -e 's/ (\*)$//' -e 's/ (proc-macro)//' | sort -u >"$work/crates"

declare -A numbers=()
count=0
while IFS='|' read -r crate licence; do
    read -r name version _ <<<"$crate"
    version=${version#v}
    [[ $name != kinewatch ]] || continue
    manifest=$(grep -o "\"[^\"]*/$name-$version/Cargo.toml\"" "$work/metadata.json" | head -n 1 | tr -d '"') || {
        echo "notices: where is $name $version?" >&2
        exit 1
    }
    own=()
    while IFS= read -r text; do
        sum=$(sha256sum <"$text")
        if [[ -z ${numbers[$sum]:-} ]]; then
            count=$((count + 1))
            numbers[$sum]=$count
            { printf '\n======== %d ========\n\n' "$count"; tr -d '\r' <"$text"; } >>"$work/texts"
        fi
        own+=("${numbers[$sum]}")
    done < <(find "${manifest%/*}" -maxdepth 1 -type f \
        \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'copyright*' -o -iname 'notice*' -o -iname 'unlicense*' \) | sort)
    printf '%s %s, %s: %s\n' "$name" "$version" "${licence:-no licence named}" "${own[*]:-}"
done <"$work/crates"
cat "$work/texts"
