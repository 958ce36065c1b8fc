#!/usr/bin/env bash
# Shows where a replay's processor time goes: 20 H.264 clips through the built-in
# model on two cores, sampled with perf. Exits 1 where more than a tenth is spent
# outside decoding and inference. The report, which depends on the number of
# clips and not on the videos, is timed apart.
#
# usage: scripts/replay-profile.sh [FOLDER WITH THE BUILT PROGRAM]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BIN=${1:-target/release}/kinewatch

say() { printf 'replay-profile: %s\n' "$*" >&2; }
command -v perf >/dev/null || { say "perf is not installed (apt install linux-perf)"; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/kinewatch-profile.XXXXXX")
trap 'rm -rf "$work"' EXIT

say "writing 20 clips of 10 s, 640x360, 25 frames a second"
"$BIN" synth --count 20 --seconds 10 --size 640x360 --fps 25 -o "$work/videos" >/dev/null

say "replaying them"
# cpu-clock: there in virtual machines too, where hardware counters are not.
taskset -c 0,1 perf record -q -e cpu-clock -F 499 -o "$work/perf.data" -- \
    "$BIN" -q replay --no-report --jobs 2 --labels "$work/videos/labels.csv" \
    -o "$work/out" "$work/videos" >/dev/null
perf report -i "$work/perf.data" --stdio -q -F sample,comm,dso,sym --field-separator='|' 2>/dev/null |
    awk -F '|' '
    function trim(s) { gsub(/^ +| +$/, "", s); return s }
    NF >= 4 {
        count = trim($1) + 0; comm = trim($2); dso = trim($3); symbol = trim($4)
        # Our threads are known by their names; all others are the demuxers and
        # decoders that GStreamer runs. A model thread does nothing but run the
        # model, hand its logits on, and wait.
        if (comm !~ /^(kinewatch|replay |model |video|progress|signals)/) part = "decode"
        else if (dso ~ /^lib(av|sw|gst|glib|gobject)/) part = "decode"
        else if (comm ~ /^model / && symbol !~ /kinewatch::(session|predict|replay|report|sink)|zstd|ZSTD|serde|ryu/) part = "inference"
        else if (comm ~ /^kinewatch/) part = "starting, with the model made ready"
        else if (comm ~ /^video /) part = "convert and resize"
        else part = "other"
        total += count; parts[part] += count
        if (part == "other") others[comm " " dso " " symbol] += count
    }
    END {
        for (part in parts) printf "%-36s %6.2f %%\n", part, 100 * parts[part] / total
        outside = 100 * (total - parts["decode"] - parts["inference"]) / total
        printf "%-36s %6.2f %%\n", "outside decode and inference", outside
        for (what in others) if (others[what] > total / 200) print "  other:", what, others[what]
        exit outside > 10
    }' || { say "FAILED: more than 10 %"; exit 1; }

TIMEFORMAT='report: %U s of processor time'
time "$BIN" -q report "$work/out" >/dev/null
