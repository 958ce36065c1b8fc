#!/usr/bin/env bash
# Plays a labelled synthetic stream through a real RTSP server on loopback into
# the daemon, and ends after about a minute with the accuracy over that stream.
# Standard output is the daemon's own: a live view on a terminal, JSON lines
# when piped. Exits 1 where clip top-1 is below the figure we stand for.
#
# usage: scripts/demo.sh [FOLDER WITH THE BUILT PROGRAMS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BIN=${1:-target/release}
readonly SEED=7
readonly LEAST=0.90
# The stream outlasts the run: to a daemon a live source that ends is a fault.
readonly STREAM_S=75
readonly RUN_S=62

say() { printf 'demo: %s\n' "$*" >&2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/kinewatch-demo.XXXXXX")
server=
clean_up() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "writing a labelled stream (seed $SEED)"
"$BIN/kinewatch" synth --seed "$SEED" --seconds "$STREAM_S" --size 640x360 --fps 25 -o "$work/demo.mkv" >&2

exec 3< <(exec "$BIN/examples/rtsp_server" "$work/demo.mkv" --port 0)
server=$!
read -r -t 30 -u 3 uri || { say "the RTSP server did not start"; exit 1; }

say "watching $uri for $RUN_S s"
KINEWATCH_DEMO_URI=$uri KINEWATCH_DEMO_LABELS=$work/demo.csv \
    "$BIN/kinewatch" run --for "$RUN_S s" --summary "$work/summary.json" configs/demo.toml

figure() { # CHOICE: the top-1 accuracy over that choice of predictions
    tr -d ' \n' <"$work/summary.json" | grep -o "\"$1\":{\"predictions\":[0-9]*,\"top1\":[0-9][0-9.eE+-]*" |
        head -n 1 | sed 's/.*://'
}
clip_top1=$(figure clip) || { say "the summary holds no top-1: nothing was scored"; exit 1; }
every_top1=$(figure every || echo unknown)
say "clip top-1 $clip_top1 (every prediction: $every_top1); at least $LEAST is asked for"
awk -v have="$clip_top1" -v least="$LEAST" 'BEGIN { exit !(have >= least) }' ||
    { say "FAILED: clip top-1 $clip_top1 is below $LEAST"; exit 1; }
