#!/usr/bin/env bash
# Builds what is packaged: the profile `dist`, with the same bytes whatever folder it
# is built in. Prints the path of the binary; all else goes to standard error.
#
#   scripts/dist.sh [TARGET TRIPLE]
#
# The bytes depend on the sources with Cargo.lock, the compiler, the linker, the C
# compiler and the version of the GStreamer headers, and on nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly TRIPLE=${1:-}
readonly CARGO_FOLDER=${CARGO_HOME:-$HOME/.cargo}

# Paths get into a binary through panic messages; here they are the same everywhere.
# In this form a path may hold spaces. It also takes the place of flags that somebody's
# own settings hold, such as target-cpu=native, which must not be in a package.
readonly SEPARATOR=$'\x1f'
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$PWD=/build/kinewatch"
CARGO_ENCODED_RUSTFLAGS+="$SEPARATOR--remap-path-prefix=$CARGO_FOLDER=/build/cargo"
export CARGO_INCREMENTAL=0

arguments=(build --profile dist --locked --bin kinewatch)
folder=${CARGO_TARGET_DIR:-$PWD/target}
if [[ -n $TRIPLE ]]; then
    arguments+=(--target "$TRIPLE")
    folder=$folder/$TRIPLE
fi
"${CARGO:-cargo}" "${arguments[@]}" >&2
echo "$folder/dist/kinewatch"
