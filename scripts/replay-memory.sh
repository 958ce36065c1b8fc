#!/usr/bin/env bash
# Shows that a replay's memory does not grow with the number of videos: the peak
# resident size over 1000 generated videos of two seconds against that over the
# first 50 of them. Exits 1 where it is more than a tenth larger.
#
# usage: scripts/replay-memory.sh [FOLDER WITH THE BUILT PROGRAM] [MANY] [FEW]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BIN=${1:-target/release}/kinewatch
readonly MANY=${2:-1000}
readonly FEW=${3:-50}

say() { printf 'replay-memory: %s\n' "$*" >&2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/kinewatch-memory.XXXXXX")
trap 'rm -rf "$work"' EXIT

say "writing $MANY videos of 2 s"
"$BIN" synth --count "$MANY" --seconds 2 --size 160x120 --fps 10 -o "$work/many" >/dev/null
mkdir "$work/few"
for video in $(cd "$work/many" && ls ./*.mkv | head -n "$FEW"); do
    ln "$work/many/$video" "$work/few/$video"
done
cp "$work/many/labels.csv" "$work/few/"

peak() { # FOLDER: the peak resident size of a replay over it, in kB
    "$BIN" -q replay --jobs 2 --labels "$1/labels.csv" -o "$1.out" "$1" >/dev/null 2>"$1.log" &
    local process=$! now most=0
    # VmHWM only rises: the last look before the end is the peak.
    while now=$(awk '/^VmHWM/ { print $2 }' "/proc/$process/status" 2>/dev/null) && [[ -n $now ]]; do
        most=$now
        sleep 0.05
    done
    wait "$process" || { tail -n 3 "$1.log" >&2; exit 1; }
    echo "$most"
}

few=$(peak "$work/few")
say "$FEW videos: peak $few kB"
many=$(peak "$work/many")
say "$MANY videos: peak $many kB, $((100 * many / few)) % of that"
((many * 10 <= few * 11)) || { say "FAILED: more than 110 %"; exit 1; }
