#!/bin/bash
# What `isolate = true` costs: the same 720p recording with and without it, as fast
# as it decodes and at its own speed. Standard output is a table for docs/isolate.md.
#
#   scripts/isolate-cost.sh [target/release]
set -euo pipefail

bin=$(realpath "${1:-target/release}")/kinewatch
frames=$((30 * ${SECONDS_OF_VIDEO:-60}))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

gst-launch-1.0 -q videotestsrc pattern=ball num-buffers=$frames \
	! video/x-raw,format=I420,width=1280,height=720,framerate=30/1 \
	! x264enc speed-preset=veryfast ! matroskamux ! filesink location=a.mkv
for isolate in false true; do
	cat >"$isolate.toml" <<-TOML
		[[stream]]
		name = "a"
		source = { path = "$work/a.mkv" }
		isolate = $isolate
	TOML
done

# Peak resident memory of a process and of those it started, in MB, until it ends.
watch() {
	local pid=$1 child
	while kill -0 "$pid" 2>/dev/null; do
		for child in "$pid" $(cat "/proc/$pid/task"/*/children 2>/dev/null); do
			awk -v who="$([ "$child" = "$pid" ] && echo daemon || echo decoder)" \
				'/^VmHWM/ { print who, $2 / 1024 }' "/proc/$child/status" 2>/dev/null || true
		done
		sleep 0.1
	done | sort -k1,1 -k2,2nr | awk '!seen[$1]++ { printf "%s %.0f MB ", $1, $2 }'
}

median() { sort -n | awk '{ v[NR] = $1 } END { printf "%.2f", v[int((NR + 1) / 2)] }'; }
latency() { grep -o '"latency_ms":[0-9.]*' "$1" | cut -d: -f2; }

for run in 1 2 3; do
	for isolate in false true; do
		{ TIMEFORMAT='%R %U %S'; time "$bin" -q run "$isolate.toml" --fast >"$isolate.jsonl"; } 2>"$isolate.time"
		awk -v i="$isolate" '{ printf "fast, isolate = %s: %.2f s, %.2f CPU s\n", i, $1, $2 + $3 }' "$isolate.time"
	done
done
for isolate in false true; do
	"$bin" -q run "$isolate.toml" --for "20 s" >"$isolate.live" &
	memory=$(watch $!)
	wait
	echo "live, isolate = $isolate: latency median $(latency "$isolate.live" | median) ms," \
		"p95 $(latency "$isolate.live" | sort -n | awk '{ v[NR] = $1 } END { printf "%.2f", v[int(NR * 0.95 + 0.5)] }') ms; peak $memory"
done
strip_time() { sed -E 's/"(at|latency_ms)":[^,}]*,?//g' "$1"; }
cmp <(strip_time false.jsonl) <(strip_time true.jsonl) && echo "predictions: the same"
