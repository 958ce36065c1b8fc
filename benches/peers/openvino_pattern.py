"""As OpenVINO's action-recognition demo is built: openvino_pattern.py BUNDLE VIDEO PRECISION

Decoding on a thread of its own into a short queue, clips through a queue of
asynchronous requests, normalising compiled into the network, results by callback.
PRECISION: f32, or default, which lets OpenVINO choose (bf16 where the CPU has it).
One line of JSON a prediction.
"""

import collections
import json
import pathlib
import queue
import sys
import threading
import tomllib

import cv2
import numpy as np
import openvino
from openvino import properties
from openvino.preprocess import PrePostProcessor
from openvino.properties import hint


def compiled(bundle, spec, precision):
    core = openvino.Core()
    builder = PrePostProcessor(core.read_model(bundle / "model.onnx"))
    clip = builder.input()
    clip.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NDHWC"))
    clip.model().set_layout(openvino.Layout("NCDHW"))
    clip.preprocess().convert_element_type(openvino.Type.f32)
    clip.preprocess().mean([255 * m for m in spec["mean"]]).scale([255 * s for s in spec["std"]])
    options = {
        hint.performance_mode(): hint.PerformanceMode.LATENCY,
        properties.inference_num_threads(): 1,
    }
    if precision == "f32":
        options[hint.inference_precision()] = openvino.Type.f32
    return core.compile_model(builder.build(), "CPU", options)


def decode(video, frames):
    capture = cv2.VideoCapture(video)
    fps, at = capture.get(cv2.CAP_PROP_FPS), 0
    while True:
        there, frame = capture.read()
        if not there:
            break
        frames.put((at, fps, frame))
        at += 1
    frames.put(None)


def main():
    bundle, video, precision = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    spec = tomllib.loads((bundle / "model.toml").read_text())["input"]
    (height, width), length = spec["size"], spec["frames"]
    labels = (bundle / "labels.txt").read_text().splitlines()
    cv2.setNumThreads(1)

    def told(request, time):
        logits = request.get_output_tensor().data[0]
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        top = np.argsort(-scores)[:5]
        print(json.dumps({"t": time, "top": [{"label": labels[i], "p": float(scores[i])} for i in top]}))

    requests = openvino.AsyncInferQueue(compiled(bundle, spec, precision), 2)
    requests.set_callback(told)
    frames = queue.Queue(2)
    threading.Thread(target=decode, args=(video, frames), daemon=True).start()
    clip, due = collections.deque(maxlen=length), 0.0
    while (item := frames.get()) is not None:
        at, fps, frame = item
        if at < due:
            continue
        due += fps / spec["rate"]
        tall, wide = frame.shape[:2]
        scale = max(height / tall, width / wide)
        frame = cv2.resize(frame, (round(wide * scale), round(tall * scale)))
        top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
        clip.append(cv2.cvtColor(frame[top : top + height, left : left + width], cv2.COLOR_BGR2RGB))
        if len(clip) == length:
            requests.start_async({0: np.stack(clip)[None]}, at / fps)
    requests.wait_all()


if __name__ == "__main__":
    main()
