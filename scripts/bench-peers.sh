#!/usr/bin/env bash
# Measures kinewatch beside ONNX Runtime, OpenVINO and PyTorch, and writes
# docs/benchmarks.md. The first time it makes a virtual environment under the target
# folder (some gigabytes, from the network) and exports the networks.
# PEERS_PYTHON names an interpreter that has benches/peers/requirements.txt already.
#
# usage: scripts/bench-peers.sh [TARGET FOLDER] [OPTIONS OF benches/peers/run.py]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly TARGET=${1:-target}
shift || true
readonly CACHE=$TARGET/peers
readonly NEEDS=benches/peers/requirements.txt
readonly TORCH_CPU=https://download.pytorch.org/whl/cpu

say() { printf 'bench-peers: %s\n' "$*" >&2; }

python=${PEERS_PYTHON:-}
if [[ -z $python ]]; then
    python=$CACHE/venv/bin/python
    # The copy is made last: a half-filled environment is filled again.
    if ! cmp -s "$NEEDS" "$CACHE/venv/requirements.txt"; then
        say "installing $NEEDS into $CACHE/venv"
        mkdir -p "$CACHE"
        python3 -m venv "$CACHE/venv" || {
            say "python3 cannot make virtual environments (apt install python3-venv)"
            exit 1
        }
        pip=("$python" -m pip --quiet --disable-pip-version-check)
        mapfile -t torch < <(grep '^torch' "$NEEDS")
        # Without their dependencies, which the next line brings.
        "${pip[@]}" --retries 0 install --no-deps --index-url "$TORCH_CPU" "${torch[@]}" >&2 ||
            say "$TORCH_CPU cannot be reached: taking PyPI's larger packages"
        "${pip[@]}" install -r "$NEEDS" >&2
        cp "$NEEDS" "$CACHE/venv/requirements.txt"
    fi
fi

export PYTHONDONTWRITEBYTECODE=1
exec "$python" benches/peers/run.py --python "$python" --bin "$TARGET/release" --cache "$CACHE" \
    --command "make bench-peers" --write docs/benchmarks.md "$@"
