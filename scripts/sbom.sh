#!/usr/bin/env bash
# The bill of materials of the binary: every crate in it, with version, licence and
# checksum, as CycloneDX 1.5 in JSON. To standard output. Installs cargo-cyclonedx and jq.
#
#   scripts/sbom.sh TARGET_TRIPLE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly TRIPLE=${1:?the target, such as x86_64-unknown-linux-gnu}
# Cargo's own time stamp would be that of the run, with a random serial number.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}

cargo=${CARGO:-cargo}
if ! command -v jq >/dev/null; then
    as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" apt-get install -q -y --no-install-recommends jq >&2
fi
"$cargo" cyclonedx --version >/dev/null 2>&1 || "$cargo" install cargo-cyclonedx --version 0.5.9 --locked >&2

# It writes beside Cargo.toml and nowhere else.
readonly NAME=kinewatch-$TRIPLE-sbom
trap 'rm -f "$NAME.json"' EXIT
"$cargo" cyclonedx --quiet --format json --spec-version 1.5 --target "$TRIPLE" --no-build-deps \
    --override-filename "$NAME" >&2
# It also names what only tests switch on: of that, nothing is in the binary. And where
# it was built is nobody's business, and would differ from folder to folder.
"$cargo" tree --locked --edges normal --target "$TRIPLE" --prefix none --format '{p}' |
    awk '{ sub(/^v/, "", $2); print $1 "@" $2 }' | sort -u |
    jq --rawfile linked /dev/stdin --arg folder "file://$PWD" '
        ($linked | split("\n")) as $linked
        | .components |= map(select("\(.name)@\(.version)" as $crate | $linked | index($crate)))
        | ([.metadata.component, .components[]] | map(.["bom-ref"])) as $known
        | .dependencies |= map(select(.ref as $ref | $known | index($ref))
            | if .dependsOn then .dependsOn |= map(select(. as $ref | $known | index($ref))) else . end)
        | walk(if type == "string"
            then split($folder) | join("file:///build/kinewatch") | sub("[?]download_url=file://[.]"; "") else . end)
    ' "$NAME.json"
