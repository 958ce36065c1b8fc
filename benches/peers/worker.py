"""Runs a bundle in another runtime a few steps at a time, on demand.

    worker.py RUNTIME FOLDER THREADS

RUNTIME: onnxruntime, openvino-f32, openvino-bf16 or pytorch. It speaks as
examples/steps.rs does: once loaded and warm it writes a line of JSON; then for each
line on standard input one back: `run N` → {"ms": […]}, `logits` → {"logits": […]}.

Each step is handed the whole clip ready-made: no runtime is charged for gathering it.
"""

import json
import pathlib
import sys
import time
import tomllib
import warnings

import numpy as np


def onnxruntime_step(folder, threads, clip):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: clip})[0]


def openvino_step(folder, threads, clip, precision):
    import openvino
    from openvino import properties
    from openvino.properties import hint

    core = openvino.Core()
    has = core.get_property("CPU", properties.device.capabilities())
    if precision == "bf16" and "BF16" not in has:
        sys.exit("this CPU has no bf16 instructions")
    kind = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16}[precision]
    compiled = core.compile_model(folder / "model.onnx", "CPU", {
        hint.performance_mode(): hint.PerformanceMode.LATENCY,
        hint.inference_precision(): kind,
        properties.inference_num_threads(): threads,
        properties.num_streams(): 1,
    })
    request = compiled.create_infer_request()
    # Shared memory: neither the clip nor the logits are copied.
    return lambda: request.infer([clip], share_inputs=True, share_outputs=True)[0]


def pytorch_step(folder, threads, clip):
    import torch

    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "models" / "export"))
    import export

    torch.set_num_threads(threads)
    manifest = tomllib.loads((folder / "model.toml").read_text())
    labels = (folder / "labels.txt").read_text().splitlines()
    net = export.build(manifest["name"], len(labels))
    export.load(net, folder / "weights.pt")
    net.eval()
    clip = torch.from_numpy(clip)

    def step():
        with torch.inference_mode():
            return net(clip).numpy()

    return step


def main():
    warnings.filterwarnings("ignore")
    runtime, folder, threads = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    spec = tomllib.loads((folder / "model.toml").read_text())["input"]
    shape = (spec["frames"], 3, *spec["size"])
    frames = np.fromfile(folder / "frames.f32", "<f4").reshape(shape)
    clip = np.ascontiguousarray(frames.transpose(1, 0, 2, 3)[None])
    began = time.perf_counter()
    if runtime == "onnxruntime":
        step = onnxruntime_step(folder, threads, clip)
    elif runtime.startswith("openvino-"):
        step = openvino_step(folder, threads, clip, runtime.removeprefix("openvino-"))
    elif runtime == "pytorch":
        step = pytorch_step(folder, threads, clip)
    else:
        sys.exit(f"there is no runtime {runtime}")
    load_ms = (time.perf_counter() - began) * 1e3
    step()
    print(json.dumps({"engine": runtime, "load_ms": load_ms}), flush=True)
    for line in sys.stdin:
        command, *count = line.split()
        if command == "run":
            ms = []
            for _ in range(int(count[0])):
                began = time.perf_counter()
                step()
                ms.append((time.perf_counter() - began) * 1e3)
            print(json.dumps({"ms": ms}), flush=True)
        elif command == "logits":
            print(json.dumps({"logits": np.asarray(step(), np.float64).reshape(-1).tolist()}), flush=True)
        else:
            sys.exit(f"{line!r} is no command")


if __name__ == "__main__":
    main()
