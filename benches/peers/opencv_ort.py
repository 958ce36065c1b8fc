"""The script that a user would write today: opencv_ort.py BUNDLE VIDEO

OpenCV decodes, every sampled frame is brought to the model's size, the last T of them
are stacked, and ONNX Runtime runs the whole clip anew. One line of JSON a prediction.
"""

import collections
import json
import pathlib
import sys
import tomllib

import cv2
import numpy as np
import onnxruntime


def main():
    bundle, video = pathlib.Path(sys.argv[1]), sys.argv[2]
    spec = tomllib.loads((bundle / "model.toml").read_text())["input"]
    (height, width), length = spec["size"], spec["frames"]
    mean, std = np.float32(spec["mean"]), np.float32(spec["std"])
    labels = (bundle / "labels.txt").read_text().splitlines()

    cv2.setNumThreads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one core: more threads would only wait for each other
    session = onnxruntime.InferenceSession(
        bundle / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def prepared(frame):
        frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        tall, wide = frame.shape[:2]
        scale = max(height / tall, width / wide)
        frame = cv2.resize(frame, (round(wide * scale), round(tall * scale)))
        top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
        frame = frame[top : top + height, left : left + width]
        return ((frame.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)

    capture = cv2.VideoCapture(video)
    step = capture.get(cv2.CAP_PROP_FPS) / spec["rate"]
    clip = collections.deque(maxlen=length)
    at, due = 0, 0.0
    while True:
        there, frame = capture.read()
        if not there:
            break
        if at >= due:
            due += step
            clip.append(prepared(frame))
            if len(clip) == length:
                logits = session.run(None, {name: np.stack(clip, axis=1)[None]})[0][0]
                scores = np.exp(logits - logits.max())
                scores /= scores.sum()
                top = np.argsort(-scores)[:5]
                print(json.dumps({
                    "t": at / capture.get(cv2.CAP_PROP_FPS),
                    "top": [{"label": labels[i], "p": float(scores[i])} for i in top],
                }))
        at += 1


if __name__ == "__main__":
    main()
