#!/usr/bin/env bash
# Builds what is packaged: the profile `dist`, with the same bytes whatever folder it
# is built in. Prints the path of the binary; all else goes to standard error.
#
#   scripts/dist.sh [CARGO OPTION…]
#
# It is built below CARGO_TARGET_DIR (default: target). The bytes depend on the sources
# with Cargo.lock, the compiler, the linker, the C compiler and the version of the
# GStreamer headers, and on nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly CARGO_FOLDER=${CARGO_HOME:-$HOME/.cargo}

# Paths get into a binary through panic messages; here they are the same everywhere.
# In this form a path may hold spaces. It also takes the place of flags that somebody's
# own settings hold, such as target-cpu=native, which must not be in a package.
readonly SEPARATOR=$'\x1f'
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$PWD=/build/kinewatch"
CARGO_ENCODED_RUSTFLAGS+="$SEPARATOR--remap-path-prefix=$CARGO_FOLDER=/build/cargo"
# A function is copied to where it is called if it is smaller than this; LLVM's own
# figures are 225 and more. It takes megabytes off the program and next to nothing off its
# speed (docs/lean.md), unlike opt-level "s", which takes vector code away as well. The
# lean build gives a little more of its speed.
limit=40
[[ " $* " != *" --no-default-features "* ]] || limit=12
CARGO_ENCODED_RUSTFLAGS+="$SEPARATOR-Cllvm-args=-inline-threshold=$limit -inlinehint-threshold=$limit"
export CARGO_INCREMENTAL=0

"${CARGO:-cargo}" build --profile dist --locked --bin kinewatch "$@" >&2
echo "${CARGO_TARGET_DIR:-$PWD/target}/dist/kinewatch"
