#!/usr/bin/env bash
# Trains models/camera-events from nothing: streams, weights, ONNX, figures.
#
#   models/train/run.sh [WORK_FOLDER]
#
# Needs Python 3.11 with requirements.txt, and the built kinewatch. The seeds
# below are the committed model's; the synthetic test uses others. STREAMS (in
# each of the seven parts), EPOCHS and OUT can be set for a trial.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-"$here/work"}
kinewatch=${KINEWATCH:-"$here/../../target/release/kinewatch"}
python=${PYTHON:-python3}
streams=${STREAMS:-300}
out=${OUT:-"$here/../camera-events"}
mkdir -p "$work/train" "$out"

for part in 0 1 2 3 4 5 6; do
    "$kinewatch" synth --dataset --count "$streams" --seconds 20 --seed $((3000000 + part * 300)) -o "$work/train/$part"
done
"$kinewatch" synth --dataset --count 40 --seconds 20 --seed 500 -o "$work/validate"

"$python" "$here/train.py" --data "$work/train" --validate "$work/validate" \
    --out "$work/weights.pt" --epochs "${EPOCHS:-12}" | tee "$work/training.log"
"$python" "$here/export.py" --weights "$work/weights.pt" --out "$out"
cp "$work/training.log" "$out/training.log"
