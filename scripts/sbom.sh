#!/usr/bin/env bash
# The bill of materials of the binary: every crate in it, with version, licence and
# checksum, as CycloneDX 1.5 in JSON. To standard output. Installs cargo-cyclonedx.
#
#   scripts/sbom.sh TARGET_TRIPLE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly TRIPLE=${1:?the target, such as x86_64-unknown-linux-gnu}
# Cargo's own time stamp would be that of the run, with a random serial number.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}

cargo=${CARGO:-cargo}
"$cargo" cyclonedx --version >/dev/null 2>&1 || "$cargo" install cargo-cyclonedx --locked >&2

# It writes beside Cargo.toml and nowhere else.
readonly NAME=kinewatch-$TRIPLE-sbom
trap 'rm -f "$NAME.json"' EXIT
"$cargo" cyclonedx --quiet --format json --spec-version 1.5 --target "$TRIPLE" --no-build-deps \
    --override-filename "$NAME" >&2
# Where it was built is nobody's business, and would differ from folder to folder.
sed -e "s|file://$PWD|file:///build/kinewatch|g" -e "s|?download_url=file://.||" "$NAME.json"
