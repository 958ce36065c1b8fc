#!/usr/bin/env bash
# Replays the labelled streams of VIDEOS through the built-in model, in each of the
# ways that it can be run, into OUT. Both sides of `make cross-check` run this.
#
#   scripts/cross-check-replay.sh PROGRAM VIDEOS OUT
set -euo pipefail
exec 1>&2

program=${1:?the program}
videos=${2:?the folder of videos}
out=${3:?where to}

replay() { # NAME OPTION…
    "$program" replay -q --labels "$videos" -o "$out/$1" "${@:2}" "$videos"
}

replay stateful --mode stateful
replay window --mode window
KINEWATCH_ENGINE=tract replay window-on-tract --mode window
