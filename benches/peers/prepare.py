"""Makes what the runtimes are measured on: prepare.py MODEL FOLDER

A kinewatch bundle with seeded random weights (models/export/export.py), the same
weights for PyTorch (weights.pt), and a clip of normalised random frames
(frames.f32: little-endian f32, each frame channels × height × width).
"""

import pathlib
import sys
import tomllib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "models" / "export"))
import export  # noqa: E402


def main():
    name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    sys.argv = ["export.py", name, str(folder), "--modes", "window", "continual",
                "--save-weights", str(folder / "weights.pt")]
    export.main()
    with (folder / "model.toml").open("a") as manifest:
        # As many predictions as from whole clips.
        manifest.write('\n[run.continual]\nwarm_up = "clip"\n')
    spec = tomllib.loads((folder / "model.toml").read_text())["input"]
    frames = np.random.default_rng(0).standard_normal((spec["frames"], 3, *spec["size"]))
    frames.astype("<f4").tofile(folder / "frames.f32")


if __name__ == "__main__":
    main()
