#!/usr/bin/env bash
# What a daemon writes in an hour: write-volume.sh BIN [SECONDS [SINK KEYS]]
# One live stream of test pictures with the built-in model (8 predictions a second)
# and a file sink with its defaults, or with the keys given ('flush = "0 s"').
# As root, the file lies on an ext4 file system of its own, in a file mounted
# through a loop device, and what that device was told to write is given too.
set -euo pipefail

bin=$(readlink -f "$1/kinewatch")
seconds=${2:-300}
keys=${3:-}
folder=$(mktemp -d)
loop=
trap 'kill "${daemon:-}" 2>/dev/null || true; wait 2>/dev/null || true
            [ -z "$loop" ] || { umount "$folder/disk"; losetup -d "$loop"; }; rm -rf "$folder"' EXIT
mkdir "$folder/disk"
if [ "$(id -u)" = 0 ]; then
    truncate -s 256M "$folder/image"
    mkfs.ext4 -q "$folder/image" 2>/dev/null
    if loop=$(losetup -f --show "$folder/image" 2>/dev/null); then
        mount -o relatime "$loop" "$folder/disk" || { losetup -d "$loop"; loop=; }
    else
        loop=
    fi
fi
cat >"$folder/c.toml" <<TOML
[[stream]]
name = "gate"
source = { pipeline = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=25/1" }
[[sink]]
kind = "file"
path = "disk/p.jsonl"
$keys
TOML

device() { # bytes and writes that the device has taken
    [ -z "$loop" ] && { echo "0 0"; return; }
    awk '{ print $7 * 512, $5 }' "/sys/block/${loop#/dev/}/stat"
}
process() { # bytes and calls of write, of the sink's thread alone
    for task in /proc/"$daemon"/task/*; do
        [ "$(cat "$task/comm" 2>/dev/null)" != sink ] || awk '/^wchar/ { b = $2 } /^syscw/ { c = $2 } END { print b, c }' "$task/io"
    done
}

"$bin" run "$folder/c.toml" 2>"$folder/log" &
daemon=$!
# The first clip, a file, and mkfs's own afterthoughts.
sleep 45
[ -z "$loop" ] || sync -f "$folder/disk"
read -r bytes0 calls0 < <(process); read -r device0 writes0 < <(device); lines0=$(wc -l <"$folder/disk/p.jsonl")
sleep "$seconds"
read -r bytes1 calls1 < <(process); read -r device1 writes1 < <(device); lines1=$(wc -l <"$folder/disk/p.jsonl")
awk -v s="$seconds" -v l=$((lines1 - lines0)) -v b=$((bytes1 - bytes0)) -v c=$((calls1 - calls0)) \
        -v d=$((device1 - device0)) -v w=$((writes1 - writes0)) -v loop="$loop" 'BEGIN {
    h = 3600 / s
    printf "%d lines, %.1f MB and %d writes an hour by the program", l * h, b * h / 1e6, c * h
    if (loop) printf "; %.1f MB in %d requests an hour to the card", d * h / 1e6, w * h
    print "" }'
