#!/usr/bin/env bash
# Does the leanest build do what it is for: a recording in, predictions out as JSON
# lines? And does it refuse, with the reason, what it was built without?
#   scripts/lean.sh BINARY
set -euo pipefail

(($# == 1)) || { echo "usage: scripts/lean.sh BINARY" >&2; exit 2; }
readonly binary=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "lean: $*" >&2
    exit 1
}

gst-launch-1.0 -q videotestsrc pattern=ball num-buffers=150 ! video/x-raw,width=320,height=240,framerate=25/1 \
    ! x264enc ! matroskamux ! filesink location="$work/ball.mkv"

"$binary" -qq run --fast --source "$work/ball.mkv" --format json >"$work/out.jsonl" \
    || fail "the recording was not watched"
lines=$(grep -c '"kind":"prediction"' "$work/out.jsonl" || true)
((lines > 0)) || fail "no prediction came: $(head -c 300 "$work/out.jsonl")"

if "$binary" run --fast --for "5 s" --source synth: >/dev/null 2>"$work/refused"; then fail "a synthetic stream was taken"; fi
grep -q 'built without synthetic streams' "$work/refused" || fail "it said: $(cat "$work/refused")"
if "$binary" replay >/dev/null 2>&1; then fail "replay is there"; fi

echo "lean: $lines predictions of a recording of 6 s; synthetic streams and replay are refused"
