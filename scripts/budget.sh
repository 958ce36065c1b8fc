#!/usr/bin/env bash
# Holds a binary against what it may weigh and may touch at its start
# (scripts/budget.tsv), and fails where it is more than 5 % over:
#   scripts/budget.sh NAME BINARY
# Size: the file without its symbols. Start: the pages of memory that
# `kinewatch check` of a configuration with the built-in model touches. Pages and not
# seconds, as a busy machine does not change them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

(($# == 2)) || { echo "usage: scripts/budget.sh NAME BINARY" >&2; exit 2; }
readonly name=$1 binary=$2
readonly SLACK=5 # %
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

architecture=$(uname -m)
read -r bytes_allowed pages_allowed < <(awk -F '\t' -v name="$name" -v architecture="$architecture" \
    '$1 == name && $2 == architecture { print $3, $4 }' scripts/budget.tsv) || {
    echo "budget: none is recorded for \"$name\" on $architecture" >&2
    exit 0
}

strip -o "$work/stripped" "$binary"
bytes=$(stat -c %s "$work/stripped")

: >"$work/empty.mp4"
cat >"$work/start.toml" <<TOML
[[stream]]
name = "start"
[stream.source]
path = "$work/empty.mp4"
[[sink]]
kind = "stdout"
TOML
# Minor page faults of this shell's children that have ended (proc(5)).
# Into $faults and without a subshell, which would be counted too.
count_faults() {
    local line fields
    read -r line </proc/$$/stat
    read -r -a fields <<<"${line##*) }"
    faults=${fields[8]}
}
pages=
# The least of a few: the first also fills the page cache.
for _ in 1 2 3 4 5; do
    count_faults
    before=$faults
    "$work/stripped" -qq check "$work/start.toml" >"$work/said" || { cat "$work/said" >&2; exit 1; }
    count_faults
    touched=$((faults - before))
    if [[ -z $pages ]] || ((touched < pages)); then pages=$touched; fi
done

over=0
hold() { # WHAT IS ALLOWED
    local verdict=holds
    if (($2 * 100 > $3 * (100 + SLACK))); then verdict="is more than $SLACK % over" over=1; fi
    echo "budget: $name: $1 $2, budget $3: $verdict"
}
hold bytes "$bytes" "$bytes_allowed"
hold pages "$pages" "$pages_allowed"
exit "$over"
