#!/usr/bin/env bash
# Holds a binary against what it may weigh and may touch as it starts
# (scripts/budget.tsv), and fails where it is more than 5 % over:
#   scripts/budget.sh NAME BINARY
# Size: the file without its symbols. Start: the pages of memory that are touched from
# the start to the predictions of three seconds of a test picture, with the built-in
# model. Pages and not seconds, as a busy machine does not change them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

(($# == 2)) || { echo "usage: scripts/budget.sh NAME BINARY" >&2; exit 2; }
readonly name=$1 binary=$2
readonly SLACK=5 # %
readonly RUNS=5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

read -r bytes_allowed pages_allowed < <(awk -F '\t' -v name="$name" -v machine="$(uname -m)" \
    '$1 == name && $2 == machine { print $3, $4 }' scripts/budget.tsv) || {
    echo "budget: none is recorded for \"$name\" on $(uname -m)" >&2
    # For another processor there may be none; for no processor at all is a mistake.
    cut -f 1 scripts/budget.tsv | grep -qxF -- "$name"
    exit
}

strip -o "$work/stripped" "$binary"
bytes=$(stat -c %s "$work/stripped")

cat >"$work/start.toml" <<'TOML'
[[stream]]
name = "start"
source = { pipeline = "videotestsrc num-buffers=75 ! video/x-raw,format=I420,width=320,height=240,framerate=25/1" }
[[sink]]
kind = "stdout"
TOML
# Minor page faults of this shell's children that have ended (proc(5)), into $faults and
# without a subshell, which would be counted too.
count_faults() {
    local line fields
    read -r line </proc/$$/stat
    read -r -a fields <<<"${line##*) }"
    faults=${fields[8]}
}
counts=()
for ((run = 0; run < RUNS; run++)); do
    count_faults
    before=$faults
    "$work/stripped" -qq run --fast "$work/start.toml" >"$work/predictions" || {
        echo "budget: $binary does not run" >&2
        exit 1
    }
    count_faults
    counts+=($((faults - before)))
done
[[ -s $work/predictions ]] || { echo "budget: $binary gave no prediction" >&2; exit 1; }
pages=$(printf '%s\n' "${counts[@]}" | sort -n | sed -n "$((RUNS / 2 + 1))p")

over=0
hold() { # WHAT IS BUDGET
    local verdict=holds
    if (($2 * 100 > $3 * (100 + SLACK))); then
        verdict="more than $SLACK % over"
        over=1
    fi
    echo "budget: $name: $1 $2 of $3: $verdict"
}
hold bytes "$bytes" "$bytes_allowed"
hold pages "$pages" "$pages_allowed"
exit "$over"
