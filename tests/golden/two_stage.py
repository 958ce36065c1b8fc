"""Makes two_stage/: a frame encoder and temporal heads, and ONNX Runtime's logits of
each pair exported as one piece.

    python tests/golden/two_stage.py

Weights are random (seeded), so nothing here was trained on anything. The frames are
models/frames.npy. tests/two_stage.rs builds bundles from these files and compares.
"""

import pathlib
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
OUT = HERE / "two_stage"
T, CLASSES, D = 4, 5, 16


class Encoder(nn.Module):
    """One frame to an embedding, pooled as OpenVINO's encoders give it, and the map before."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 4, 1), nn.SiLU(), nn.Conv2d(6, D, 3, 2, 1), nn.ReLU())

    def forward(self, frame):
        maps = self.body(frame)
        # The frame's own mean: a frame that is not finite shows, whatever activations do.
        return maps.mean((2, 3), keepdim=True) + frame.mean((1, 2, 3), keepdim=True), maps


class FrameLast(nn.Module):
    """The same encoder for a frame whose channels come last, its embedding flat."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, frame):
        return self.encoder(frame.permute(0, 3, 1, 2))[0].flatten(1)


class Recurrent(nn.Module):
    """The last step of a recurrence."""

    def __init__(self, kind, batch_first):
        super().__init__()
        self.body, self.batch_first = kind(D, 8, batch_first=batch_first), batch_first
        self.last = nn.Linear(8, CLASSES)

    def forward(self, x):
        steps = self.body(x)[0]
        return self.last(steps[:, -1] if self.batch_first else steps[-1])


class Temporal(nn.Module):
    """A temporal convolution, then the mean."""

    def __init__(self):
        super().__init__()
        self.body, self.last = nn.Conv1d(D, 8, 3, padding=1), nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.last(torch.relu(self.body(x)).mean(2))


class Mean(nn.Module):
    """The mean of embeddings of length one against one direction a class, as with CLIP."""

    def __init__(self):
        super().__init__()
        self.directions = nn.Parameter(nn.functional.normalize(torch.randn(D, CLASSES), dim=0))

    def forward(self, x):
        return 10 * (x / x.norm(dim=1, keepdim=True)).mean(0, keepdim=True) @ self.directions


class Maps(nn.Module):
    """A 3-D convolution over maps."""

    def __init__(self):
        super().__init__()
        self.body, self.last = nn.Conv3d(D, 6, 3, padding=1), nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.last(torch.relu(self.body(x)).mean((2, 3, 4)))


class Whole(nn.Module):
    """Encoder and head as one network over a clip 1 x 3 x T x H x W."""

    def __init__(self, encoder, head, arrange, maps):
        super().__init__()
        self.encoder, self.head, self.arrange, self.maps = encoder, head, arrange, maps

    def forward(self, clip):
        pooled, maps = self.encoder(clip[0].transpose(0, 1))
        return self.head(self.arrange(maps if self.maps else pooled.flatten(1)))


def export(net, example, path, inputs, outputs):
    torch.onnx.export(net.eval(), (example,), path, opset_version=17, dynamo=False,
                      input_names=inputs, output_names=outputs)
    onnx.checker.check_model(onnx.load(path))


def main():
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(20261122)
    frames = np.load(HERE / "models" / "frames.npy")
    size = frames.shape[2:]
    encoder = Encoder()
    heads = {
        "ntd": (Recurrent(nn.LSTM, True), lambda x: x[None], False),
        "tnd": (Recurrent(nn.GRU, False), lambda x: x[:, None], False),
        "ndt": (Temporal(), lambda x: x.T[None], False),
        "td": (Mean(), lambda x: x, False),
        "ncthw": (Maps(), lambda x: x.transpose(0, 1)[None], True),
    }
    # Larger weights than the usual first ones, so that every frame and its place tell.
    with torch.no_grad():
        for net in (encoder, *(head for head, _, _ in heads.values())):
            for weight in net.parameters():
                weight.mul_(3)
    export(encoder, torch.zeros(1, 3, *size), OUT / "encoder.onnx", ["frame"], ["embedding", "maps"])
    export(FrameLast(encoder), torch.zeros(1, *size, 3), OUT / "encoder-nhwc.onnx", ["frame"], ["embedding"])
    for layout, (head, arrange, maps) in heads.items():
        pooled, features = encoder(torch.zeros(T, 3, *size))
        example = arrange(features if maps else pooled.flatten(1)).detach()
        export(head, torch.zeros_like(example), OUT / f"head-{layout}.onnx", ["embeddings"], ["logits"])
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "whole.onnx"
            whole = Whole(encoder, head, arrange, maps)
            export(whole, torch.zeros(1, 3, T, *size), path, ["clip"], ["logits"])
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            clips = [frames[t : t + T].transpose(1, 0, 2, 3)[None] for t in range(len(frames) - T + 1)]
            logits = np.stack([session.run(None, {"clip": clip})[0][0] for clip in clips])
            np.save(OUT / f"logits-{layout}.npy", logits.astype("<f4"))
            if layout == "ntd":
                (OUT / "whole.onnx").write_bytes(path.read_bytes())
        print(layout, list(example.shape), "spread over clips", np.ptp(logits, 0).max(), "peak", abs(logits).max())
    for file in sorted(OUT.iterdir()):
        print(f"{file.stat().st_size:7}  {file.name}")


if __name__ == "__main__":
    main()
