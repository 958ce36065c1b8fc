#!/usr/bin/env bash
# A replay in N parts on the processors of one machine, with GNU parallel, then
# one report. What follows OUT is given to every `kinewatch replay`. It can be
# stopped and run again: each part goes on where it was.
#
# usage: parallel.sh N OUT VIDEO|DIR… [--labels FILE …]
# e.g.:  parallel.sh 4 out videos --labels labels.csv
set -euo pipefail

n=$1 out=$2
shift 2
mkdir -p "$out"

# --jobs 1: here the parts are what runs at once. -q keeps spaces in names. A
# part in which a video failed exits with 1; the report is written all the same.
failed=0
parallel -q --will-cite --jobs "$n" --line-buffer --tag \
    kinewatch replay --no-report --jobs 1 --shard "{}/$n" -o "$out/{}-of-$n" "$@" \
    ::: $(seq "$n") >"$out/parts.log" || failed=$?

kinewatch report "$out"/*-of-"$n" -o "$out/whole"
exit "$((failed > 0))"
